"""What a picture may cost."""

from dataclasses import dataclass

#: A progressive JPEG is decoded once per scan, and scans can be a few bytes each; cameras and editors write about ten.
MAX_JPEG_SCANS = 100


@dataclass(frozen=True)
class Limits:
    """What a picture may cost: ``max_bytes`` of the file, ``max_pixels`` (width × height) as decoded, and
    ``max_samples`` of decoding work (pictures/work.py)."""

    max_bytes: int = 32 * 1024 * 1024
    max_pixels: int = 89_478_485
    max_samples: int = 360_000_000


DEFAULT_LIMITS = Limits()
