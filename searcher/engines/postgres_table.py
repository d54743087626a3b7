"""The table that holds a collection: one that hashlake makes, or one that was there.

    shoes     name, row, code bit(64), detail bit(256), embedding halfvec(512), metadata, digest, fetched, added
    pictures  filename text PRIMARY KEY, embedding vector(512)            adopted: what it lacks is not kept

``row`` counts additions and decides among equals; where there is none, names do, by code points.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray
from pgvector import Bit, HalfVector, Vector
from psycopg import sql

from contract.model import ModelIdentity
from contract.space import Space
from searcher.entry import Entry
from searcher.errors import EngineRefused

#: Columns beside those of vectors, which are called as their spaces.
_NAME, _ROW = "name", "row"
_KEPT = {"metadata": "jsonb", "digest": "bytea", "fetched": "jsonb"}
_ADDED = "added"
#: What the column of names is called in tables that others made.
_NAMES = (_NAME, "filename", "path", "url")
_TEXTS = re.compile(r"text|character varying(\(\d+\))?")

_COLUMNS = """
    SELECT a.attname, format_type(a.atttypid, a.atttypmod),
           EXISTS (SELECT FROM pg_index i WHERE i.indrelid = a.attrelid AND i.indisunique AND i.indpred IS NULL
                   AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum)
    FROM pg_attribute a WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""


@dataclass(frozen=True)
class VectorColumn:
    """The column ``name`` with the vectors of ``space``, of the SQL type ``kind``: bit, halfvec or vector."""

    name: str
    kind: str
    space: Space

    def value(self, row: bytes) -> Bit | HalfVector | Vector:
        """A vector, by its bytes, as the database takes it."""
        if self.kind == "bit":
            return Bit(row)
        vector = np.frombuffer(row, np.float16)
        return HalfVector(vector) if self.kind == "halfvec" else Vector(vector.astype(np.float32))

    def read(self, value: Any) -> NDArray[Any]:
        """What the database gives as a vector, as exact as it is stored: float32 of the type vector."""
        if self.kind == "bit":
            return np.frombuffer(value, np.uint8, offset=4)  # behind the number of bits
        read: NDArray[Any] = value.to_numpy()
        return read


@dataclass(frozen=True)
class Table:
    """The table ``place``, with the number ``oid``: its column of names, those of vectors, and which of metadata,
    digest and fetched it has. Its column ``row`` has numbers of the ``sequence``, if there is one."""

    place: sql.Identifier
    oid: int
    name: str
    sequence: str | None
    vectors: tuple[VectorColumn, ...]
    kept: tuple[str, ...]
    added: bool

    @property
    def order(self) -> sql.Composable:
        """What decides among equals."""
        return sql.Identifier(_ROW) if self.sequence else self.by_name

    @property
    def by_name(self) -> sql.Composable:
        """Names, in the order of code points."""
        return sql.SQL('{} COLLATE "C"').format(sql.Identifier(self.name))

    @property
    def metadata(self) -> sql.Composable:
        return sql.Identifier("metadata") if "metadata" in self.kept else sql.SQL("NULL::jsonb")

    @property
    def written(self) -> list[str]:
        """The columns that an addition fills, the name first."""
        counted = [_ROW] if self.sequence else []
        return [self.name, *self.kept, *(column.name for column in self.vectors), *counted]

    @property
    def selected(self) -> sql.Composable:
        """What ``entry_of`` reads: name, kept columns as text or bytes, vectors."""
        texts = [
            sql.SQL("{}::text" if _KEPT[each] == "jsonb" else "{}").format(sql.Identifier(each)) for each in self.kept
        ]
        columns = [sql.Identifier(column.name) for column in self.vectors]
        return sql.SQL(", ").join([sql.Identifier(self.name), *texts, *columns])

    def entry_of(self, found: Sequence[Any]) -> Entry:
        """A row of ``selected`` as an image."""
        vectors = {
            column.space.name: column.read(found[self.place_of(column)]).astype(column.space.dtype).tobytes()
            for column in self.vectors
        }
        return Entry(found[0], vectors, **dict(zip(self.kept, found[1 : 1 + len(self.kept)], strict=True)))

    def place_of(self, column: VectorColumn) -> int:
        """Where ``column`` is in ``selected``."""
        return 1 + len(self.kept) + self.vectors.index(column)

    def is_json(self, kept: str) -> bool:
        """Whether a column of ``kept`` has JSON; else it has bytes."""
        return _KEPT[kept] == "jsonb"

    def numbers(self, connection: psycopg.Connection[Any], count: int) -> list[int] | None:
        """The numbers of ``count`` new rows; None if rows have none."""
        if self.sequence is None:
            return None
        asked = "SELECT nextval(%s::regclass) FROM generate_series(1, %s)"
        return [number for (number,) in connection.execute(asked, (self.sequence, count))]

    def column(self, space: str) -> VectorColumn:
        return next(each for each in self.vectors if each.space.name == space)


def identifier_of(place: str) -> sql.Identifier:
    """``place``, TABLE or SCHEMA.TABLE, quoted."""
    return sql.Identifier(*place.split(".", 1))


def make(connection: psycopg.Connection[Any], place: str, model: ModelIdentity) -> None:
    """Make the table ``place`` for vectors of ``model``, which its comment names."""
    vectors = [
        sql.SQL("{} {} NOT NULL").format(sql.Identifier(_column(space)), sql.SQL(_type(space)))
        for space in model.spaces
    ]
    columns = [
        sql.SQL('{} text COLLATE "C" PRIMARY KEY').format(sql.Identifier(_NAME)),
        sql.SQL("{} bigserial NOT NULL").format(sql.Identifier(_ROW)),
        *vectors,
        *(sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(kind)) for name, kind in _KEPT.items()),
        sql.SQL("{} timestamptz NOT NULL DEFAULT now()").format(sql.Identifier(_ADDED)),
    ]
    table = identifier_of(place)
    connection.execute(sql.SQL("CREATE TABLE {} ({})").format(table, sql.SQL(", ").join(columns)))
    comment = sql.Literal(f"hashlake: {_label(model)}")
    connection.execute(sql.SQL("COMMENT ON TABLE {} IS {}").format(table, comment))


def find(connection: psycopg.Connection[Any], place: str, model: ModelIdentity) -> Table | None:
    """The table ``place`` as far as it holds vectors of ``model``; None if there is no such table. Raises EngineRefused
    if it holds none, or says that they are of another model."""
    table = identifier_of(place)
    found = connection.execute(
        "SELECT oid, obj_description(oid, 'pg_class') FROM (SELECT to_regclass(%s)::oid AS oid) AS found",
        (table.as_string(connection),),
    ).fetchone()
    if found is None or found[0] is None:
        return None
    oid, comment = found
    if comment and comment.startswith("hashlake: ") and comment != f"hashlake: {_label(model)}":
        made_with = comment.removeprefix("hashlake: ")
        raise EngineRefused(f"the table {place} holds vectors of the model {made_with}, and not of {_label(model)}")
    types: dict[str, str] = {}
    unique: list[str] = []
    for name, kind, is_unique in connection.execute(_COLUMNS, (oid,)):
        types[name] = kind
        if is_unique and _TEXTS.fullmatch(kind):
            unique.append(name)
    names = [name for name in _NAMES if name in unique] or unique
    if not names:
        raise EngineRefused(f"the table {place} has no unique column of texts that could be the images' names")
    vectors = tuple(column for space in model.spaces if (column := _found(space, types)) is not None)
    if not vectors:
        wanted = " or ".join(f"{_column(space)} {_type(space)}" for space in model.spaces)
        raise EngineRefused(f"the table {place} has no column for the vectors of {model.name}: {wanted}")
    kept = tuple(name for name, kind in _KEPT.items() if types.get(name) == kind)
    sequence = None
    if types.get(_ROW) == "bigint":
        (sequence,) = connection.execute(
            "SELECT pg_get_serial_sequence(%s, %s)", (table.as_string(connection), _ROW)
        ).fetchone() or (None,)
    added = types.get(_ADDED) == "timestamp with time zone"
    return Table(table, oid, names[0], sequence, vectors, kept, added)


def _found(space: Space, types: Mapping[str, str]) -> VectorColumn | None:
    kinds = ["bit"] if space.kind == "binary" else ["halfvec", "vector"]
    name = _column(space)
    kind = next((kind for kind in kinds if types.get(name) == f"{kind}({space.width})"), None)
    return None if kind is None else VectorColumn(name, kind, space)


def _column(space: Space) -> str:
    taken = (_NAME, _ROW, _ADDED, *_KEPT)
    return f"space_{space.name}" if space.name in taken else space.name


def _type(space: Space) -> str:
    return f"{'bit' if space.kind == 'binary' else 'halfvec'}({space.width})"


def _label(model: ModelIdentity) -> str:
    return f"{model.name} (sha256 {model.sha256})"
