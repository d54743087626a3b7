"""The binary vectors of a version on disk, one FAISS IndexBinaryFlat per space: ``index.faiss`` has the codes,
``details.faiss`` the detail codes (searcher/versions/vectors.py names all). This is the only file that knows FAISS.

FAISS writes the files. Reading maps them: after a header of 33 bytes the codes lie row by row, and all processes on the
machine share one copy of them in the page cache.
"""

import mmap
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from searcher.errors import VersionDamaged

INDEX_FILE = "index.faiss"
DETAILS_FILE = "details.faiss"

#: Row numbers stay below 2^32 − 1 so that an answer, distance and row, fits in one 64-bit number.
MAX_CODES = 2**32 - 2

# Kind, bits and bytes of a code, number of codes, whether it is trained, metric, bytes of all codes
# (index_write.cpp of FAISS 1.15).
_HEADER = struct.Struct("<4siiq?iq")
_FLAT = b"IBxF"


def write_codes(codes: NDArray[np.uint8], path: Path) -> None:
    """Write ``codes``, uint8 (n, bits / 8), as a FAISS IndexBinaryFlat. Raises OSError on a full disk."""
    import faiss  # megabytes that a server never needs

    index = faiss.IndexBinaryFlat(8 * codes.shape[1])
    index.add(np.ascontiguousarray(codes))
    # FAISS's own writer ignores a failing close, which may be the first sign of a full disk.
    with path.open("wb") as stream:
        faiss.write_index_binary(index, faiss.PyCallbackIOWriter(stream.write))  # type: ignore[attr-defined]


def map_codes(path: Path, *, count: int, bits: int) -> NDArray[np.uint8]:
    """The codes in the FAISS file at ``path``, read-only uint8 (count, bits / 8); it must not shrink while mapped.

    Raises VersionDamaged for anything but an IndexBinaryFlat of exactly these sizes.
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
