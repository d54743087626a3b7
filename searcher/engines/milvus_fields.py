"""The Milvus collection that holds a collection: one that hashlake makes, or one that was there.

    shoes    name VARCHAR key, row, code BINARY_VECTOR 64, detail VARCHAR in hex, dynamic: metadata, digest, fetched
    vit_b32  url VARCHAR key, embedding FLOAT_VECTOR 512, metadata VARCHAR          adopted: what it lacks is not kept

Milvus 2.3 has one field of vectors in a collection: that of the space which searches compare first. ``row`` is when an
image was added, in nanoseconds, and decides among equals; where there is none, names do, by code points.
"""

import json
import math
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pymilvus import CollectionSchema, DataType, FieldSchema
from pymilvus.milvus_client.index import IndexParams

from contract.model import ModelIdentity
from contract.space import CODE, EMBEDDING, Space
from searcher.engines.milvus_filter import ALWAYS, NEVER, Bounds, bounds_of
from searcher.engines.milvus_server import Server
from searcher.entry import Entry
from searcher.errors import EngineRefused
from searcher.filters import Filter
from searcher.meets import meets

_NAME, _ROW = "name", "row"
_METADATA, _DIGEST, _FETCHED = "metadata", "digest", "fetched"
#: What the key is called in collections that others made.
_NAMES = (_NAME, "url", "path", "filename")
_LONGEST_NAME = 65_535
#: Bytes of the dynamic field, and of fields of JSON.
_LONGEST_JSON = 65_536
#: How far a vector's length may be from 1 where Milvus doesn't compare cosines.
UNIT = 1e-3

Metadata = Literal["dynamic", "json", "text"]


class Clock:
    """Numbers for rows: nanoseconds since 1970, each used once in this process. Threads may share it."""

    def __init__(self) -> None:
        self._last = 0
        self._lock = threading.Lock()

    def rows(self, count: int) -> range:
        with self._lock:
            first = max(time.time_ns(), self._last + 1)
            self._last = first + count
        return range(first, first + count)


@dataclass(frozen=True)
class Index:
    """The index of the vectors: ``kind`` and ``metric`` in Milvus' words, ``lists`` of an IVF index."""

    kind: str
    metric: str
    lists: int = 0

    @property
    def compares_all(self) -> bool:
        """Whether it can be asked to compare every vector."""
        return self.kind in ("FLAT", "BIN_FLAT") or self.lists > 0


@dataclass(frozen=True)
class Fields:
    """The collection ``place``: its key ``name`` of at most ``longest`` bytes; the field ``vector``, of the space
    ``searched``, and its ``index``; fields of ``texts``, the vectors of other spaces in hex; how it keeps ``metadata``
    (None: not at all), of at most ``longest_metadata`` bytes, and whether it has rows and a dynamic field. Additions
    lack the fields ``beyond``."""

    place: str
    name: str
    longest: int
    vector: str
    searched: Space
    index: Index
    texts: Mapping[str, Space]
    metadata: Metadata | None
    longest_metadata: int
    rows: bool
    dynamic: bool
    beyond: tuple[str, ...] = ()

    @property
    def spaces(self) -> list[Space]:
        return [self.searched, *self.texts.values()]

    @property
    def read(self) -> list[str]:
        """The fields of which ``entry_of`` makes an image."""
        dynamic = [_DIGEST, _FETCHED] if self.dynamic else []
        kept = [_METADATA] if self.metadata else []
        return [self.name, self.vector, *self.texts, *([_ROW] if self.rows else []), *kept, *dynamic]

    def entry_of(self, found: Mapping[str, Any]) -> Entry:
        vectors = {space.name: bytes.fromhex(found[field]) for field, space in self.texts.items()}
        vectors[self.searched.name] = self.vector_of(found).astype(self.searched.dtype).tobytes()
        digest = found.get(_DIGEST) if self.dynamic else None
        return Entry(
            found[self.name],
            vectors,
            self._metadata_of(found),
            None if digest is None else bytes.fromhex(digest),
            _dumped(found, _FETCHED) if self.dynamic else None,
        )

    def vector_of(self, found: Mapping[str, Any]) -> NDArray[Any]:
        """The searched vector, as exact as it is stored: float32 of floats."""
        value = found[self.vector]
        if self.searched.kind == "binary":
            return np.frombuffer(value[0] if isinstance(value, list) else value, np.uint8)
        return np.asarray(value, np.float32)

    def _metadata_of(self, found: Mapping[str, Any]) -> str | None:
        """As JSON text; None for a text that is none, which others may have left there."""
        if self.metadata != "text":
            return _dumped(found, _METADATA)
        text: str = found.get(_METADATA) or "null"
        try:
            return None if json.loads(text) is None else text
        except (ValueError, RecursionError):
            return None

    def place_of(self, found: Mapping[str, Any]) -> str:
        """Its place among equals."""
        return f"{found[_ROW]:020d} {found[self.name]}" if self.rows else found[self.name]

    def asked(self, vector: NDArray[Any]) -> Any:
        """A vector of the searched space, of a query, as Milvus takes it."""
        if self.searched.kind == "binary":
            return vector.tobytes()
        floats = vector.astype(np.float32)
        length = np.linalg.norm(floats)
        return floats / length if length > 0 else floats

    def values_of(self, entry: Entry, row: int) -> dict[str, Any]:
        """``entry`` as Milvus takes it. Raises ValueError for what it doesn't."""
        if len(entry.path.encode()) > self.longest:
            raise ValueError(f"{entry.path[:80]}…: names have at most {self.longest:,} bytes in Milvus")
        vector: Any = entry.vectors[self.searched.name]
        if self.searched.kind != "binary":
            vector = np.frombuffer(vector, self.searched.dtype).astype(np.float32)
            _require_direction(entry.path, vector, self.index.metric)
        values = {self.name: entry.path, self.vector: vector}
        values |= {field: entry.vectors[space.name].hex() for field, space in self.texts.items()}
        if self.rows:
            values[_ROW] = row
        if self.metadata is None and entry.metadata:
            raise ValueError(f"{entry.path}: the collection {self.place} has no field for metadata")
        dynamic: dict[str, Any] = {}
        if self.dynamic and entry.digest is not None:
            dynamic[_DIGEST] = entry.digest.hex()
        if self.dynamic and entry.fetched is not None:
            dynamic[_FETCHED] = _loaded(entry.path, entry.fetched)
        if self.metadata == "text":
            text = values[_METADATA] = entry.metadata or "null"
            _require_short(entry.path, len(text.encode()), self.longest_metadata)
        elif self.metadata == "json":
            values[_METADATA] = _loaded(entry.path, entry.metadata or "null")
        elif entry.metadata is not None:
            dynamic[_METADATA] = _loaded(entry.path, entry.metadata)
        if self.metadata != "text" and len(entry.metadata or "") + len(entry.fetched or "") > _LONGEST_JSON // 4:
            size = len(json.dumps(dynamic or values.get(_METADATA), ensure_ascii=False).encode())
            _require_short(entry.path, size, _LONGEST_JSON)
        return values | dynamic

    def bounds(self, where: Filter | None) -> Bounds:
        """``where`` in Milvus' expressions."""
        if where is None:
            return Bounds(ALWAYS, ALWAYS)
        if self.metadata is None:
            decided = ALWAYS if meets(where, None) else NEVER
            return Bounds(decided, decided)
        return Bounds(NEVER, ALWAYS) if self.metadata == "text" else bounds_of(where, _METADATA)


def make(server: Server, place: str, model: ModelIdentity) -> None:
    """Make the collection ``place`` for vectors of ``model``, which its description names."""
    searched = _searched(model)
    fields = [
        FieldSchema(_NAME, DataType.VARCHAR, is_primary=True, max_length=_LONGEST_NAME),
        FieldSchema(_ROW, DataType.INT64),
    ]
    for space in model.spaces:
        if space != searched:
            fields.append(FieldSchema(_field(space), DataType.VARCHAR, max_length=2 * space.row_bytes))
        else:
            kind = DataType.BINARY_VECTOR if space.kind == "binary" else DataType.FLOAT_VECTOR
            fields.append(FieldSchema(_field(space), kind, dim=space.width))
    schema = CollectionSchema(fields, f"hashlake: {_label(model)}", enable_dynamic_field=True)
    server.ask("create_collection", place, schema=schema, num_shards=1, consistency_level="Strong")
    make_index(server, place, _field(searched), flat(searched))
    server.ask("load_collection", place)


def make_index(server: Server, place: str, field: str, index: Index) -> None:
    wanted = IndexParams()
    parameters = {"nlist": index.lists} if index.lists else {"M": 16, "efConstruction": 200}
    wanted.add_index(field, index_type=index.kind, metric_type=index.metric, params=parameters)
    server.ask("create_index", place, wanted)


def flat(space: Space) -> Index:
    """The index that compares every vector of ``space``."""
    return Index("BIN_FLAT", "HAMMING") if space.kind == "binary" else Index("FLAT", "COSINE")


def find(server: Server, place: str, model: ModelIdentity) -> Fields | None:
    """The collection ``place`` as far as it holds vectors of ``model``; None if there is no such collection. Raises
    EngineRefused if it holds none, or says that they are of another model."""
    if not server.ask("has_collection", place):
        return None
    said = server.ask("describe_collection", place)
    described = said["description"]
    if described.startswith("hashlake: ") and described != f"hashlake: {_label(model)}":
        made_with = described.removeprefix("hashlake: ")
        raise EngineRefused(
            f"the collection {place} holds vectors of the model {made_with}, and not of {_label(model)}"
        )
    fields = {field["name"]: field for field in said["fields"]}
    key = next(field for field in said["fields"] if field.get("is_primary"))
    if key["type"] != DataType.VARCHAR or said.get("auto_id") or key.get("auto_id"):
        raise EngineRefused(f"the collection {place} has no key of texts that could be the images' names")
    vector = next((space for space in _by_search(model) if _holds(fields.get(_field(space)), space)), None)
    if vector is None:
        wanted = " or ".join(f"{_field(space)} {_type(space)}" for space in model.spaces)
        raise EngineRefused(f"the collection {place} has no field for the vectors of {model.name}: {wanted}")
    texts = {
        _field(space): space
        for space in model.spaces
        if space != vector and fields.get(_field(space), {}).get("type") == DataType.VARCHAR
    }
    dynamic = bool(said.get("enable_dynamic_field"))
    kinds: dict[Any, Metadata] = {DataType.JSON: "json", DataType.VARCHAR: "text"}
    metadata = kinds.get(fields[_METADATA]["type"]) if _METADATA in fields else "dynamic" if dynamic else None
    longest = fields.get(_METADATA, {}).get("params", {}).get("max_length", _LONGEST_JSON)
    known = {key["name"], _field(vector), *texts, _ROW, _METADATA}
    return Fields(
        place, key["name"], key["params"].get("max_length", _LONGEST_NAME), _field(vector), vector,
        _index(server, place, _field(vector)), texts, metadata, int(longest),
        rows=fields.get(_ROW, {}).get("type") == DataType.INT64, dynamic=dynamic,
        beyond=tuple(sorted(fields.keys() - known)),
    )  # fmt: skip


def _index(server: Server, place: str, field: str) -> Index:
    names = server.ask("list_indexes", place, field_name=field)
    if not names:
        raise EngineRefused(f"the collection {place} has no index on {field}, and so cannot be searched")
    said = server.ask("describe_index", place, names[0])
    return Index(said["index_type"], said["metric_type"], int(said.get("nlist", 0)))


def _searched(model: ModelIdentity) -> Space:
    """The space that searches by distance look into."""
    return _by_search(model)[0]


def _by_search(model: ModelIdentity) -> list[Space]:
    names = (EMBEDDING, CODE)
    return sorted(model.spaces, key=lambda space: names.index(space.name) if space.name in names else len(names))


def _holds(field: Mapping[str, Any] | None, space: Space) -> bool:
    kind = DataType.BINARY_VECTOR if space.kind == "binary" else DataType.FLOAT_VECTOR
    return field is not None and field["type"] == kind and int(field["params"]["dim"]) == space.width


def _field(space: Space) -> str:
    taken = (*_NAMES, _ROW, _METADATA, _DIGEST, _FETCHED)
    return f"space_{space.name}" if space.name in taken else space.name


def _type(space: Space) -> str:
    return f"{'BINARY_VECTOR' if space.kind == 'binary' else 'FLOAT_VECTOR'}({space.width})"


def _label(model: ModelIdentity) -> str:
    return f"{model.name} (sha256 {model.sha256})"


def _require_direction(path: str, vector: NDArray[np.float32], metric: str) -> None:
    length = float(np.linalg.norm(vector))
    if length == 0:
        raise ValueError(f"{path}: a vector of zeros has no direction, and Milvus would never find it")
    if metric != "COSINE" and abs(length - 1) > UNIT:
        raise ValueError(
            f"{path}: the collection's metric {metric} needs vectors of length 1, and this has {length:.4f}"
        )


def _loaded(path: str, text: str) -> Any:
    """The JSON in ``text``. Raises ValueError for numbers that Milvus doesn't keep."""

    def whole(digits: str) -> int:
        if not -(1 << 63) <= (number := int(digits)) < 1 << 64:
            raise ValueError(f"{path}: Milvus keeps integers of at most 64 bits, and not {digits[:30]}")
        return number

    def real(digits: str) -> float:
        if not math.isfinite(number := float(digits)):
            raise ValueError(f"{path}: Milvus keeps no numbers as large as {digits[:30]}")
        return number

    return json.loads(text, parse_int=whole, parse_float=real)


def _dumped(found: Mapping[str, Any], key: str) -> str | None:
    return json.dumps(found[key], ensure_ascii=False) if key in found else None


def _require_short(path: str, size: int, longest: int) -> None:
    if size > longest:
        raise ValueError(f"{path}: metadata have at most {longest:,} bytes in Milvus, and these {size:,}")


def unlike_one(fields: Fields, sample: Sequence[Mapping[str, Any]]) -> float | None:
    """The first length of a vector in ``sample`` that isn't 1, where that matters."""
    if fields.searched.kind == "binary" or fields.index.metric == "COSINE":
        return None
    lengths = (float(np.linalg.norm(fields.vector_of(each))) for each in sample)
    return next((length for length in lengths if abs(length - 1) > UNIT), None)
