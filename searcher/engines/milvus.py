"""Collections in Milvus, from 2.3 on.

add     upsert, by name, a few thousand images at a time
search  a scan of all vectors, exact, or on request an index (milvus_search.py)
filter  an expression, and metadata where Milvus cannot say it (milvus_filter.py)
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from random import SystemRandom

from pydantic import JsonValue

from contract.model import ModelIdentity
from searcher.engines.configuration import Configuration
from searcher.engines.milvus_fields import Clock, Fields, Index, find, flat, make, make_index, unlike_one
from searcher.engines.milvus_filter import ALWAYS, NEVER, quoted
from searcher.engines.milvus_search import STRONG, Found, Search, pages
from searcher.engines.milvus_server import Server
from searcher.engines.ranked import orders_of
from searcher.entry import Entry, require_fitting, require_json
from searcher.errors import EngineRefused, EngineUnavailable
from searcher.filters import Filter
from searcher.matches import Matches
from searcher.meets import meets
from searcher.scan.ranking import Order, Query

#: Images of one request: Milvus takes 64 MiB.
_AT_ONCE = 5000
#: Names of one request.
_NAMES = 2000
#: Vectors of an adopted collection that are looked at.
_SAMPLE = 1000
#: The lists of an IVF index, for each of so many images one.
_LISTS, _MOST_LISTS = 1000, 4096


class MilvusEngine:
    """The collection with this ``configuration`` as a ``ForeignEngine``. Milvus chooses its ``threads`` itself."""

    def __init__(self, configuration: Configuration, threads: int = 1) -> None:
        self._configuration = configuration
        self._server = Server(configuration.address)
        self._clock = Clock()

    @staticmethod
    def create(configuration: Configuration) -> Configuration:
        server, place, model = Server(configuration.address), configuration.place, configuration.model
        if not (place.isascii() and place.isidentifier()) or len(place) > 255:
            raise EngineRefused(
                f"{place!r} cannot be a collection's name in Milvus: letters, digits and underscores can; name another "
                "one as the place"
            )
        try:
            found = find(server, place, model)
            if found is None:
                make(server, place, model)
            else:
                server.ask("load_collection", place)
                _require_suiting(server, found)
        finally:
            server.rest()
        return configuration.model_copy(update={"made": found is None})

    @staticmethod
    def shown(configuration: Configuration) -> str:
        return Server(configuration.address).shown

    @cached_property
    def identity(self) -> ModelIdentity:
        held = {space.name for space in self._fields.spaces}
        model = self._configuration.model
        return model.model_copy(update={"spaces": tuple(space for space in model.spaces if space.name in held)})

    def search(self, queries: Sequence[Query], where: Filter | None = None) -> list[Matches]:
        orders = orders_of(queries, self.identity.spaces)
        return [self._nearest(query, order, where) for query, order in zip(queries, orders, strict=True)]

    def get(self, paths: Sequence[str]) -> list[Entry | None]:
        fields = self._fields
        found = {each[fields.name]: fields.entry_of(each) for each in self._named(paths, fields.read)}
        return [found.get(path) for path in paths]

    def list(self, after: str = "", limit: int = 50, where: Filter | None = None) -> list[Entry]:
        expression = self._fields.bounds(where).perhaps
        found = (entry for page in self._pages(expression, after, limit) for entry in page)
        return [*islice((entry for entry in found if where is None or meets(where, entry.metadata)), limit)]

    def count(self, where: Filter | None = None) -> int:
        fields, bounds = self._fields, self._fields.bounds(where)
        between = pages(self._server, fields, bounds.undecided, fields.read) if where is not None else ()
        more = sum(meets(where, fields.entry_of(each).metadata) for page in between for each in page)  # type: ignore[arg-type]
        return self._counted(bounds.surely) + more

    def add(self, entries: Sequence[Entry]) -> None:
        require_fitting(entries, self.identity)
        require_json(entries)
        fields = self._fields
        if fields.beyond:
            raise ValueError(f"the collection {fields.place} has fields that images lack: {', '.join(fields.beyond)}")
        last = {entry.path: place for place, entry in enumerate(entries)}
        numbered = zip(self._clock.rows(len(entries)), entries, strict=True)
        rows = [
            fields.values_of(entry, row) for place, (row, entry) in enumerate(numbered) if last[entry.path] == place
        ]
        for start in range(0, len(rows), _AT_ONCE):
            self._server.ask("upsert", fields.place, rows[start : start + _AT_ONCE])

    def remove(self, paths: Sequence[str]) -> int:
        found = [each[self._fields.name] for each in self._named(paths, [])]
        for start in range(0, len(found), _NAMES):
            names = ", ".join(map(quoted, found[start : start + _NAMES]))
            self._server.ask("delete", self._fields.place, filter=f"{self._fields.name} in [{names}]")
        return len(found)

    def entries(self) -> Iterator[Entry]:
        fields = self._fields
        if not fields.rows:
            for page in self._pages(ALWAYS):
                yield from page
            return
        placed = [
            (fields.place_of(each), each[fields.name])
            for page in pages(self._server, fields, ALWAYS, ["row"])
            for each in page
        ]
        names = (name for _, name in sorted(placed))
        while some := [*islice(names, _NAMES)]:
            yield from (entry for entry in self.get(some) if entry is not None)

    def sample(self, count: int) -> Sequence[Entry]:
        names = [each[self._fields.name] for page in pages(self._server, self._fields, ALWAYS, []) for each in page]
        chosen = SystemRandom().sample(names, min(count, len(names)))
        return [entry for entry in self.get(chosen) if entry is not None]

    def properties(self) -> Mapping[str, JsonValue]:
        server, fields = self._server, self._fields
        said = server.ask("describe_collection", fields.place)
        index = fields.index
        return {
            "server": f"Milvus {server.ask('get_server_version')}",
            "collections": len(server.ask("list_collections")),
            "images": self.count(),
            "fields": [f"{field['name']} {field['type'].name}" for field in said["fields"]],
            "index": f"{index.kind} by {index.metric} on {fields.vector}",
            "consistency": f"Strong; by default {said.get('consistency_level_name', 'another')}",
            "shards": said.get("num_shards", 1),
        }

    def index(self, kind: str | None) -> None:
        fields, server = self._fields, self._server
        wanted = self._wanted(kind)
        server.ask("flush", fields.place)
        server.ask("release_collection", fields.place)
        try:
            for name in server.ask("list_indexes", fields.place, field_name=fields.vector):
                server.ask("drop_index", fields.place, name)
            make_index(server, fields.place, fields.vector, wanted)
        finally:
            server.ask("load_collection", fields.place)
        del self._fields

    def delete(self) -> None:
        if self._configuration.made:
            self._server.ask("drop_collection", self._configuration.place)
        self.rest()

    def rest(self) -> None:
        self._server.rest()

    @cached_property
    def _fields(self) -> Fields:
        found = find(self._server, self._configuration.place, self._configuration.model)
        if found is None:
            raise EngineUnavailable(f"{self._server.shown} has no collection {self._configuration.place}")
        return found

    def _wanted(self, kind: str | None) -> Index:
        exact = flat(self._fields.searched)
        binary = self._fields.searched.kind == "binary"
        if kind is None:
            return exact
        if kind == "ivf":
            lists = min(max(16, self.count() // _LISTS), _MOST_LISTS)
            return Index("BIN_IVF_FLAT" if binary else "IVF_FLAT", exact.metric, lists)
        if kind == "hnsw" and not binary:
            return Index("HNSW", exact.metric)
        raise EngineRefused(f"Milvus has no index {kind!r} here: there is {'ivf' if binary else 'ivf, or hnsw'}")

    def _nearest(self, query: Query, order: Order, where: Filter | None) -> Matches:
        search = Search(self._server, self._fields, query, order, where)
        of_all = not query.exact and where is None and query.max_distance is None
        if self._configuration.index is not None and of_all and order[0] == self._fields.searched.name:
            return search.by_index()
        return search.exact()

    def _counted(self, expression: str) -> int:
        if expression == NEVER:
            return 0
        (found,) = self._server.ask(
            "query", self._fields.place, "" if expression == ALWAYS else expression, output_fields=["count(*)"],
            consistency_level=STRONG,
        )  # fmt: skip
        return int(found["count(*)"])

    def _pages(self, expression: str, after: str = "", limit: int | None = None) -> Iterator[Sequence[Entry]]:
        for page in pages(self._server, self._fields, expression, self._fields.read, after, limit):
            yield [self._fields.entry_of(each) for each in page]

    def _named(self, paths: Sequence[str], read: Sequence[str]) -> Sequence[Found]:
        """Those of ``read`` of the images called ``paths``, each once."""
        fields, found = self._fields, list[Found]()
        askable = [path for path in dict.fromkeys(paths) if path and "\0" not in path and _is_text(path)]
        for start in range(0, len(askable), _NAMES):
            names = ", ".join(map(quoted, askable[start : start + _NAMES]))
            found += self._server.ask(
                "query", fields.place, f"{fields.name} in [{names}]", output_fields=[fields.name, *read],
                limit=_NAMES, consistency_level=STRONG,
            )  # fmt: skip
        return found


def _is_text(path: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in path)


def _require_suiting(server: Server, fields: Fields) -> None:
    """Raises EngineRefused for an adopted collection whose order by distance isn't ours."""
    known = ("HAMMING",) if fields.searched.kind == "binary" else ("COSINE", "L2", "IP")
    if fields.index.metric not in known:
        raise EngineRefused(f"the collection {fields.place} is indexed by {fields.index.metric}, and not by {known[0]}")
    page = next(pages(server, fields, ALWAYS, [fields.vector], limit=_SAMPLE), [])
    if (length := unlike_one(fields, page)) is not None:
        raise EngineRefused(
            f"the collection {fields.place} is indexed by {fields.index.metric}, which orders as cosines do only "
            f"if all vectors have the length 1, and one has {length:.4f}"
        )
