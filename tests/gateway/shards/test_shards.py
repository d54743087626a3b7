"""A front over shards answers as one machine with all rows does, ties included, or says which shard doesn't."""

import json
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from contract.model import ModelIdentity
from contract.names import CODE_HEADER, PREDICTIONS
from contract.space import Vectors
from embedding.torchscript import TorchScriptEmbedder
from gateway.app import create_app
from gateway.errors import GatewayError
from gateway.settings import GatewaySettings
from handler.metrics import Metrics
from handler.retrieval import Retrieval
from handler.served import Served
from searcher.versions.images import IMAGES_FILE, ImageTable, Sourced
from searcher.versions.shards import split
from searcher.versions.store import IndexStore
from searcher.versions.vectors import write_vectors
from tests.fakes import CALIBRATION, png_of, write_colour_model, write_words_model
from tests.gateway.shards.served_shard import ServedShard
from tests.gateway.tiny_app import Client, settings_in
from tests.handler.server import free_ports
from tests.searcher.versions.versions_by_hand import file_of

IMAGES = 400
SHARDS = 3


class Front:
    """Shards of one version, the gateway before them, and the worker that has it all."""

    def __init__(self, folder: Path, model: TorchScriptEmbedder, client: Client, shards: list[ServedShard]) -> None:
        self.folder = folder
        self.client = client
        self.shards = shards
        self._whole = Retrieval(model, Served(folder / "whole", model.identity), Metrics())

    def ask(self, **options: Any) -> httpx.Response:
        return self.client.request("POST", PREDICTIONS, **options)

    def expected(self, fields: dict[str, Any]) -> dict[str, Any]:
        """What one machine answers; it knows the rows."""
        (answer,) = self._whole.answer([{"body": fields}])
        assert answer.status == 200, answer.body
        return {name: value for name, value in json.loads(answer.body).items() if name != "rows"}


def publish(
    store: IndexStore, name: str, vectors: Vectors, model: ModelIdentity, naming: str = "images/{row}.jpg"
) -> None:
    """Publish a version whose image in row 7 is called images/7.jpg, or as ``naming`` says of row and picture."""
    folder = store.building(name)
    folder.mkdir(parents=True)
    with ImageTable(folder / IMAGES_FILE, writable=True) as table:
        table.begin()
        count = len(vectors["code"])
        for row in range(count):
            table.add(
                row,
                file_of(naming.format(row=row, picture=row * row % 97)),
                Sourced(None, json.dumps({"row": row}) if row % 2 else None),
            )
        table.commit()
    written = write_vectors(folder, model.spaces, vectors)
    store.publish(name, model=model, count=count, skipped=0, files=[*written.files, IMAGES_FILE])


def client_of(settings: GatewaySettings, opened: ExitStack) -> Client:
    """A client of the gateway with ``settings``, which is running."""
    app = create_app(settings)
    client = opened.enter_context(Client(app))
    opened.enter_context(client.running(app.state.services.running()))
    return client


def front_over(folder: Path, model: TorchScriptEmbedder, opened: ExitStack, naming: str = "images/{row}.jpg") -> Front:
    """Codes of few bits: of 400 images, hundreds share every distance."""
    random = np.random.default_rng(5)
    vectors = {}
    for space in model.identity.spaces:
        if space.kind == "binary":
            vectors[space.name] = random.integers(0, 4, (IMAGES, space.columns), np.uint8)
        else:
            embeddings = np.add(random.integers(-1, 2, (IMAGES, space.columns)), [0.5, 0, 0])
            vectors[space.name] = (embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)).astype("<f2")
    store = IndexStore(folder / "whole")
    publish(store, "1.5.0", vectors, model.identity, naming)
    split(store.open(), SHARDS, folder / "shards", lambda _number, _store: None)
    shards = [
        opened.enter_context(ServedShard(IndexStore(folder / "shards" / str(number)), model))
        for number in range(SHARDS)
    ]
    settings = settings_in(folder).model_copy(update={"shards": tuple(shard.url for shard in shards)})
    return Front(folder, model, client_of(settings, opened), shards)


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> TorchScriptEmbedder:
    return TorchScriptEmbedder.load(write_colour_model(tmp_path_factory.mktemp("model") / "colours.pt", CALIBRATION))


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory, calibrated: TorchScriptEmbedder) -> Iterator[Front]:
    with ExitStack() as opened:
        yield front_over(tmp_path_factory.mktemp("front"), calibrated, opened)


REQUESTS: list[dict[str, Any]] = [
    {"code": "0302", "detail_code": "01020300"},
    {"code": "0302", "detail_code": "01020300", "top_k": 1000},
    {"code": "0302", "detail_code": "01020300", "rank": "detail", "top_k": 37},
    {"code": "0001", "top_k": 200},
    {"code": "ff00", "max_distance": 7, "topk": 50},
    {"text": "shirt", "top_k": 25},
    {"path": "images/7.jpg"},
    {"path": "images/399.jpg", "rank": "detail", "metadata": True, "topk": 12},
]


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("fields", REQUESTS, ids=lambda fields: "-".join(map(str, fields)))
def test_the_answer_is_that_of_one_machine(front: Front, fields: dict[str, Any], debug: bool) -> None:
    answer = front.ask(json=fields | {"debug": debug})
    assert answer.status_code == 200, answer.text
    assert answer.json() == front.expected(fields | {"debug": debug})
    assert (CODE_HEADER in answer.headers) == debug


def test_pictures_come_in_every_shape(front: Front) -> None:
    picture = png_of(0x0302, detail=0x01020300)
    expected = front.expected({"code": "0302", "detail_code": "01020300", "top_k": 5, "debug": True})
    fields = json.dumps({"code": "0302", "detail_code": "01020300", "top_k": 5, "debug": True})
    for options in (
        {"files": {"image": ("a.png", picture)}, "data": {"top_k": "5", "debug": "true"}},
        {"files": {"data": ("blob", fields.encode(), "application/json")}},
        {"content": fields},
    ):
        answer = front.ask(**options)
        assert answer.status_code == 200, answer.text
        assert answer.json() == expected


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        ({"json": {"code": "0302", "top_k": 0}}, 400, "top_k must be an integer from 1 to 16384, and is 0"),
        ({"json": {"path": "nowhere.jpg"}}, 404, "nowhere.jpg"),
        ({"content": b"{"}, 400, "the request is not JSON"),
        ({"files": {"image": ("a.png", b"no picture")}}, 415, "not an image"),
    ],
)
def test_a_refusal_is_the_shards_own(front: Front, options: dict[str, Any], status: int, message: str) -> None:
    answer = front.ask(**options)
    assert (answer.status_code, answer.json()["code"]) == (status, status)
    assert message in answer.json()["message"]


def test_a_front_has_only_what_shards_have_together(front: Front) -> None:
    assert front.client.get("/healthz").status_code == 200
    assert [front.client.get(path).status_code for path in ("/", "/images/0", "/api/versions")] == [404] * 3
    ready = front.client.get("/readyz")
    assert (ready.status_code, ready.json()["version"]) == (200, "1.5.0")
    assert front.client.get("/readyz?version=1.5.0").status_code == 200
    other = front.client.get("/readyz?version=1.6.0")
    assert (other.status_code, other.json()["message"]) == (
        503, "the current version is 1.5.0, and 1.6.0 is asked for",
    )  # fmt: skip


def test_cosines_are_merged_with_their_ties(tmp_path: Path) -> None:
    model = TorchScriptEmbedder.load(write_words_model(tmp_path / "words.pt"))
    with ExitStack() as opened:
        front = front_over(tmp_path, model, opened)
        for fields in ({"embedding": [1.0, 0.5, 0.0], "top_k": 300}, {"text": "red blue"}):
            fields = fields | {"debug": True}
            assert front.ask(json=fields).json() == front.expected(fields)
        refused = front.ask(json={"path": "images/7.jpg"})
        assert (refused.status_code, refused.json()["message"]) == (
            400, "path: shards of a model of embeddings need the image itself, or its embedding",
        )  # fmt: skip


def test_regions_of_one_picture_in_several_shards(tmp_path: Path, calibrated: TorchScriptEmbedder) -> None:
    with ExitStack() as opened:
        front = front_over(tmp_path, calibrated, opened, "{picture}.jpg#xywh={row},0,9,9")
        fields: dict[str, Any]
        for fields in (
            {"top_k": 20},
            {"top_k": 20, "collapse": True, "debug": True},
            {"top_k": 7, "diversity": 5, "rank": "detail", "detail_code": "00112233"},
            {"topk": 5, "collapse": True, "diversity": 3.5, "metadata": True},
        ):
            asked = {"code": "0302", **fields}
            assert front.ask(json=asked).json() == front.expected(asked)
        photo, form = png_of(0x0302), {"top_k": "5", "collapse": "true", "diversity": "3"}
        fields = {"image": b64encode(photo).decode(), "top_k": 5, "collapse": True, "diversity": 3}
        assert front.ask(data=form, files={"image": ("q.png", photo)}).json() == front.expected(fields)
        refused = front.ask(json={"code": "0302", "top_k": 1000, "diversity": 80})
        assert refused.status_code == 400 and "is 80000" in refused.json()["message"]


def test_a_shard_that_is_dead_or_of_another_version_is_named_and_nothing_partial_answered(
    tmp_path: Path, calibrated: TorchScriptEmbedder
) -> None:
    with ExitStack() as opened:
        front = front_over(tmp_path, calibrated, opened)
        first, second = (shard.url for shard in front.shards[:2])
        store = front.shards[1].store
        publish(store, "1.6.0", dict(store.open().vectors), calibrated.identity)
        answer = front.ask(json={"code": "0302"})
        assert (answer.status_code, answer.json()["message"]) == (
            503, f"the shard {second} answers from version 1.6.0, and {first} from version 1.5.0",
        )  # fmt: skip
        assert answer.headers["Retry-After"] == "1"
        ready = front.client.get("/readyz")
        assert (ready.status_code, ready.json()["message"]) == (
            503, f"the shards' versions differ: {first} 1.5.0, {second} 1.6.0, {front.shards[2].url} 1.5.0",
        )  # fmt: skip
        store.promote("1.5.0")
        assert front.ask(json={"code": "0302"}).status_code == 200
    (nobody,) = free_ports(1)
    dead = f"http://127.0.0.1:{nobody}"
    settings = settings_in(tmp_path).model_copy(update={"shards": (dead,)})
    with ExitStack() as opened:
        client = client_of(settings, opened)
        for answer in (client.request("POST", PREDICTIONS, json={"code": "0302"}), client.get("/readyz")):
            assert (answer.status_code, answer.json()["message"]) == (503, f"the shard {dead} cannot be reached")


@pytest.mark.parametrize(
    ("shards", "reason"),
    [
        ("10.0.0.1:8000", "'10.0.0.1:8000' is no address of a gateway, such as http://10.0.0.1:8000"),
        ("http://a:8000, http://a:8000/", "a shard is named twice"),
    ],
)
def test_addresses_that_are_none_are_refused(monkeypatch: pytest.MonkeyPatch, shards: str, reason: str) -> None:
    monkeypatch.setenv("HASHLAKE_SHARDS", shards)
    with pytest.raises(GatewayError, match=reason):
        GatewaySettings.read()
