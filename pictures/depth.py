"""The range of samples of more than eight bits: as the file's tags tell it, else by the samples themselves.

    BitsPerSample 12, or 16 and no sample above 4095          0…4095
    16 bits, and some sample above                            0…65535
    SMinSampleValue 0, SMaxSampleValue 0.5                    0…0.5
    floats of a rendering, mostly below 1, its lights at 37   0…1
    signed samples                                            −2048…2047, −1…1

Nothing is stretched until it is white: a dark picture stays dark. What is no number, or nodata by its tag, is black.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from pictures.png import significant_bits

_BAND = 64  # rows
#: Bits of a sample that there are in practice. Larger samples have a range of their own.
_BITS = (8, 10, 12, 14, 16)
#: At most as many floats are looked at to guess their range.
_LOOKED_AT = 1_000_000
#: Floats as large as this stand for "nothing here".
_ENDLESS = 1e30
#: Sharpening and resizing in floats overshoot the range by a little.
_OVERSHOOT = 1.02
#: The share of negative samples up to which they are such overshoots.
_FEW = 0.01
#: A twelve-bit sample divided by 65535 is at most this.
_DIM = 1 / 16

_BITS_PER_SAMPLE, _PHOTOMETRIC, _SAMPLE_FORMAT, _NODATA = 258, 262, 339, 42113
_LOWEST, _HIGHEST = (340, 280), (341, 281)  # SMinSampleValue, MinSampleValue; SMaxSampleValue, MaxSampleValue
_WHITE_IS_ZERO, _SIGNED, _FLOAT = 0, 2, 3


def is_deep(image: Image.Image) -> bool:
    """Whether ``image`` is grey with more than eight bits a sample."""
    return image.mode == "F" or image.mode.startswith("I")


def eight_bit_grey(image: Image.Image, data: bytes) -> Image.Image:
    """``image``, which is loaded, deep and grey, as L. ``data`` is its file."""
    tags = _tags(image)
    values: NDArray[Any] = np.asarray(image)
    if tags.get(_BITS_PER_SAMPLE) == (32,) and tags.get(_SAMPLE_FORMAT, (1,))[0] not in (_SIGNED, _FLOAT):
        values = values.view(np.uint32)  # Pillow has signed ones alone
    nodata = _number(tags.get(_NODATA))
    if values.dtype.kind == "f":
        looked_at = _some(values, nodata)
        lowest, highest = looked_at.min(initial=0.0), looked_at.max(initial=0.0)
        low, high = told_range(image, data, lowest, highest) or _range_of_floats(looked_at)
    else:
        lowest, highest = int(values.min()), int(values.max())
        low, high = told_range(image, data, lowest, highest) or range_of_integers(lowest, highest)
    grey = _scaled(values, low, high, nodata)
    return Image.fromarray(255 - grey if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO else grey)


def told_range(image: Image.Image, data: bytes, lowest: float, highest: float) -> tuple[float, float] | None:
    """The range that the file ``data`` tells, unless its samples, from ``lowest`` to ``highest``, are beyond it."""
    tags = _tags(image)
    high = next((top for tag in _HIGHEST if (top := _number(tags.get(tag))) is not None), None)
    low = next((bottom for tag in _LOWEST if (bottom := _number(tags.get(tag))) is not None), 0.0)
    bits = _number(tags.get(_BITS_PER_SAMPLE)) or 0
    if high is None and 8 < bits < 16:
        high = 2**bits - 1
    if image.format == "PNG" and (significant := significant_bits(data)):
        # They should be the upper ones, of 16; some writers leave them where they were.
        high = 65535 if highest >= 2**significant else 2**significant - 1
    return (low, high) if high is not None and low <= lowest and low < high and highest <= high else None


def range_of_integers(lowest: int, highest: int) -> tuple[int, int]:
    """The range of the fewest usual bits that hold ``lowest`` and ``highest``, or up to the largest of more bits."""
    if lowest < 0:
        halves = (2 ** (bits - 1) for bits in _BITS)
        half = next((half for half in halves if -half <= lowest and highest < half), max(-lowest, highest + 1))
        return -half, half - 1
    return 0, next((2**bits - 1 for bits in _BITS if highest < 2**bits), highest)


def _range_of_floats(values: NDArray[np.float32]) -> tuple[float, float]:
    """The range of ``values``, none of them endless: of 1, or of integers. A few that are far beyond don't count."""
    signed = bool(values.size and np.mean(values < 0) > _FEW)
    sizes = np.abs(values[values != 0]) if signed else values[values > 0]
    if not sizes.size:
        return 0.0, 1.0
    typical, largest = (float(each) for each in np.percentile(sizes, (50, 99.9)))
    if sizes.max() <= 1 or (typical <= 1 and not np.array_equal(sizes, np.rint(sizes))):
        high = 1.0 if sizes.max() > _DIM else float(sizes.max())
        return -high if signed else 0.0, high
    top = int(min(largest / _OVERSHOOT, 2**31 - 1))
    return range_of_integers(-top if signed else 0, top)


def _some(values: NDArray[np.float32], nodata: float | None) -> NDArray[np.float32]:
    """Those of ``values`` that are looked at: a grid of them, without what is no number."""
    step = 1 + int((values.size / _LOOKED_AT) ** 0.5)
    grid = values[::step, ::step]
    there = np.abs(grid) < _ENDLESS  # false for NaN
    if nodata is not None:
        there &= grid != np.float32(nodata)
    return grid[there]


def _scaled(values: NDArray[Any], low: float, high: float, nodata: float | None) -> NDArray[np.uint8]:
    """``values`` as 8 bits: ``low`` is 0, ``high`` 255."""
    grey = np.empty(values.shape, np.uint8)
    for top in range(0, len(values), _BAND):  # never the whole picture in floating point
        band = values[top : top + _BAND].astype(np.float64)
        missing = ~(np.abs(band) < _ENDLESS) if nodata is None else ~(np.abs(band) < _ENDLESS) | (band == nodata)
        band = np.where(missing, 0.0, (band - low) * (255 / (high - low)))
        grey[top : top + _BAND] = np.clip(band, 0, 255).round()
    return grey


def _tags(image: Image.Image) -> Mapping[int, Any]:
    return image.tag_v2 if isinstance(image, TiffImagePlugin.TiffImageFile) else {}


def _number(tag: Any) -> float | None:
    """The first number in a tag's value, which may also be text; None if there is none."""
    first = tag[0] if isinstance(tag, tuple) and tag else tag
    try:
        number = float(first)
    except (TypeError, ValueError):
        return None
    return number if abs(number) < _ENDLESS else None
