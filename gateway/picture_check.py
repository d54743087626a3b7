"""Whether a file is a picture that collections take, as far as its header tells: nothing is decoded here."""

import warnings
from io import BytesIO

from PIL import Image, UnidentifiedImageError

from gateway.errors import PictureRefused
from gateway.thumbnails import FORMATS, MAX_BYTES, MAX_PIXELS

#: Pixels that the shorter side must have, as Idios has it.
MIN_SIDE = 150

# Between its limit, which is MAX_PIXELS, and twice that, Pillow only warns.
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)


def check_picture(data: bytes) -> None:
    """Raise PictureRefused unless ``data`` begins like an image file of a known format and a size that is taken."""
    if not data:
        raise PictureRefused("the picture is empty (0 bytes)")
    if len(data) > MAX_BYTES:
        raise PictureRefused(f"the picture has {len(data):,} bytes; the limit is {MAX_BYTES:,}")
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PictureRefused(f"the picture has more than {MAX_PIXELS:,} pixels") from error
    except UnidentifiedImageError as error:
        raise PictureRefused(f"not a picture of a known format ({', '.join(FORMATS)})") from error
    except Exception as error:  # parsers of headers raise whatever comes to hand
        raise PictureRefused("the picture is damaged or truncated") from error
    if width * height > MAX_PIXELS:
        raise PictureRefused(f"the picture has {width}×{height} pixels; the limit is {MAX_PIXELS:,} in all")
    if min(width, height) < MIN_SIDE:
        raise PictureRefused(
            f"images must be at least {MIN_SIDE} pixels wide and high, and this one has {width}×{height}"
        )
