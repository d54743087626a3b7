"""Opens image bytes and refuses pictures that are not accepted; decodes nothing."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO

from PIL import Image, UnidentifiedImageError
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile

from contract.amounts import bytes_beyond, pixels
from pictures import jpeg2000, jpegxl, libtiff
from pictures.errors import ImageError, ImageTooLarge, UnreadableImage
from pictures.formats import FORMATS, HEAD, Format, recognised
from pictures.limits import DEFAULT_LIMITS, MAX_JPEG_SCANS, Limits
from pictures.work import Budget, BudgetSpent, decoded_size, samples, scans, work_of

# Pillow limits the pixels that a file claims, with one number for the whole process. We limit the decoded pixels of
# each picture instead.
Image.MAX_IMAGE_PIXELS = None
libtiff.silence()

#: What is said of a file that no decoder takes.
UNKNOWN = f"not an image of a known format ({', '.join(FORMATS)})"

#: Maps the size of a JPEG, or JPEG 2000, to the least at which it may be decoded: at 1/2, 1/4 or 1/8 of its own.
Draft = Callable[[tuple[int, int]], tuple[int, int]]


@contextmanager
def opened(
    data: bytes, limits: Limits, draft: Draft | None = None, budget: Budget | None = None
) -> Iterator[Image.Image]:
    """The image in ``data``, not yet decoded. Whatever a decoder raises inside the block becomes an ImageError.

    The decoding work is taken from ``budget``; raises as ``Budget.take`` does.
    """
    if not data:
        raise UnreadableImage("the image is empty (0 bytes)")
    if len(data) > limits.max_bytes:
        raise ImageTooLarge(f"the image has {bytes_beyond(len(data), limits.max_bytes)}")
    known = recognised(data[:HEAD])
    try:
        if known is not None and known.name == "JXL":
            head = jpegxl.head_of(data)
            _take(head[:2], work_of(head), limits, budget)  # it is decoded while it is opened
        with Image.open(BytesIO(data), formats=FORMATS) as image:
            claimed = image.size
            if image.format in ("JPEG", "MPO") and scans(data) > MAX_JPEG_SCANS:
                raise ImageTooLarge(f"the image has more than {MAX_JPEG_SCANS} scans")
            halvings = _halvings(image, data) if isinstance(image, Jpeg2KImageFile) else 0
            if draft is not None:
                _reduce(image, draft(claimed), halvings)
            if image.format != "JXL":
                admit(image, claimed, data, limits, budget)
            yield image
    except (ImageError, BudgetSpent):
        raise
    except UnidentifiedImageError as error:
        raise UnreadableImage(_unknown(known)) from error
    except MemoryError as error:
        raise ImageTooLarge("the image needs more memory to decode than there is") from error
    except Exception as error:
        # On hostile bytes, decoders raise almost anything: OSError, SyntaxError, struct.error, KeyError…
        raise UnreadableImage(f"the image is damaged or truncated ({_one_line(error)})") from error


def admit(
    image: Image.Image, claimed: tuple[int, int], data: bytes, limits: Limits, budget: Budget | None = None
) -> None:
    """Take the work of decoding ``image``, at the frame where it stands, from ``budget``. ``claimed``: its size before
    drafting. Raises ImageTooLarge, and BudgetSpent."""
    # A progressive JPEG is held whole in memory while it is decoded, however small the result.
    jpeg = image.format in ("JPEG", "MPO")
    size = claimed if jpeg and image.info.get("progressive") else decoded_size(image)
    _take(size, samples(image, claimed, data), limits, budget)


def _take(size: tuple[int, int], work: int, limits: Limits, budget: Budget | None) -> None:
    width, height = size
    if width * height > limits.max_pixels:
        raise ImageTooLarge(f"the image has {width}×{height} pixels; the limit is {pixels(limits.max_pixels)} in all")
    if work > limits.max_samples:
        raise ImageTooLarge(f"the image is {work:,} samples of decoding work; the limit is {limits.max_samples:,}")
    if budget is not None:
        budget.take(work)


def check_picture(data: bytes, limits: Limits = DEFAULT_LIMITS) -> None:
    """Raise ImageError for ``data`` that no model takes, as far as its head tells: models differ only in the size at
    which they decode a JPEG, and the smallest is assumed here."""
    with opened(data, limits, lambda _size: (1, 1)):
        pass


def _halvings(image: Jpeg2KImageFile, data: bytes) -> int:
    """How many times the JPEG 2000 can be halved while it is decoded. Raises ImageError for what its boxes hide."""
    head = jpeg2000.head_of(data)
    if (head.width, head.height) != image.size:
        raise UnreadableImage("the image is damaged or truncated (it has two sizes)")
    return head.halvings


def _reduce(image: Image.Image, least: tuple[int, int], halvings: int) -> None:
    """Have ``image`` decoded at a half, a quarter or an eighth of its size, but not below ``least``, where the format
    can."""
    if isinstance(image, Jpeg2KImageFile):
        scales = [times for times in range(1, min(3, halvings) + 1) if _is_at_least(image.size, times, least)]
        image.reduce = max(scales, default=0)
    else:
        image.draft(None, least)  # only JPEG decoders take the hint


def _is_at_least(size: tuple[int, int], halved: int, least: tuple[int, int]) -> bool:
    return size[0] >> halved >= least[0] and size[1] >> halved >= least[1]


def _unknown(known: Format | None) -> str:
    """What to say of a file that no decoder takes, and that begins as ``known``."""
    if known and known.is_readable:
        return f"the image is damaged or truncated, or a kind of {known.name} that nothing here reads"
    if known:
        return f"a picture in {known.name}, which can be read once its library is installed: {known.remedy}"
    return UNKNOWN


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text[:120] or type(error).__name__
