"""The vectors of a version on disk, one file per space.

    code                      index.faiss        a FAISS IndexBinaryFlat; the tables of "unnecessary fast" are its
    detail                    details.faiss      likewise
    another binary space      <name>.faiss       likewise
    a space of float16        <name>.npy         a plain array; the lists of many embeddings are beside it

Row i of each is image i. The files are mapped, so all processes on the machine share one copy in the page cache.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.space import CODE, DETAIL, EMBEDDING, Space, Vectors
from searcher.errors import VersionDamaged
from searcher.scan.codes import DETAILS_FILE, INDEX_FILE, write_codes
from searcher.scan.kernels import needing_numba
from searcher.scan.list_builder import build_lists
from searcher.scan.lists import LIST_FILES, write_lists
from searcher.scan.shortlist import Shortlist, measure
from searcher.scan.tables import TABLE_FILES, Mode, write_tables

_FILES = {CODE: INDEX_FILE, DETAIL: DETAILS_FILE}


def file_of(space: Space) -> str:
    """The name of the file that holds the vectors of ``space``."""
    return _FILES.get(space.name) or f"{space.name}.{'faiss' if space.kind == 'binary' else 'npy'}"


def files_of(spaces: Sequence[Space], mode: Mode) -> list[str]:
    """The files of a version with ``spaces`` that is searched in ``mode``."""
    return [*map(file_of, spaces), *(TABLE_FILES if mode == "unnecessary fast" else [])]


@dataclass(frozen=True)
class Written:
    """The names of the ``files``, and the ``shortlists`` of embeddings as measured on their rows."""

    files: list[str]
    shortlists: tuple[Shortlist, ...] = ()


def write_vectors(folder: Path, spaces: Sequence[Space], vectors: Vectors, mode: Mode = "default") -> Written:
    """Write ``vectors`` of all ``spaces``, and the tables that ``mode`` needs, to ``folder``.

    Raises OSError on a full disk, and CompilerMissing if tables are needed and numba is missing.
    """
    for space in spaces:
        path, array = folder / file_of(space), vectors[space.name]
        if space.kind == "binary":
            write_codes(array, path)
        else:
            np.save(path, np.ascontiguousarray(array, space.dtype), allow_pickle=False)
    for leftover in (*TABLE_FILES, *LIST_FILES):  # of a killed run in another mode
        (folder / leftover).unlink(missing_ok=True)
    if mode == "unnecessary fast":
        with needing_numba():
            from searcher.scan.table_builder import build_tables
        write_tables(build_tables(vectors[CODE]), folder)
    if CODE not in vectors or EMBEDDING not in vectors:
        return Written(files_of(spaces, mode))
    lists = build_lists(vectors[EMBEDDING], vectors[CODE])
    if lists is not None:
        write_lists(lists, folder)
    shortlists = measure(vectors[EMBEDDING], vectors[CODE], lists)
    return Written([*files_of(spaces, mode), *(LIST_FILES if lists else ())], shortlists)


def map_floats(path: Path, space: Space, count: int) -> NDArray[Any]:
    """The vectors in the file at ``path``, read-only float16 (count, width). The file must not shrink while mapped.

    Raises VersionDamaged for anything but a plain array of exactly these sizes.
    """
    try:
        with warnings.catch_warnings(action="error"):
            array = np.lib.format.open_memmap(path, mode="r")  # unlike numpy.load, no archives
    except Exception as error:  # NumPy parses the header as Python, and may raise anything
        raise VersionDamaged(f"{path.name} cannot be read ({error})") from error
    expected = (count, space.width)
    if array.dtype != space.dtype or array.shape != expected or not array.flags.c_contiguous:
        raise VersionDamaged(
            f"{path.name} is no array of {count} vectors of {space.width} float16, but {array.dtype} {array.shape}"
        )
    return np.asarray(array)
