"""Picture files for tests: what Pillow writes, and the PNGs that it cannot write."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]


def photo(width: int = 48, height: int = 32) -> Image.Image:
    """A smooth picture without any symmetry: every flip, turn and channel swap shows."""
    y, x = np.mgrid[0:height, 0:width]
    red, green = 40 + 200 * x / width, 220 - 180 * y / height
    blue = 30 + 200 * (x / width) * (y / height)
    return Image.fromarray(np.stack([red, green, blue], axis=-1).astype(np.uint8))


def saved(image: Image.Image, format: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def sample(name: str) -> bytes:
    """A file in samples/: ``photo(96, 64)`` in formats that nothing here writes."""
    return (Path(__file__).parent / "samples" / name).read_bytes()


def worst(one: NDArray[Any], other: NDArray[Any]) -> int:
    """The most that two pictures differ by."""
    return int(np.abs(one.astype(int) - other.astype(int)).max())


def deep_png(values: NDArray[np.uint16], *before: bytes) -> bytes:
    """A PNG of 16 bits a sample: ``values`` (h, w, 1 to 4), or (h, w); ``before`` are chunks before the pixels."""
    values = values[..., None] if values.ndim == 2 else values
    height, width, channels = values.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.tobytes() for row in values.astype(">u2"))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(before) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
