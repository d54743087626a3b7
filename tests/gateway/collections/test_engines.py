"""A collection that lives in PostgreSQL or Milvus, through the routes and a worker: as one in the index store."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg
import pybase64
import pytest
from pymilvus import DataType

from contract.model import ModelIdentity
from contract.refusal import error_body
from embedding.torchscript import TorchScriptEmbedder
from gateway.collections import browsing, managing
from gateway.idios import changing, listing, searching
from gateway.search import api
from gateway.torchserve.client import TorchServeClient, Workers
from gateway.torchserve.http import Answer
from gateway.torchserve.model_servers import ModelServers
from handler.metrics import Metrics
from handler.retrieval import Retrieval
from handler.served import Served
from tests.fakes import png_of, write_words_model
from tests.gateway.tiny_app import Client, settings_in, tiny_app
from tests.milvus import PASSWORD as MILVUS_PASSWORD
from tests.milvus import MilvusServer
from tests.postgres import PASSWORD, PostgresServer

#: Pictures that are red, green, blue or half one and half another.
RED, GREEN, YELLOW = (png_of(red, detail=green << 16) for red, green in ((0xFFFF, 0), (0, 0xFFFF), (0xFFFF, 0xFFFF)))


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> TorchScriptEmbedder:
    return TorchScriptEmbedder.load(write_words_model(tmp_path_factory.mktemp("words") / "words.pt"))


@pytest.fixture
def client(tmp_path: Path, words: TorchScriptEmbedder, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """The gateway's routes; a worker of this process answers it."""
    settings = settings_in(tmp_path)
    retrieval = Retrieval(words, Served(settings.index_store, words.identity, datalake=False), Metrics())

    def told(body: Mapping[str, Any], gateway: Sequence[int] = ()) -> Answer:
        (answer,) = retrieval.answer([{"body": body}], gateway)
        return Answer(int(answer.status), (), answer.headers, answer.body)

    async def ask(_self: object, what: str, files: Sequence[bytes], _model: str) -> Answer:
        return told({what: [pybase64.b64encode(each).decode() for each in files]}, [0])

    async def predict(_self: object, fields: Mapping[str, Any], image: bytes | None, _model: str) -> Answer:
        return told(dict(fields) | ({"image": pybase64.b64encode(image).decode()} if image else {}))

    async def workers(_self: object) -> Workers:
        return Workers("1.0", {1: True})

    async def name_of(_self: object, _model: object) -> str:
        return "words"

    async def identity_of(_self: object, _path: object) -> ModelIdentity:
        return words.identity

    async def retire(_self: object, _needed: object) -> None:
        pass

    monkeypatch.setattr(TorchServeClient, "_ask_privately", ask)
    monkeypatch.setattr(TorchServeClient, "predict", predict)
    monkeypatch.setattr(TorchServeClient, "workers", workers)
    monkeypatch.setattr(ModelServers, "name_of", name_of)
    monkeypatch.setattr(ModelServers, "identity_of", identity_of)
    monkeypatch.setattr(ModelServers, "retire", retire)
    routers = (browsing.router, managing.router, searching.router, listing.router, changing.router, api.router)
    with Client(tiny_app(settings, *routers)) as found:
        yield found


def ask(client: Client, method: str, path: str, expected: int = 200, **options: Any) -> Any:
    answer = client.request(method, path, **options)
    assert answer.status_code == expected, answer.text
    assert PASSWORD not in answer.text
    return answer.json() if answer.content and answer.headers["Content-Type"] == "application/json" else answer


def create(client: Client, postgres: PostgresServer, place: str, expected: int = 201) -> Any:
    body = {"name": "shoes", "engine": postgres.address(), "place": place}
    return ask(client, "POST", "/api/collections", expected, json=body)


def add(client: Client, name: str, picture: bytes, **metadata: Any) -> None:
    data = {"url": name} | ({"metadata": json.dumps(metadata)} if metadata else {})
    ask(client, "POST", "/models/shoes/add", 204, data=data, files={"image": picture})


def urls(found: Any) -> list[str]:
    return [each["url"] for each in found]


def test_a_life(client: Client, postgres: PostgresServer, place: str) -> None:
    made = create(client, postgres, place)
    address = f"postgresql://{postgres.socket}/postgres"
    assert made["engine"] == {"name": "postgresql", "address": address, "place": place, "made": True, "index": None}
    assert (made["count"], made["version"], made["versions"], made["journal"], made["bytes"]) == (
        0,
        None,
        [],
        None,
        None,
    )
    assert create(client, postgres, place, 409)["message"] == "there is a collection shoes already"

    add(client, "red.png", RED, size=1)
    add(client, "green.png", GREEN, size=2)
    add(client, "yellow.png", YELLOW)
    add(client, "red.png", RED, size=3)  # which changes its metadata alone
    again = ask(client, "POST", "/models/shoes/search_add", 409, data={"url": "red.png"}, files={"image": RED})
    assert again["detail"] == "Image already inserted"
    assert ask(client, "GET", "/models/shoes/count") == 3
    assert ask(client, "POST", "/models/shoes/count", json={"filter": {"size": {"$gte": 2}}}) == 2
    assert ask(client, "POST", "/models/shoes/urls", json={"cursor": "green.png"}) == ["red.png", "yellow.png"]

    by_picture = ask(client, "POST", "/models/shoes/search", data={"limit": 2}, files={"image": RED})
    assert urls(by_picture) == ["red.png", "yellow.png"]
    assert (by_picture[0]["similarity"], by_picture[0]["metadata"]) == (100, {"size": 3})
    assert urls(ask(client, "POST", "/models/shoes/search", json={"text": "green"})) == [
        "green.png", "yellow.png", "red.png",
    ]  # fmt: skip
    like = {"url": "green.png", "filter": {"size": {"$exists": True}}, "limit": 5}
    assert urls(ask(client, "POST", "/models/shoes/search", json=like)) == ["green.png", "red.png"]
    turned = ask(client, "POST", "/models/shoes/search", data={"turned": "true", "limit": 1}, files={"image": GREEN})
    assert urls(turned) == ["green.png"]
    assert ask(client, "POST", "/models/shoes/compare", json={"url": "red.png", "other": "green.png"}) == 0

    page = ask(client, "GET", "/api/collections/shoes/images", params={"limit": 2})
    assert (urls(page["images"]), page["cursor"], page["count"]) == (["green.png", "red.png"], "red.png", 3)
    dumped = ask(client, "POST", "/models/shoes/dump")
    assert [each["metadata"] for each in dumped] == [{"size": 2}, {"size": 3}, None]
    ask(client, "POST", "/models/shoes/restore", 204, json=[dumped[0] | {"url": "again.png"}])
    groups = [json.loads(line) for line in ask(client, "GET", "/api/collections/shoes/duplicates").text.splitlines()]
    assert [[each["url"] for each in group["images"]] for group in groups] == [["green.png", "again.png"]]

    assert (
        ask(client, "POST", "/api/collections/shoes/fold", 409)["message"]
        == "the collection shoes has no journal to fold"
    )
    properties = ask(client, "GET", "/api/collections/shoes/properties")["properties"]
    assert properties["images"] == 4 and properties["average length of embedding"] == pytest.approx(1, abs=1e-3)
    (listed,) = ask(client, "GET", "/api/collections")["collections"]
    assert (listed["name"], listed["count"]) == ("shoes", 4)

    gone = ask(client, "POST", "/models/shoes/remove", 204, json={"url": "again.png"})
    assert gone.headers["X-Hashlake-Removed"] == "true"
    ask(client, "DELETE", "/api/collections/shoes", 204)
    assert ask(client, "GET", "/api/collections") == {"collections": [], "damaged": []}


def test_an_index_on_request(client: Client, postgres: PostgresServer, place: str) -> None:
    create(client, postgres, place)
    add(client, "red.png", RED)
    add(client, "green.png", GREEN)
    index = ask(client, "POST", "/api/collections/shoes/index", json={"kind": "hnsw"})["engine"]["index"]
    assert (index["kind"], index["recall"], index["queries"], index["images"]) == ("hnsw", 1, 2, 2)
    assert urls(ask(client, "POST", "/models/shoes/search", json={"text": "green"})) == ["green.png", "red.png"]
    refused = ask(client, "POST", "/api/collections/shoes/index", 422, json={"kind": "ivf"})
    assert refused["message"] == "pgvector has no index 'ivf' here: there is hnsw"
    assert ask(client, "POST", "/api/collections/shoes/index", json={})["engine"]["index"] is None


def test_a_table_of_others_is_searched_by_words_and_filled_on(
    client: Client, postgres: PostgresServer, place: str
) -> None:
    with psycopg.connect(postgres.address(), autocommit=True) as connection:
        connection.execute(f"CREATE TABLE {place} (filename text PRIMARY KEY, embedding vector(3))")
        connection.execute(f"INSERT INTO {place} VALUES ('a.jpg', '[0,1,0]'), ('b.jpg', '[0,0,1]')")
    made = create(client, postgres, place)
    assert (made["count"], made["engine"]["made"]) == (2, False)
    add(client, "red.png", RED)
    assert urls(ask(client, "POST", "/models/shoes/search", json={"text": "blue"}))[0] == "b.jpg"
    assert urls(ask(client, "POST", "/models/shoes/search", data={"limit": 1}, files={"image": RED})) == ["red.png"]
    assert urls(ask(client, "POST", "/models/shoes/search", json={"url": "a.jpg", "limit": 1})) == ["a.jpg"]
    dumped = ask(client, "POST", "/models/shoes/dump")
    assert dumped[0] | {"model": ""} == {"url": "a.jpg", "metadata": None, "embedding": [0.0, 1.0, 0.0], "model": ""}
    ask(client, "POST", "/models/shoes/restore", 204, json=[dumped[0] | {"url": "c.jpg"}])
    assert ask(client, "GET", "/models/shoes/count") == 4
    assert ask(client, "GET", "/api/collections/shoes/images")["images"][0]["code"] == ""
    ask(client, "DELETE", "/api/collections/shoes", 204)
    with psycopg.connect(postgres.address()) as connection:
        assert connection.execute(f"SELECT count(*) FROM {place}").fetchone() == (4,)


def test_metadata_of_others_that_are_no_object_are_left_alone(
    client: Client, postgres: PostgresServer, milvus: MilvusServer, place: str
) -> None:
    left = {"a.jpg": [1, "x"], "b.jpg": "words", "c.jpg": 7, "d.jpg": None, "e.jpg": {"size": 1}, "f.jpg": True}
    with psycopg.connect(postgres.address(), autocommit=True) as connection:
        connection.execute(f"CREATE TABLE {place} (filename text PRIMARY KEY, embedding vector(3), metadata jsonb)")
        for name, metadata in left.items():
            row = (name, "[0,1,0]", json.dumps(metadata))
            connection.execute(f"INSERT INTO {place} VALUES (%s, %s, %s)", row)
    create(client, postgres, place)
    idios = milvus.client()
    fields = [
        ("url", DataType.VARCHAR, {"max_length": 100, "is_primary": True}),
        ("metadata", DataType.VARCHAR, {"max_length": 100}),
    ]
    schema = idios.create_schema()
    for name, kind, more in [*fields, ("embedding", DataType.FLOAT_VECTOR, {"dim": 3})]:
        schema.add_field(name, kind, **more)
    index = idios.prepare_index_params()
    index.add_index("embedding", index_type="FLAT", metric_type="COSINE")
    idios.create_collection(place, schema=schema, index_params=index)
    idios.insert(
        place, [{"url": name, "metadata": json.dumps(said), "embedding": [0, 1, 0]} for name, said in left.items()]
    )
    ask(client, "POST", "/api/collections", 201, json={"name": "hats", "engine": milvus.address(), "place": place})
    shown = {name: metadata if isinstance(metadata, dict) else None for name, metadata in left.items()}
    for name in ("shoes", "hats"):
        for subject in ({"text": "green"}, {"path": "a.jpg"}, {"embedding": "[0, 1, 0]"}):
            answer = ask(client, "POST", "/api/search", data={"collection": name, **subject})
            assert {each["path"]: each["metadata"] for each in answer["results"]} == shown
            assert {each["code"] for each in answer["results"]} == {""}, "it keeps embeddings alone"
            assert (answer["query"]["code"] == "") is ("path" in subject)
        for path in ("search", "dump", "urls"):
            body = {"text": "green"} if path == "search" else {}
            found = ask(client, "POST", f"/models/{name}/{path}", json=body)
            assert path == "urls" or {each["url"]: each["metadata"] for each in found} == shown
        found = ask(client, "GET", f"/api/collections/{name}/images")["images"]
        assert {each["url"]: each["metadata"] for each in found} == shown
    ask(client, "POST", "/models/shoes/remove", 204, json={"url": "b.jpg"})
    add(client, "a.jpg", RED, colour="red")
    with psycopg.connect(postgres.address()) as connection:
        kept = dict(connection.execute(f"SELECT filename, metadata FROM {place}").fetchall())
    assert kept == {name: each for name, each in left.items() if name != "b.jpg"} | {"a.jpg": {"colour": "red"}}


def test_a_collection_is_moved_by_a_copy(client: Client, postgres: PostgresServer, place: str) -> None:
    ask(client, "POST", "/api/collections", 201, json={"name": "shoes"})
    add(client, "red.png", RED, size=1)
    add(client, "green.png", GREEN)
    wanted = {"to": "shoes-pg", "engine": postgres.address(), "place": place}
    copied = ask(client, "POST", "/api/collections/shoes/copy", json=wanted)
    assert (copied["count"], copied["added"], copied["removed"]) == (2, 2, 0)
    found = ask(client, "POST", "/models/shoes-pg/search", json={"text": "green"})
    assert urls(found) == ["green.png", "red.png"] and found[1]["metadata"] == {"size": 1}
    back = ask(client, "POST", "/api/collections/shoes-pg/copy", json={"to": "back"})
    assert back["checksum"] == copied["checksum"]
    for to in ("shoes", "default"):
        refused = ask(client, "POST", "/api/collections/shoes/copy", 409, json={"to": to})
        assert refused["message"] == f"the collection {to} cannot become a copy"


def test_while_the_server_is_gone(client: Client, postgres: PostgresServer, place: str) -> None:
    create(client, postgres, place)
    add(client, "red.png", RED)
    gone = f"postgresql://{postgres.socket}/postgres cannot be reached"
    postgres.stop()
    try:
        for path, options in (
            ("search", {"json": {"text": "red"}}),
            ("search", {"json": {"url": "red.png"}}),
            ("add", {"data": {"url": "b.png"}, "files": {"image": GREEN}}),
            ("remove", {"json": {"url": "red.png"}}),
        ):
            answer = client.request("POST", f"/models/shoes/{path}", **options)  # type: ignore[arg-type]
            assert (answer.status_code, answer.json()["detail"]) == (503, gone), path
            assert answer.headers["Retry-After"] == "1"
        refused = ask(client, "GET", "/api/collections/shoes", 503)
        assert refused == error_body(503, gone).model_dump()
        listed = ask(client, "GET", "/api/collections")
        assert listed == {"collections": [], "damaged": [{"name": "shoes", "message": gone}]}
        ask(client, "DELETE", "/api/collections/shoes", 503)
    finally:
        postgres.start()
    assert urls(ask(client, "POST", "/models/shoes/search", json={"text": "red"})) == ["red.png"]


def test_a_life_in_milvus(client: Client, milvus: MilvusServer) -> None:
    place = f"life{next(milvus.names)}"
    body = {"name": "shoes", "engine": milvus.address(), "place": place}
    made = ask(client, "POST", "/api/collections", 201, json=body)
    assert made["engine"] == {"name": "milvus", "address": milvus.shown, "place": place, "made": True, "index": None}
    add(client, "red.png", RED, size=1)
    add(client, "green.png", GREEN, size=2)
    add(client, "yellow.png", YELLOW)
    assert ask(client, "POST", "/models/shoes/count", json={"filter": {"size": {"$gte": 2}}}) == 1
    assert urls(ask(client, "POST", "/models/shoes/search", json={"text": "green"})) == [
        "green.png", "yellow.png", "red.png",
    ]  # fmt: skip
    like = {"url": "green.png", "filter": {"size": {"$exists": True}}, "limit": 5}
    assert urls(ask(client, "POST", "/models/shoes/search", json=like)) == ["green.png", "red.png"]
    properties = ask(client, "GET", "/api/collections/shoes/properties")
    assert MILVUS_PASSWORD not in json.dumps(properties)
    copied = ask(client, "POST", "/api/collections/shoes/copy", json={"to": "own"})
    assert (copied["count"], copied["added"]) == (3, 3)
    ask(client, "DELETE", "/api/collections/shoes", 204)
    assert not milvus.client().has_collection(place)
    gone = "milvus://127.0.0.1:1 cannot be reached"
    refused = ask(client, "POST", "/api/collections", 503, json=body | {"engine": "milvus://127.0.0.1:1"})
    assert refused["message"] == gone


@pytest.mark.parametrize(
    ("engine", "message"),
    [
        ("tape:shoes", "there is no engine 'tape'; there are: milvus, milvus+http, milvus+https, postgres, postgresql"),
        ("postgresql://", "the address names no database: write postgresql://HOST/DATABASE or set PG_SERVICE_URI"),
        (f"postgresql://me:a/{PASSWORD}@host/db", "the address is no PostgreSQL address: in passwords, "),
    ],
)
def test_an_engine_that_there_is_not(engine: str, message: str, client: Client) -> None:
    refused = ask(client, "POST", "/api/collections", 422, json={"name": "shoes", "engine": engine})
    assert refused["message"].startswith(message)
    assert ask(client, "GET", "/api/collections") == {"collections": [], "damaged": []}
