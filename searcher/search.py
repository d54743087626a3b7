"""Exact top-k by Hamming distance over the codes of one version; the only file that knows FAISS.

The codes stay where they are: ``index.faiss`` is mapped, not read, so every process on the machine shares one copy
in the page cache.
"""

from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from searcher.errors import VersionDamaged

INDEX_FILE = "index.faiss"

#: Bytes before the codes in FAISS's file; it was seen to crash on files shorter than that.
_HEADER = 33

#: Row numbers stay below 2^32 − 1 so that engines may store them in 32 bits.
MAX_CODES = 2**32 - 2


class CodeIndex:
    """The codes in the FAISS file at ``path``: ``count`` of them, ``bits`` wide.

    Raises VersionDamaged for anything but an IndexBinaryFlat of just these sizes.
    """

    def __init__(self, path: Path, *, count: int, bits: int) -> None:
        try:
            if path.stat().st_size < _HEADER:
                raise VersionDamaged(f"{path.name} is too short to hold an index")
            index = faiss.read_index_binary(str(path), faiss.IO_FLAG_MMAP_IFC)
        except (OSError, RuntimeError) as error:
            raise VersionDamaged(f"{path.name} cannot be read by FAISS") from error
        if not isinstance(index, faiss.IndexBinaryFlat) or index.ntotal != count or index.d != bits:
            raise VersionDamaged(
                f"{path.name} is no flat index of {count} codes of {bits} bits: it is {type(index).__name__} "
                f"with {index.ntotal} of {index.d}"
            )
        # FAISS's counting collector keeps codes of equal distance in row order; its heap does not promise that.
        index.use_heap = False  # type: ignore[attr-defined]
        self._index = index
        self.count = count
        self.bits = bits

    def search(self, queries: NDArray[np.uint8], top_k: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """The min(top_k, count) nearest codes of each query.

        ``queries`` is uint8 (n, bits / 8). Answers distances (differing bits) int32 and rows int64, both
        (n, min(top_k, count)), ordered by distance, then row.
        """
        k = min(top_k, self.count)
        if k == 0 or len(queries) == 0:
            return np.empty((len(queries), k), np.int32), np.empty((len(queries), k), np.int64)
        distances, rows = self._index.search(queries, k)
        return distances, rows

    def code(self, row: int) -> NDArray[np.uint8]:
        """The code on ``row``, uint8 (bits / 8,)."""
        if not 0 <= row < self.count:
            raise IndexError(f"row {row} of {self.count}")
        return np.asarray(self._index.reconstruct(row))


def write_codes(codes: NDArray[np.uint8], path: Path) -> None:
    """Write ``codes``, uint8 (n, bits / 8), as a FAISS IndexBinaryFlat. OSError when the disk takes no more."""
    index = faiss.IndexBinaryFlat(8 * codes.shape[1])
    index.add(np.ascontiguousarray(codes))
    # FAISS's own files ignore a failing close, where a full disk may show first.
    with path.open("wb") as stream:
        faiss.write_index_binary(index, faiss.PyCallbackIOWriter(stream.write))  # type: ignore[attr-defined]


def use_one_core() -> None:
    """Keep FAISS from starting threads of its own: a server runs a process a core already."""
    faiss.omp_set_num_threads(1)
