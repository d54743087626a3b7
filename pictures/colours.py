"""Colours to sRGB, as the ICC profile in a file says.

profile, mode ─▶ transform, kept for the next picture ─▶ sRGB

A profile that does what sRGB's does costs nothing, and one that is damaged, or of another kind than the picture,
doesn't count. Most photographs carry sRGB's own, under a hundred names: it is told by what it does to a few colours.
"""

import io
from functools import lru_cache
from itertools import product

from PIL import Image, ImageChops, ImageCms

from pictures.levels import levels

#: Those of printing machines have up to two megabytes.
_MAX_BYTES = 4 * 1024 * 1024
#: The mode of the pictures that a profile is for, by the name of its colour space.
_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab": "LAB"}
#: Devices' profiles, and spaces'. Links, named colours and effects are no description of a picture.
_CLASSES = ("scnr", "mntr", "prtr", "spac")
#: Levels of 255 that nobody sees.
_UNSEEN = 2

#: 729 colours: nine levels of each channel.
_COLOURS = Image.new("RGB", (729, 1))
_COLOURS.putdata([*product(range(0, 256, 32), repeat=3)])


def srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """``image``, of mode RGB, L, CMYK or LAB, in sRGB. ``profile``: the one in its file."""
    if image.mode == "L":
        transform = _transform(profile, "L")
        # A greyscale JPEG often has the profile of the colour picture that it was.
        return transform.apply(image) if transform else srgb(image.convert("RGB"), profile)
    transform = _transform(profile, image.mode)
    if transform is not None:
        return transform.apply(image)
    return image if image.mode == "RGB" else image.convert("RGB")


@lru_cache(maxsize=32)
def _transform(profile: bytes | None, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Returns what turns pictures of ``mode`` with ``profile`` into sRGB; None if nothing has to, or can."""
    if not profile or len(profile) > _MAX_BYTES:
        return None
    try:
        opened = ImageCms.getOpenProfile(io.BytesIO(profile))
        described = opened.profile
        if _MODES.get(described.xcolor_space.strip()) != mode or described.device_class not in _CLASSES:
            return None
        transform = ImageCms.buildTransform(
            opened, ImageCms.createProfile("sRGB"), mode, "RGB", ImageCms.Intent.PERCEPTUAL
        )
        seen = _COLOURS.convert(mode) if mode in ("RGB", "L") else None
        if seen and _furthest(transform.apply(seen), seen.convert("RGB")) <= _UNSEEN:
            return None
        return transform
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):  # damaged
        return None


def _furthest(one: Image.Image, other: Image.Image) -> int:
    """The most that two pictures differ by, in any channel."""
    return max(highest for _, highest in levels(ImageChops.difference(one, other)))
