"""Collections in Milvus, beyond what every engine answers: what it stores, ties, indexes, adoption, the server."""

import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymilvus import CollectionSchema, DataType, FieldSchema

from searcher.collections import Collections
from searcher.engines import milvus_search
from searcher.engines.configuration import Configuration
from searcher.engines.engine import ForeignEngine
from searcher.engines.foreign import ForeignCollection
from searcher.engines.milvus_fields import Fields, Index
from searcher.engines.recall import with_index
from searcher.engines.registry import engine_of
from searcher.entry import Entry
from searcher.errors import EngineRefused, EngineUnavailable
from searcher.filters import parse_filter
from searcher.scan.floats import FloatIndex
from searcher.scan.ranking import Query, Ranking
from searcher.scan.search import CodeIndex
from tests.milvus import PASSWORD, MilvusServer
from tests.searcher.engines.opened import created
from tests.searcher.engines.test_pgvector import COLOURS, colour, coloured
from tests.searcher.live.fixtures import DETAILED, MODEL, addition, query
from tests.vectors import by_space


@pytest.fixture
def shoes(milvus: MilvusServer) -> ForeignEngine:
    return milvus.empty(DETAILED)


@pytest.fixture
def colours(milvus: MilvusServer) -> ForeignEngine:
    return milvus.empty(COLOURS)


class TestCollection:
    def test_anybody_can_read_it(self, shoes: ForeignEngine, milvus: MilvusServer) -> None:
        shoes.add([addition("b", 0x00FF, 0x0F, '{"size": 1}', bytes(16)), addition("a", 0, 0)])
        place = shoes._configuration.place  # type: ignore[attr-defined]
        client = milvus.client()
        first, second = client.query(place, filter='name > ""', output_fields=["*"], consistency_level="Strong")
        assert first["row"] > second["row"] > 1.7e18
        assert (first | {"row": 0}) == {"name": "a", "row": 0, "code": [b"\0\0"], "detail": "00"}
        assert (second["metadata"], second["digest"]) == ({"size": 1}, "00" * 16)
        assert client.describe_collection(place)["description"] == f"hashlake: grid with details (sha256 {'d' * 64})"

    def test_names_and_metadata_of_any_characters(self, shoes: ForeignEngine) -> None:
        names = ["a", "B", "\U0001f600", "\uffee", 'a/b "c"?%\\.png', "é", "z", "\n", "'", "{x}"]
        told = json.dumps({"s": names, "n": 2**63 - 1, "x": 1.5}, ensure_ascii=False)
        shoes.add([addition(name, 0, 0, told) for name in names])
        assert [entry.path for entry in shoes.list(limit=99)] == sorted(names)
        assert [entry.path for entry in shoes.list("é", 9)] == ["\uffee", "\U0001f600"]
        assert [entry.path for entry in shoes.entries()] == names
        assert [entry and entry.metadata for entry in shoes.get(names)] == [told] * len(names)
        assert shoes.remove([*names, "\ud800", "a\0"]) == len(names)

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            (addition("x" * 65_536, 0, 0), "names have at most 65,535 bytes"),
            (addition("x", 0, 0, f'{{"a": "{"y" * 65_536}"}}'), "x: metadata have at most 65,536 bytes"),
            (addition("x", 0, 0, f'{{"a": {2**65}}}'), "x: Milvus keeps integers of at most 64 bits"),
            (addition("x", 0, 0, '{"a": 1e999}'), "x: Milvus keeps no numbers as large as 1e999"),
        ],
        ids=["name", "metadata", "integer", "number"],
    )
    def test_what_it_cannot_keep_is_refused(self, wrong: Entry, message: str, shoes: ForeignEngine) -> None:
        with pytest.raises(ValueError, match=message):
            shoes.add([addition("a", 0, 0), wrong])
        assert shoes.count() == 0

    def test_what_it_says_of_itself(self, shoes: ForeignEngine) -> None:
        shoes.add([addition("a", 0, 0)])
        said = shoes.properties()
        assert str(said["server"]).startswith("Milvus v2.3") and said["images"] == 1
        assert said["index"] == "BIN_FLAT by HAMMING on code"
        assert said["fields"] == ["name VARCHAR", "row INT64", "code BINARY_VECTOR", "detail VARCHAR"]

    def test_a_place_of_the_same_model_is_shared_and_another_one_s_refused(
        self, shoes: ForeignEngine, milvus: MilvusServer
    ) -> None:
        place = shoes._configuration.place  # type: ignore[attr-defined]
        other = created(milvus.address(), place, DETAILED)
        other.add([addition("b", 0, 0)])
        other.delete()  # which found it there
        assert shoes.count() == 1
        with pytest.raises(EngineRefused, match=r"holds vectors of the model grid with details .*, and not of grid \("):
            created(milvus.address(), place, MODEL)
        with pytest.raises(EngineRefused, match="'shoes-v2' cannot be a collection's name in Milvus"):
            created(milvus.address(), "shoes-v2", MODEL)


class TestTheSameAsOurs:
    @pytest.mark.parametrize("scale", [1.0, 0.01])
    def test_floats(self, scale: float, colours: ForeignEngine) -> None:
        """Vectors so near each other that single precision cannot tell, and equal ones."""
        random = np.random.default_rng(0)
        vectors = (np.ones((400, 3)) + scale * random.integers(-3, 4, (400, 3)) / 8).astype(np.float16)
        colours.add([coloured(f"{row:03d}", *vector) for row, vector in enumerate(vectors.tolist())])
        ours = Ranking({}, FloatIndex(vectors))
        for top_k in (1, 10, 400):
            asked = [Query({"embedding": vector}, top_k) for vector in (vectors[0], vectors[8], vectors[0] * 0)]
            for found, right in zip(colours.search(asked), ours.search(asked), strict=True):
                assert found.paths == [f"{row:03d}" for row in right.rows]
                assert found.distances == right.of_order.tolist()
        with pytest.raises(ValueError, match="x: a vector of zeros has no direction"):
            colours.add([coloured("x", 0, 0, 0)])

    def test_farther_codes_are_left_out(self, colours: ForeignEngine) -> None:
        colours.add([coloured("red", 1, 0, 0), coloured("green", 0, 1, 0), coloured("yellow", 1, 1, 0)])
        (near,) = colours.search([colour(1, 0, 0, max_distance=1)])
        assert (near.paths, near.ordered_by) == (["red", "yellow"], "embedding")

    def test_codes_of_which_more_are_equal_than_milvus_gives(
        self, shoes: ForeignEngine, monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config
    ) -> None:
        """With --soak 100,000, beyond what Milvus really gives."""
        if pytestconfig.getoption("soak"):
            check_codes(shoes, 100_000)
        else:
            monkeypatch.setattr(milvus_search, "_MOST", 500)  # of 16,384
            monkeypatch.setattr(milvus_search, "_PAGE", 900)
            check_codes(shoes, 2000)


def check_codes(engine: ForeignEngine, count: int) -> None:
    """``count`` random codes, nearly all of them one, are found in the empty ``engine`` as ours finds them."""
    random = np.random.default_rng(0)
    codes = np.where(random.random((count, 2)) < 0.97, 7, random.integers(0, 4, (count, 2), np.uint8)).astype(np.uint8)
    details = random.integers(0, 16, (count, 1), np.uint8)
    entries = [
        Entry(f"{row:07d}", {"code": code.tobytes(), "detail": detail.tobytes()}, '{"odd": true}' if row % 2 else None)
        for row, (code, detail) in enumerate(zip(codes, details, strict=True))
    ]
    for start in range(0, count, 20_000):
        engine.add(entries[start : start + 20_000])
    ours = Ranking({"code": CodeIndex(codes), "detail": CodeIndex(details)})
    odd = np.packbits(np.arange(count) % 2 == 1, bitorder="little")
    common = np.array([7, 7], np.uint8)
    asked = [
        Query(by_space(common, details[1]), 100),
        Query(by_space(np.array([0, 1], np.uint8)), 100),
        Query(by_space(common, details[3]), 20, 1, "detail"),
    ]
    for where, allowed in ((None, None), (parse_filter({"odd": True}), odd)):
        for found, right in zip(engine.search(asked, where), ours.search(asked, allowed), strict=True):
            assert found.paths == [f"{row:07d}" for row in right.rows]
            assert found.distances == right.of_order.tolist()
        assert engine.count(where) == (count if where is None else count // 2)
    assert [entry.path for entry in engine.entries()] == [entry.path for entry in entries]


class TestFilters:
    def test_what_milvus_cannot_say_the_metadata_decide(self, shoes: ForeignEngine) -> None:
        told = ['{"n": 5}', '{"n": [1, 9]}', '{"n": null}', None, '{"n": "5"}', f'{{"n": {2**53 + 1}}}', '{"a.b": 1}']
        shoes.add([addition(str(row), 0, 0, metadata) for row, metadata in enumerate(told)])
        for given, right in [
            ({"n": {"$gt": 4}}, "015"),
            ({"n": None}, "236"),
            ({"n": 9}, "1"),
            ({"n": 2**53}, ""),
            ({"n": 2**53 + 1}, "5"),
            ({"n": {"$not": {"$lt": 2**60}}}, "2346"),
            ({'"': 1}, ""),
            ({"a.b": 1}, "6"),
        ]:
            where = parse_filter(given)  # type: ignore[arg-type]
            assert "".join(shoes.search([query(0, 0, 9)], where)[0].paths) == right, given
            assert "".join(entry.path for entry in shoes.list(limit=9, where=where)) == right, given
            assert shoes.count(where) == len(right), given


class TestIndex:
    def test_its_recall_is_measured_and_exact_searches_do_without(self, milvus: MilvusServer, tmp_path: Path) -> None:
        place = f"indexed{next(milvus.names)}"
        collection = Collections(tmp_path).create(place, DETAILED, milvus.address())
        assert isinstance(collection, ForeignCollection)
        random = np.random.default_rng(0)
        collection.add([addition(f"{row:04d}", int(random.integers(0, 1 << 16)), 0) for row in range(3000)])
        (right,) = collection.view().search([query(0, 0, 10)])
        with_index(collection, "ivf").write(collection.folder)
        indexed = Collections(tmp_path).open(place)
        assert isinstance(indexed, ForeignCollection) and indexed.configuration.index is not None
        index = indexed.configuration.index
        assert (index.kind, index.queries, index.images) == ("ivf", 100, 3000) and 0.3 < index.recall < 1
        assert indexed.engine.properties()["index"] == "BIN_IVF_FLAT by HAMMING on code"
        (exact,) = indexed.view().search([Query(query(0, 0, 10).vectors, exact=True)])
        assert exact.paths == right.paths
        with pytest.raises(EngineRefused, match="no index 'hnsw' here: there is ivf"):
            indexed.engine.index("hnsw")
        Collections(tmp_path).delete(place)

    def test_embeddings_have_hnsw_too(self, milvus: MilvusServer, tmp_path: Path) -> None:
        place = f"indexed{next(milvus.names)}"
        collection = Collections(tmp_path).create(place, COLOURS, milvus.address())
        assert isinstance(collection, ForeignCollection)
        random = np.random.default_rng(0)
        collection.add([coloured(f"{row:04d}", *random.standard_normal(3)) for row in range(1000)])
        (right,) = collection.view().search([colour(0.5, 0.2, 0.1, top_k=10)])
        for kind, said in (("hnsw", "HNSW by COSINE"), ("ivf", "IVF_FLAT by COSINE")):
            with_index(collection, kind).write(collection.folder)
            indexed = Collections(tmp_path).open(place)
            assert isinstance(indexed, ForeignCollection) and indexed.configuration.index is not None
            index = indexed.configuration.index
            assert (index.kind, index.queries, index.images) == (kind, 100, 1000) and 0.3 < index.recall <= 1
            assert indexed.engine.properties()["index"] == f"{said} on embedding"
            (near,) = indexed.view().search([colour(0.5, 0.2, 0.1, top_k=10)])
            assert near.distances == sorted(near.distances) and len({*near.paths} & {*right.paths}) >= 3
            (exact,) = indexed.view().search([Query(colour(0.5, 0.2, 0.1).vectors, exact=True)])
            assert exact.paths == right.paths
            with_index(indexed, None).write(indexed.folder)
            assert Collections(tmp_path).open(place).view().search([colour(0.5, 0.2, 0.1, top_k=10)])[0] == right
        Collections(tmp_path).delete(place)


class TestAdopted:
    @pytest.fixture
    def pictures(self, milvus: MilvusServer) -> ForeignEngine:
        """A collection as Idios makes it, restored there."""
        client, place = milvus.client(), f"vit{next(milvus.names)}"
        fields = [
            FieldSchema("url", DataType.VARCHAR, is_primary=True, max_length=2083),
            FieldSchema("embedding", DataType.FLOAT_VECTOR, dim=3),
            FieldSchema("metadata", DataType.VARCHAR, max_length=1024),
        ]
        client.create_collection(place, schema=CollectionSchema(fields, "reverse image search"))
        index = client.prepare_index_params()
        index.add_index("embedding", index_type="IVF_FLAT", metric_type="L2", params={"nlist": 16})
        client.create_index(place, index)
        vectors = {"b": [0.6, 0.8, 0], "a": [0.6, 0.8, 0], "c": [0, 0, 1], "d": [1, 0, 0]}
        rows: list[dict[str, Any]] = [
            {
                "url": f"http://x/{name}.jpg",
                "embedding": vector,
                "metadata": json.dumps({"n": name} if name < "c" else None),
            }
            for name, vector in vectors.items()
        ]
        client.insert(place, rows)
        return created(milvus.address(), place, COLOURS)

    def test_it_is_searched_as_it_is_and_filled_on(self, pictures: ForeignEngine, milvus: MilvusServer) -> None:
        assert [space.name for space in pictures.identity.spaces] == ["embedding"]
        (found,) = pictures.search([colour(0, 1, 0, top_k=3)])
        assert found.paths == [f"http://x/{name}.jpg" for name in "abc"]  # of equals, the first by name
        assert found.distances == pytest.approx([0.2, 0.2, 1], abs=1e-6)
        assert found.metadata == ['{"n": "a"}', '{"n": "b"}', None]
        assert pictures.count(parse_filter({"n": {"$gte": "b"}})) == 1
        configuration = pictures._configuration  # type: ignore[attr-defined]
        collection = ForeignCollection("pictures", Path(), configuration)
        collection.add(
            [coloured("http://x/e.jpg", 0, 0.6, 0.8, metadata='{"n": "e"}'), coloured("http://x/a.jpg", 0, 0, 1)]
        )
        assert [entry.path[-5] for entry in pictures.entries()] == list("abcde")
        assert pictures.get(["http://x/a.jpg", "http://x/e.jpg"]) == [
            Entry("http://x/a.jpg", {"embedding": np.array([0, 0, 1], np.float16).tobytes()}),
            Entry("http://x/e.jpg", {"embedding": np.array([0, 0.6, 0.8], np.float16).tobytes()}, '{"n": "e"}'),
        ]
        with pytest.raises(ValueError, match="the collection's metric L2 needs vectors of length 1"):
            collection.add([coloured("http://x/f.jpg", 1, 1, 1)])
        pictures.delete()
        assert milvus.client().has_collection(configuration.place)

    def test_what_cannot_be_adopted(self, pictures: ForeignEngine, milvus: MilvusServer) -> None:
        place = pictures._configuration.place  # type: ignore[attr-defined]
        with pytest.raises(EngineRefused, match=r"has no field for the vectors of grid .*: code BINARY_VECTOR\(16\)"):
            created(milvus.address(), place, DETAILED)
        milvus.client().insert(place, [{"url": "long", "embedding": [2, 0, 0], "metadata": "null"}])
        with pytest.raises(EngineRefused, match=r"only if all vectors have the length 1, and one has 2\.0000"):
            created(milvus.address(), place, COLOURS)


class TestWriters:
    def test_many_at_once_lose_nothing(self, shoes: ForeignEngine) -> None:
        names = [f"{number:03d}" for number in range(60)]

        def write(writer: int) -> None:
            order = np.random.default_rng(writer).permutation(60)
            for start in range(0, 60, 20):
                shoes.add([addition(names[number], writer, 0) for number in order[start : start + 20]])

        with ThreadPoolExecutor(4) as writers:
            list(writers.map(write, range(4)))
        assert [entry.path for entry in shoes.list(limit=100)] == names


class Forwarder:
    """Takes connections, and passes what is said to ``port`` and back, until it is closed."""

    def __init__(self, port: int, own: int = 0) -> None:
        self._port = port
        self._listening = socket.create_server(("127.0.0.1", own))
        self.port: int = self._listening.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                one, _ = self._listening.accept()
            except OSError:
                return
            other = socket.create_connection(("127.0.0.1", self._port))
            self._open += [one, other]
            for pair in ((one, other), (other, one)):
                threading.Thread(target=self._pass, args=pair, daemon=True).start()

    def _pass(self, one: socket.socket, other: socket.socket) -> None:
        try:
            while data := one.recv(65_536):
                other.sendall(data)
        except OSError:
            pass

    def cut(self) -> None:
        """End the connections."""
        for each in self._open:
            with suppress(OSError):  # the other side was faster
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._open.clear()

    def close(self) -> None:
        if self._listening.fileno() >= 0:
            self._listening.shutdown(socket.SHUT_RDWR)
            self._listening.close()
        self.cut()


class TestServer:
    @pytest.fixture
    def wire(self, milvus: MilvusServer) -> Iterator[Forwarder]:
        wire = Forwarder(milvus.port)
        yield wire
        wire.close()

    def test_a_lost_connection_is_made_anew_and_a_lost_server_told(
        self, shoes: ForeignEngine, wire: Forwarder, milvus: MilvusServer
    ) -> None:
        configuration: Configuration = shoes._configuration  # type: ignore[attr-defined]
        address = f"milvus://root:{PASSWORD}@127.0.0.1:{wire.port}"
        engine = engine_of(configuration)(configuration.model_copy(update={"address": address}))
        engine.add([addition("a", 0, 0)])
        wire.cut()
        assert engine.count() == 1
        wire.close()
        with pytest.raises(EngineUnavailable, match=rf"^milvus://127\.0\.0\.1:{wire.port} cannot be reached$"):
            engine.search([query(0, 0, 1)])
        again = Forwarder(milvus.port, wire.port)
        assert engine.remove(["a"]) == 1
        again.close()

    @pytest.mark.parametrize(
        ("address", "message"),
        [
            ("milvus://", "the address names no server: write milvus://HOST/DATABASE or set MILVUS_URI"),
            (f"milvus://root:{PASSWORD}/@x", "the address is no address of Milvus"),
            (f"milvus://root:{PASSWORD}@host:port/x", "the address is no address of Milvus"),
            ("milvus://host/a/b", "the address is no address of Milvus"),
        ],
    )
    def test_an_address_that_is_none(self, address: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("MILVUS_URI", raising=False)
        with pytest.raises(EngineRefused, match=message) as told:
            created(address, "shoes", DETAILED)
        assert PASSWORD not in str(told.value)

    def test_the_environment_has_the_address(self, milvus: MilvusServer, monkeypatch: pytest.MonkeyPatch) -> None:
        place = milvus.empty(DETAILED)._configuration.place  # type: ignore[attr-defined]
        monkeypatch.setenv("MILVUS_URI", f"http://127.0.0.1:{milvus.port}")
        monkeypatch.setenv("MILVUS_TOKEN", f"root:{PASSWORD}")
        configuration = Configuration(address="milvus://", place=place, model=DETAILED)
        assert engine_of(configuration)(configuration).count() == 0
        assert engine_of(configuration).shown(configuration) == milvus.shown


class TestMetadataOfOthers:
    """An adopted collection keeps them as text of so many bytes, and anybody may have written there."""

    FIELDS = Fields(
        "others", "url", 100, "code", MODEL.spaces[0], Index("BIN_FLAT", "HAMMING"), {}, "text", 20, rows=False,
        dynamic=False,
    )  # fmt: skip

    @pytest.mark.parametrize(
        ("kept", "text"),
        [
            ('{"a": 1}', '{"a": 1}'),
            ("[1]", "[1]"),
            ("null", None),
            (" null", None),
            ("", None),
            ("red", None),
            ("[" * 100_000, None),
            (None, None),
        ],
    )
    def test_what_is_no_json_is_none(self, kept: str | None, text: str | None) -> None:
        assert self.FIELDS.entry_of({"url": "a", "code": [b"\0\0"], "metadata": kept}).metadata == text

    def test_more_than_there_is_room_for(self) -> None:
        entry = Entry("a", {"code": b"\0\0"}, '{"a": "ééé"}')
        assert self.FIELDS.values_of(entry, 0)["metadata"] == entry.metadata
        with pytest.raises(ValueError, match="a: metadata have at most 20 bytes in Milvus, and these 21"):
            self.FIELDS.values_of(replace(entry, metadata='{"a": "éééééé"}'), 0)
