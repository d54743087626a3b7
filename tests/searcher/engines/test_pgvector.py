"""What is PostgreSQL's own: its tables, others' tables, writers side by side, and servers that come and go."""

import json
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from numpy.typing import NDArray

from contract.model import ModelIdentity
from contract.space import Space
from searcher.collections import Collections
from searcher.engines.configuration import ENGINE_FILE, Configuration
from searcher.engines.foreign import ForeignCollection
from searcher.engines.pgvector import PgvectorEngine
from searcher.engines.recall import with_index
from searcher.engines.registry import engine_of
from searcher.entry import Entry
from searcher.errors import CollectionExists, CollectionMissing, EngineRefused, EngineUnavailable
from searcher.filters import parse_filter
from searcher.scan.floats import FloatIndex
from searcher.scan.ranking import Query, Ranking
from searcher.scan.search import CodeIndex
from tests.postgres import PASSWORD, PostgresServer
from tests.searcher.engines.opened import created
from tests.searcher.live.fixtures import DETAILED, MODEL, addition, query
from tests.vectors import by_space

#: Codes of 8 bits beside embeddings of three numbers.
COLOURS = ModelIdentity(
    name="colours",
    sha256="c" * 64,
    spaces=(
        Space(name="code", width=8),
        Space(name="embedding", kind="float16", width=3, metric="cosine"),
    ),
    precision="float32",
    preprocessing={"image_size": 16},
    text=True,
)


@pytest.fixture
def shoes(postgres: PostgresServer, place: str) -> PgvectorEngine:
    engine = created(postgres.address(), place, DETAILED)
    assert isinstance(engine, PgvectorEngine)
    return engine


def sql(postgres: PostgresServer, command: str, parameters: Sequence[object] = ()) -> list[Any]:
    with psycopg.connect(postgres.address(), autocommit=True) as connection:
        cursor = connection.execute(command, parameters)
        return cursor.fetchall() if cursor.description else []


def coloured(path: str, *numbers: float, metadata: str | None = None) -> Entry:
    vector = np.array(numbers, np.float16)
    return Entry(path, {"code": np.packbits(vector > 0).tobytes(), "embedding": vector.tobytes()}, metadata)


def colour(*numbers: float, **more: Any) -> Query:
    vector = np.array(numbers, np.float16)
    return Query({"code": np.packbits(vector > 0), "embedding": vector}, **more)


class TestTable:
    def test_anybody_can_read_it(self, shoes: PgvectorEngine, postgres: PostgresServer, place: str) -> None:
        shoes.add([addition("b", 0x00FF, 0x0F, '{"size": 1, "colours": ["red"]}', bytes(16)), addition("a", 0, 0)])
        found = sql(
            postgres,
            "SELECT name, row, code::text, detail::text, metadata->>'size', digest, added IS NULL "
            f"FROM {place} ORDER BY row",
        )
        assert found == [
            ("b", 1, "0000000011111111", "00001111", "1", bytes(16), False),
            ("a", 2, "0000000000000000", "00000000", None, None, False),
        ]
        assert sql(postgres, "SELECT obj_description(%s::regclass)", (place,)) == [
            (f"hashlake: grid with details (sha256 {'d' * 64})",)
        ]

    def test_metadata_say_the_same_in_another_spelling(self, shoes: PgvectorEngine) -> None:
        given = '{"z":1.50,"a":"\\u00e9","deep":{"yy":[1e2,true,null],"x":""}}'
        shoes.add([addition("a", 0, 0, given)])
        (found,) = shoes.get(["a"])
        assert found is not None and found.metadata is not None
        assert json.loads(found.metadata) == json.loads(given)

    def test_names_are_in_the_order_of_code_points(self, shoes: PgvectorEngine) -> None:
        names = ["a", "B", "\U0001f600", "\uffee", "a/b 'c'?%.png", "é", "z"]
        shoes.add([addition(name, 0, 0) for name in names])
        assert [entry.path for entry in shoes.list(limit=9)] == sorted(names)
        assert [entry.path for entry in shoes.list("é", 9)] == ["\uffee", "\U0001f600"]
        assert [entry.path for entry in shoes.entries()] == names

    def test_a_database_gets_the_extension(self, postgres: PostgresServer) -> None:
        engine = created(postgres.database(), "shoes", DETAILED)
        engine.add([addition("a", 0, 0)])
        assert engine.count() == 1

    def test_what_it_says_of_itself(self, shoes: PgvectorEngine, place: str) -> None:
        shoes.add([addition("a", 0, 0)])
        said = shoes.properties()
        assert str(said["server"]).startswith("PostgreSQL 1")
        assert (said["images"], f"CREATE UNIQUE INDEX {place}_pkey" in str(said["indexes"])) == (1, True)
        assert str(said["on disk"]).endswith("kB") and "vector 0." in str(said["extensions"])

    def test_a_table_of_the_same_model_is_shared_and_another_one_s_refused(
        self, shoes: PgvectorEngine, postgres: PostgresServer, place: str
    ) -> None:
        shoes.add([addition("a", 0, 0)])
        other = created(postgres.address(), place, DETAILED)
        other.add([addition("b", 0, 0)])
        assert shoes.count() == 2
        other.delete()  # which found it there
        assert shoes.count() == 2
        with pytest.raises(EngineRefused, match=r"holds vectors of the model grid with details .*, and not of grid \("):
            created(postgres.address(), place, MODEL)
        shoes.delete()
        with pytest.raises(EngineUnavailable, match="fails: relation"):
            other.count()


class TestFloats:
    @pytest.mark.parametrize("scale", [1.0, 0.01])
    def test_the_same_order_as_ours(self, scale: float, postgres: PostgresServer, place: str) -> None:
        """Vectors so near each other that single precision cannot tell, equal ones, and one of zeros."""
        random = np.random.default_rng(0)
        vectors = (np.ones((400, 3)) + scale * random.integers(-3, 4, (400, 3)) / 8).astype(np.float16)
        vectors[7] = 0
        engine = created(postgres.address(), place, COLOURS)
        engine.add([coloured(f"{row:03d}", *vector) for row, vector in enumerate(vectors.tolist())])
        ours = Ranking({}, FloatIndex(vectors))
        for top_k in (1, 10, 400):
            asked = [Query({"embedding": vectors[row]}, top_k) for row in (0, 7, 8)]
            for found, right in zip(engine.search(asked), ours.search(asked), strict=True):
                assert found.paths == [f"{row:03d}" for row in right.rows]
                assert found.distances == right.of_order.tolist()

    def test_farther_codes_are_left_out(self, postgres: PostgresServer, place: str) -> None:
        engine = created(postgres.address(), place, COLOURS)
        engine.add([coloured("red", 1, 0, 0), coloured("green", 0, 1, 0), coloured("yellow", 1, 1, 0)])
        (near,) = engine.search([colour(1, 0, 0, max_distance=1)])
        assert (near.paths, near.ordered_by) == (["red", "yellow"], "embedding")


class TestTheSameAsOurs:
    def test_of_100_000_codes_with_ties(self, postgres: PostgresServer, place: str) -> None:
        random = np.random.default_rng(0)
        codes = random.integers(0, 4, (100_000, 2), np.uint8)  # 16 codes, so that thousands are equally far
        details = random.integers(0, 16, (100_000, 1), np.uint8)
        engine = created(postgres.address(), place, DETAILED)
        engine.add(
            [
                Entry(f"{row:06d}", {"code": code, "detail": detail}, '{"odd": true}' if row % 2 else None)
                for row, (code, detail) in enumerate(zip(_rows(codes), _rows(details), strict=True))
            ]
        )
        ours = Ranking({"code": CodeIndex(codes), "detail": CodeIndex(details)})
        odd = np.packbits(np.arange(100_000) % 2 == 1, bitorder="little")
        asked = [
            Query(by_space(codes[0], details[1]), 100),
            Query(by_space(codes[0]), 100),
            Query(by_space(codes[2], details[3]), 20, 1, "detail"),
        ]
        for where, allowed in ((None, None), (parse_filter({"odd": True}), odd)):
            for found, right in zip(engine.search(asked, where), ours.search(asked, allowed), strict=True):
                assert found.paths == [f"{row:06d}" for row in right.rows]
                assert found.distances == right.of_order.tolist()
        engine.delete()


class TestIndex:
    def test_its_recall_is_measured_and_exact_searches_do_without(
        self, postgres: PostgresServer, place: str, tmp_path: Path
    ) -> None:
        collection = Collections(tmp_path).create(place, DETAILED, postgres.address())
        assert isinstance(collection, ForeignCollection)
        random = np.random.default_rng(0)
        collection.add([addition(f"{row:04d}", int(random.integers(0, 1 << 16)), 0) for row in range(2000)])
        with_index(collection, "hnsw").write(collection.folder)
        indexed = Collections(tmp_path).open(place)
        assert isinstance(indexed, ForeignCollection)
        index = indexed.configuration.index
        assert index is not None
        assert (index.kind, index.queries, index.images) == ("hnsw", 100, 2000)
        assert 0.9 < index.recall <= 1
        scans = "SELECT idx_scan FROM pg_stat_user_indexes WHERE relname = %s AND indexrelname LIKE '%%hnsw'"
        (near,) = indexed.view().search([query(0, 0, 10)])
        (right,) = collection.view().search([query(0, 0, 10)])
        assert near.distances == sorted(near.distances) and len(set(near.paths) & set(right.paths)) > 5
        indexed.rest()  # which tells the statistics
        ((before,),) = sql(postgres, scans, (place,))
        assert before > 100
        asked = [query(0, 0, 10)]
        (exact,) = indexed.view().search([Query(asked[0].vectors, exact=True)])
        assert exact.paths == right.paths
        indexed.view().search(asked, parse_filter({"size": 1}))
        indexed.rest()
        assert sql(postgres, scans, (place,)) == [(before,)]
        with_index(indexed, None).write(indexed.folder)
        assert Collections(tmp_path).open(place).view().search(asked)[0].paths == right.paths
        assert sql(postgres, scans, (place,)) == []

    def test_there_is_but_one_kind(self, shoes: PgvectorEngine) -> None:
        with pytest.raises(EngineRefused, match="no index 'ivf' here: there is hnsw"):
            shoes.index("ivf")


class TestAdopted:
    @pytest.fixture
    def pictures(self, postgres: PostgresServer, place: str) -> PgvectorEngine:
        """The table of the text-search example, as others made and filled it."""
        sql(postgres, f"CREATE TABLE {place} (filename text PRIMARY KEY, embedding vector(3))")
        rows = [("b.jpg", "[0.6, 0.8, 0]"), ("a.jpg", "[0.6, 0.8, 0]"), ("c.jpg", "[0, 0, 1]"), ("d.jpg", "[1, 0, 0]")]
        for row in rows:
            sql(postgres, f"INSERT INTO {place} VALUES (%s, %s)", row)
        engine = created(postgres.address(), place, COLOURS)
        assert isinstance(engine, PgvectorEngine)
        return engine

    def test_it_is_searched_as_it_is(self, pictures: PgvectorEngine) -> None:
        assert [space.name for space in pictures.identity.spaces] == ["embedding"]
        (found,) = pictures.search([colour(0, 1, 0, top_k=3)])
        assert found.paths == ["a.jpg", "b.jpg", "c.jpg"]  # of equals, the first by name
        assert found.distances == pytest.approx([0.2, 0.2, 1], abs=1e-6)
        assert found.vectors["embedding"].dtype == np.float16 and list(found.distances_by_space()) == ["embedding"]
        assert pictures.count(parse_filter({"size": {"$exists": False}})) == 4

    def test_it_is_filled_on_with_what_it_has_columns_for(
        self, pictures: PgvectorEngine, postgres: PostgresServer, place: str
    ) -> None:
        collection = ForeignCollection("pictures", Path(), pictures._configuration)
        collection.add([coloured("e.jpg", 0.5, 0, 0.5), coloured("a.jpg", 0, 0, 1)])
        assert sql(postgres, f"SELECT * FROM {place} WHERE filename IN ('a.jpg', 'e.jpg') ORDER BY filename") == [
            ("a.jpg", "[0,0,1]"), ("e.jpg", "[0.5,0,0.5]")
        ]  # fmt: skip
        assert pictures.count() == 5
        with pytest.raises(ValueError, match=r"f\.jpg: the table .* has no column for metadata"):
            collection.add([coloured("f.jpg", 1, 1, 1, metadata="{}")])
        assert pictures.remove(["a.jpg", "x.jpg"]) == 1

    def test_it_is_never_dropped(self, pictures: PgvectorEngine, postgres: PostgresServer, place: str) -> None:
        pictures.delete()
        assert sql(postgres, f"SELECT count(*) FROM {place}") == [(4,)]

    @pytest.mark.parametrize(
        ("columns", "message"),
        [
            ("filename text, embedding vector(3)", "has no unique column of texts that could be the images' names"),
            ("id bigint PRIMARY KEY, embedding vector(3)", "has no unique column of texts"),
            (
                "name text PRIMARY KEY, embedding vector(4)",
                r"has no column for the vectors of colours: code bit\(8\)",
            ),
        ],
    )
    def test_what_cannot_be_adopted(self, columns: str, message: str, postgres: PostgresServer, place: str) -> None:
        sql(postgres, f"CREATE TABLE {place} ({columns})")
        with pytest.raises(EngineRefused, match=f"the table {place} {message}"):
            created(postgres.address(), place, COLOURS)


class TestWriters:
    def test_many_at_once_lose_nothing_and_never_deadlock(self, postgres: PostgresServer, place: str) -> None:
        engines = [created(postgres.address(), place, DETAILED) for _ in range(3)]
        names = [f"{number:03d}" for number in range(60)]

        def write(writer: int) -> None:
            order = np.random.default_rng(writer).permutation(60)
            for start in range(0, 60, 20):
                engine = engines[writer % 3]
                chosen = [names[number] for number in order[start : start + 20]]
                engine.add([addition(name, writer, 0) for name in chosen])
                if writer % 2:
                    engine.remove(chosen[::-1])
                    engine.add([addition(name, writer, 0) for name in chosen])

        with ThreadPoolExecutor(6) as writers:
            list(writers.map(write, range(6)))
        assert [entry.path for entry in engines[0].list(limit=100)] == names
        assert sql(postgres, f"SELECT count(DISTINCT row) = count(*) FROM {place}") == [(True,)]


class TestServer:
    def test_a_lost_connection_is_made_anew(self, shoes: PgvectorEngine, postgres: PostgresServer) -> None:
        shoes.add([addition("a", 0, 0)])
        ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'hashlake'"
        ((count,),) = sql(postgres, ended)
        assert count > 0
        assert shoes.count() == 1
        shoes.add([addition("b", 0, 0)])
        sql(postgres, ended)
        assert shoes.remove(["a", "b"]) == 2

    def test_a_lost_server_is_told_without_credentials(self, shoes: PgvectorEngine, postgres: PostgresServer) -> None:
        shoes.add([addition("a", 0, 0)])
        postgres.stop()
        try:
            with pytest.raises(EngineUnavailable) as told:
                shoes.search([query(0, 0, 1)])
        finally:
            postgres.start()
        assert str(told.value) == f"postgresql://{postgres.socket}/postgres cannot be reached"
        assert shoes.count() == 1

    def test_credentials_are_never_shown(self, postgres: PostgresServer, tmp_path: Path) -> None:
        address = f"postgresql://someone:{PASSWORD}@127.0.0.1:1/pictures?connect_timeout=1"
        configuration = Configuration(address=address, place="shoes", model=DETAILED)
        engine = engine_of(configuration)(configuration)
        with pytest.raises(EngineUnavailable, match=r"^postgresql://127\.0\.0\.1:1/pictures cannot be reached$"):
            engine.count()
        assert PASSWORD not in repr(configuration) and "someone" not in repr(configuration)
        for wrong in (f"[{PASSWORD}", f"host:{PASSWORD}/db", f"{PASSWORD}/{PASSWORD}@host/db", f"host/{PASSWORD}@host"):
            with pytest.raises(EngineRefused, match="the address is no PostgreSQL address: in passwords") as told:
                Collections(tmp_path).create("shoes", DETAILED, f"postgresql://someone:{wrong}")
            assert PASSWORD not in str(told.value) and told.value.__cause__ is None
        assert Collections(tmp_path).names() == ["default"]

    def test_the_address_may_be_in_the_environment(
        self, postgres: PostgresServer, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with pytest.raises(EngineRefused, match="write postgresql://HOST/DATABASE or set PG_SERVICE_URI"):
            Collections(tmp_path).create(place, DETAILED, "postgresql://")
        monkeypatch.setenv("PG_SERVICE_URI", postgres.address())
        collection = Collections(tmp_path).create(place, DETAILED, "postgresql://")
        collection.add([addition("a", 0, 0)])
        assert PASSWORD not in (collection.folder / ENGINE_FILE).read_text()
        assert Collections(tmp_path).open(place).view().count == 1

    def test_a_missing_extra_is_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in [name for name in sys.modules if name.startswith("searcher.engines.p")]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, "psycopg", None)
        with pytest.raises(
            EngineRefused, match=r"the engine postgresql needs psycopg: pip install 'hashlake\[pgvector\]'"
        ):
            Collections(tmp_path).create("shoes", DETAILED, "postgresql://host/db")


class TestCollections:
    def test_one_beside_ours_is_made_used_and_deleted(
        self, postgres: PostgresServer, place: str, tmp_path: Path
    ) -> None:
        here, there = Collections(tmp_path), Collections(tmp_path)
        here.create("ours", DETAILED)
        made = here.create("shoes", DETAILED, postgres.address(), place)
        assert here.names() == ["default", "ours", "shoes"]
        assert (made.folder / ENGINE_FILE).stat().st_mode & 0o777 == 0o600
        made.add([addition("a", 0, 0), addition("b", 1, 0), addition("c", 3, 0)])
        seen = there.open("shoes")
        view = seen.view()
        assert (view.name, view.count, view.model) == (f"postgresql:{place}", 3, DETAILED)
        turned = view.search_any([query(0, 0, 2), query(3, 1, 2)])
        assert (turned.paths, turned.distances) == (["a", "c"], [0, 0])
        assert turned.distances_by_space() == {"code": [0, 0], "detail": [0, 1]}
        vectors, named = view.all_of("code")
        assert vectors.tolist() == [[0, 0], [0, 1], [0, 3]] and named([2])[0].path == "c"
        with pytest.raises(CollectionExists):
            here.create("shoes", DETAILED, postgres.address(), place)
        there.delete("shoes")
        with pytest.raises(CollectionMissing):
            here.open("shoes")
        assert sql(postgres, "SELECT to_regclass(%s)", (place,)) == [(None,)]

    def test_a_damaged_configuration_is_told(self, postgres: PostgresServer, place: str, tmp_path: Path) -> None:
        made = Collections(tmp_path).create(place, DETAILED, postgres.address())
        (made.folder / ENGINE_FILE).write_text(f'{{"address": 7, "place": "{PASSWORD}"}}')
        with pytest.raises(
            EngineUnavailable, match=rf"engine\.json of {place}: address: Input should be a valid string"
        ):
            Collections(tmp_path).open(place)


def _rows(array: NDArray[np.uint8]) -> list[bytes]:
    return [row.tobytes() for row in array]
