"""The codes of a version on disk: ``index.faiss`` and, where the model gives a second code that tells pictures of one
class apart, ``details.faiss``. Each is a FAISS IndexBinaryFlat, and this is the only file that knows FAISS.

FAISS writes it. Reading is mapping: behind a header of 33 bytes the codes lie row by row, and every process on the
machine shares one copy of them in the page cache.
"""

import mmap
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from searcher.errors import VersionDamaged

INDEX_FILE = "index.faiss"
DETAILS_FILE = "details.faiss"

#: Row numbers stay below 2^32 − 1 so that an answer, distance and row, is one number of 64 bits.
MAX_CODES = 2**32 - 2

# Kind, bits, bytes of a code, codes, whether it is trained, metric, bytes of all codes (index_write.cpp of FAISS 1.15).
_HEADER = struct.Struct("<4siiq?iq")
_FLAT = b"IBxF"


def write_codes(codes: NDArray[np.uint8], path: Path) -> None:
    """Write ``codes``, uint8 (n, bits / 8), as a FAISS IndexBinaryFlat. OSError when the disk takes no more."""
    import faiss  # megabytes that a server never needs

    index = faiss.IndexBinaryFlat(8 * codes.shape[1])
    index.add(np.ascontiguousarray(codes))
    # FAISS's own files ignore a failing close, where a full disk may show first.
    with path.open("wb") as stream:
        faiss.write_index_binary(index, faiss.PyCallbackIOWriter(stream.write))  # type: ignore[attr-defined]


def map_codes(path: Path, *, count: int, bits: int) -> NDArray[np.uint8]:
    """The codes in the FAISS file at ``path``, read-only uint8 (count, bits / 8). The file must stay as long as it is.

    Raises VersionDamaged for anything but an IndexBinaryFlat of just these sizes.
    """
    try:
        with path.open("rb") as stream:
            header = stream.read(_HEADER.size)
            if len(header) < _HEADER.size:
                raise VersionDamaged(f"{path.name} is too short to hold an index")
            kind, index_bits, width, index_count, _, _, size = _HEADER.unpack(header)
            if kind != _FLAT or (index_bits, index_count) != (bits, count):
                held = f"of {index_count} codes of {index_bits} bits" if kind == _FLAT else f"with the mark {kind!r}"
                raise VersionDamaged(f"{path.name} is no flat index of {count} codes of {bits} bits, but one {held}")
            found = stream.seek(0, 2)
            if width * 8 != bits or size != count * width or found != _HEADER.size + size:
                raise VersionDamaged(f"{path.name} has {found} bytes, and {count} codes of {bits} bits need others")
            mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise VersionDamaged(f"{path.name} cannot be read ({error.strerror})") from error
    return np.frombuffer(mapped, np.uint8, count * width, _HEADER.size).reshape(count, width)
