"""Images as PostgreSQL's COPY takes them in binary, many at once.

    a row   number of columns | length, name | length, metadata | … | length, bits, code | … | length, row
            each by its own                                         └ of all rows at once, by NumPy ┘

Lengths and numbers are big-endian; what is missing has the length -1. The formats of the types are those of their
receiving functions: ``bit_recv``, ``jsonb_recv``, ``halfvec_recv`` and ``vector_recv``.
"""

from collections.abc import Iterator, Sequence
from struct import Struct

import numpy as np
from numpy.typing import NDArray

from searcher.engines.postgres_table import Table, VectorColumn
from searcher.entry import Entry

_START = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END = b"\xff\xff"
_LENGTH = Struct(">i").pack
_COUNT = Struct(">h").pack
_MISSING = _LENGTH(-1)
#: Before the text of a jsonb: the version of its format.
_JSONB = b"\1"


def copied(table: Table, entries: Sequence[Entry], numbers: Sequence[int] | None) -> Iterator[bytes]:
    """Yields what COPY reads: ``entries``, each with its number of ``numbers`` if the table counts its rows, in the
    columns ``table.written``."""
    jsons = [each for each in table.kept if table.is_json(each)]
    count = _COUNT(len(table.written))
    parts = [_vectors(column, entries) for column in table.vectors]
    if numbers is not None:
        parts.append(_fields(np.array(numbers, ">i8").view(np.uint8).reshape(len(entries), 8)))
    ends = np.concatenate(parts, axis=1).tobytes()
    width = sum(part.shape[1] for part in parts)
    yield _START
    rows = []
    for place, entry in enumerate(entries):
        rows += [count, _field(entry.path.encode())]
        for name in table.kept:
            value = getattr(entry, name)
            if not value:
                rows.append(_MISSING)
            elif name in jsons:
                rows.append(_field(_JSONB + value.encode()))
            else:
                rows.append(_field(value))
        rows.append(ends[place * width : (place + 1) * width])
    yield b"".join(rows)
    yield _END


def _field(value: bytes) -> bytes:
    return _LENGTH(len(value)) + value


def _fields(values: NDArray[np.uint8], head: bytes = b"") -> NDArray[np.uint8]:
    """(n, w) values of a column as (n, 4 + len(head) + w): each behind its length and ``head``."""
    before = _LENGTH(len(head) + values.shape[1]) + head
    heads = np.broadcast_to(np.frombuffer(before, np.uint8), (len(values), len(before)))
    return np.concatenate([heads, values], axis=1)


def _vectors(column: VectorColumn, entries: Sequence[Entry]) -> NDArray[np.uint8]:
    """(n, w) bytes: the field of each entry."""
    space = column.space
    stored = np.frombuffer(b"".join(entry.vectors[space.name] for entry in entries), np.uint8).reshape(len(entries), -1)
    if column.kind == "bit":
        return _fields(stored, _LENGTH(space.width))
    numbers = stored.view(np.float16).astype(">f2" if column.kind == "halfvec" else ">f4")
    return _fields(numbers.view(np.uint8), _COUNT(space.width) + bytes(2))
