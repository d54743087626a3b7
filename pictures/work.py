"""How much work a picture is to decode, estimated before anything is decoded.

    samples = pixels × channels, as the decoder returns them      about 10 ns each
              × the cost of the format (pictures/formats.py)
    JPEG    + the cost of reading: every sample of the file, in every scan, even if it is skipped afterwards
            (JPEG 2000 likewise, without scans)
    HEIF    every pixel of every part that it is made of

A limit per picture does not bound a request: 32 small files of 89 million pixels each take 97 seconds. So requests and
batches have a budget of samples. A picture counts by its decoded pixels, not by its claimed ones: a JPEG of 108 million
pixels decoded at an eighth of its size is less work than a PNG of 20 million.
"""

import numpy as np
from PIL import Image
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile

from pictures.deep_colour import is_deep_colour
from pictures.formats import cost_of
from pictures.heif import coded_pixels
from pictures.jpegxl import Head

#: Reading a sample of a JPEG that isn't decoded further costs at most a fifth of decoding it: 0.2 to 1.8 of 9 ns. In a
#: progressive one, 0.2 to 0.8 of 9 ns a scan. Of a JPEG 2000, 2 ns.
_BASELINE, _SCAN = 5, 16

#: Modes that are converted to eight bits in floating point: 38 ns per pixel, measured.
_WIDE_MODES = ("F", "I", "I;16", "I;16B", "I;16L", "I;16N")
_WIDE = 4

#: The bytes FF DA, as a little-endian number.
_START_OF_SCAN = 0xDAFF


def scans(data: bytes) -> int:
    """The number of scans of a JPEG. Compressed data never holds the marker: there, a byte FF is followed by 00.

    Compares byte pairs at even, then at odd offsets, in a sixth of the time of ``bytes.count``.
    """
    pairs = (np.frombuffer(data, "<u2", (len(data) - start) // 2, start) for start in (0, 1))
    return sum(int(np.count_nonzero(each == _START_OF_SCAN)) for each in pairs)


def samples(image: Image.Image, claimed: tuple[int, int], data: bytes) -> int:
    """The work of decoding ``image``, which is opened and drafted; ``claimed`` is its size before drafting, ``data``
    the file."""
    width, height = decoded_size(image)
    pixels = max(width * height, coded_pixels(data)) if image.format == "HEIF" else width * height
    channels = _WIDE if image.mode in _WIDE_MODES else len(image.getbands())
    whole = claimed[0] * claimed[1] * channels
    work = pixels * channels * cost_of(image.format)
    if image.format in ("JPEG", "MPO"):
        work += whole * scans(data) // _SCAN if image.info.get("progressive") else whole // _BASELINE
    elif image.format == "JPEG2000":
        work += whole // _BASELINE
    elif is_deep_colour(image):
        work *= 2
    return work


def decoded_size(image: Image.Image) -> tuple[int, int]:
    """The size at which ``image``, which isn't loaded, will be decoded."""
    if isinstance(image, Jpeg2KImageFile) and isinstance(image.reduce, int):
        half = (1 << image.reduce) >> 1
        return (image.size[0] + half) >> image.reduce, (image.size[1] + half) >> image.reduce
    return image.size


def work_of(head: Head) -> int:
    """The work of decoding a JPEG XL, which Pillow's plug-in does while it opens it."""
    return head.width * head.height * head.channels * cost_of("JXL")


class BudgetSpent(Exception):
    """Decoding a picture is more work than its ``budget`` has left. Nothing of it is decoded."""

    def __init__(self, budget: "Budget") -> None:
        super().__init__(
            f"the pictures together are more than {budget.samples:,} samples of decoding work (pixels × channels, and "
            "a share of these for each scan of a JPEG)"
        )
        self.budget = budget


class Budget:
    """So many ``samples`` of work for several pictures together.

    The budget may be part of a ``whole`` that others share: what is taken here is taken there too, except for the first
    ``own`` samples, which nobody else can use up.
    """

    def __init__(self, samples: int, whole: "Budget | None" = None, own: int = 0) -> None:
        self.samples = samples
        self._left = samples
        self._whole = whole
        self._own = own

    def take(self, samples: int) -> None:
        """Take ``samples``. Raises BudgetSpent, which names the budget, and takes nothing where fewer are left."""
        if samples > self._left:
            raise BudgetSpent(self)
        shared = max(0, samples - self._own)
        if self._whole is not None and shared:
            self._whole.take(shared)
        self._own -= min(self._own, samples)
        self._left -= samples
