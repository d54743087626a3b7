"""Which of several frames or pages is the picture: the first that shows anything.

    frame 0: all of one colour ─▶ frame 1: all of one colour ─▶ frame 2 ─▶ the picture
    page 0: a smaller copy, or a mask, as TIFF calls it ─▶ page 1 ─▶ the picture

Where none shows anything, the picture is frame 0, as it is where a later one is damaged, too large or too far.
"""

from collections.abc import Callable

from PIL import Image, TiffImagePlugin

from pictures.levels import levels
from pictures.work import BudgetSpent

#: Fading in from black takes some.
_MOST_FRAMES = 16
_NEW_SUBFILE_TYPE, _REDUCED_OR_MASK = 254, 1 | 4
#: Levels of 255 by which the pixels of one colour differ, where compression is lossy.
_UNSEEN = 2


def first_meaningful(image: Image.Image, see: Callable[[], Image.Image], admit: Callable[[], None]) -> Image.Image:
    """The picture that ``see`` makes of the first meaningful frame of ``image``, which stands at its first.

    ``admit`` raises what ``pictures.opening`` does if the frame is too much work. Raises BudgetSpent, and whatever
    decoding the first frame raises.
    """
    if image.format in ("JPEG", "MPO"):  # further pictures in them are views and maps
        return see()
    first = None if _is_secondary(image) else see()
    if first is not None and _shows(first):
        return first
    for number in range(1, _MOST_FRAMES):
        try:
            image.seek(number)
            if not _is_secondary(image):
                admit()
                seen = see()
                if _shows(seen):
                    return seen
                first = first or seen
        except BudgetSpent:
            raise
        except Exception:  # no more frames, or any fault of a decoder's: the first one is whole
            break
    if first is None:
        image.seek(0)
        first = see()
    return first


def _is_secondary(image: Image.Image) -> bool:
    """Whether the page is a smaller copy of another one, or its mask."""
    tags = image.tag_v2 if isinstance(image, TiffImagePlugin.TiffImageFile) else {}
    kind = tags.get(_NEW_SUBFILE_TYPE, 0)
    return isinstance(kind, int) and bool(kind & _REDUCED_OR_MASK)


def _shows(picture: Image.Image) -> bool:
    return any(high - low > _UNSEEN for low, high in levels(picture))
