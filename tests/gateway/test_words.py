"""A real stack whose model has a text tower, with the Idios port and other models beside it.

picture     at length 1: red, green, blue      words
red.png     1    0    0                        "red"
pink.png    0.7  0    0.7                      "red blue"
blue.png    0    0    1                        "blue"
green.png   0    1    0                        "green"
"""

import base64
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import httpx
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from contract.space import EMBEDDING
from embedding.torchscript import TorchScriptEmbedder
from hashlake import Client
from hashlake.client.turned import turned_copies
from indexer.sample_datalake import draw_garment
from tests.fakes import png_of
from tests.gateway.stack import Stack, wait_until
from tests.handler.server import free_ports
from tests.hashlake.command import hashlake

LAKE = {
    "data/blue.png": (0, 0xFFFF),
    "data/green.png": (0, 0xFFFF_0000),
    "data/pink.png": (0xFFFF, 0xFFFF),
    "data/red.png": (0xFFFF, 0),
}
RED, PINK = (png_of(code, 160, detail=detail) for code, detail in (LAKE["data/red.png"], LAKE["data/pink.png"]))
#: Room for one model beside the datalake's: a worker takes about 260 MB, whatever the fake model.
MEMORY_MB = 400


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    (port,) = free_ports(1)
    folder = tmp_path_factory.mktemp("stack")
    with Stack(folder, LAKE, "words.pt", idios_port=port, model_memory_mb=MEMORY_MB) as running:
        assert running.reindex("1.0.0").status_code == 200
        yield running


def idios(stack: Stack, collection: str, what: str, **options: Any) -> Any:
    """What Idios' port answers."""
    url = f"http://127.0.0.1:{stack.variables['idios_port']}/models/{collection}/{what}"
    answer = httpx.post(url, timeout=240, trust_env=False, **options)
    assert answer.is_success, answer.text
    return answer.json() if answer.content else None


def memory_metric(stack: Stack) -> dict[str, float]:
    """The bytes of each model, as /metrics tells them."""
    return {
        sample.labels["model"]: sample.value
        for family in text_string_to_metric_families(stack.call("GET", "/metrics").text)
        for sample in family.samples
        if sample.name == "hashlake_gateway_model_memory_bytes"
    }


def in_memory(stack: Stack) -> dict[str, int]:
    """The megabytes of each model beside the datalake's, by its file, as the admin API tells them."""
    models = stack.call("GET", "/api/models").json()["models"]
    return {
        each["model_path"]: each["served"]["memory_bytes"] >> 20
        for each in models
        if each["served"] and each["model_path"] != "words.pt"
    }


def test_a_model_has_a_collection_of_any_of_its_names_and_makes_room_for_the_next(stack: Stack) -> None:
    """As Idios has ``vit_b32`` from the start; its model is loaded with the first request."""
    assert [each["name"] for each in stack.call("GET", "/api/collections").json()["collections"]] == ["default"]
    assert idios(stack, "vit_g1", "urls") == []
    idios(stack, "vit_g1", "add", files={"image": png_of(0xFF00, 160)}, data={"url": "ff00"})
    assert idios(stack, "ViT-G1", "urls") == ["ff00"]
    grid = in_memory(stack)
    assert grid.keys() == {"grid.pt"} and 100 < grid["grid.pt"] < MEMORY_MB

    made = stack.call("POST", "/api/collections", json={"name": "wide"})  # called like a model: of that model
    assert (made.status_code, made.json()["model"]["bits"]) == (201, 64)
    assert in_memory(stack).keys() == {"wide/001/wide.pt"}
    (archive,) = stack.model_store.glob("wide-*.mar")
    assert sorted(path.name for path in stack.model_store.glob("*.mar")) == [
        "image-retrieval-v1.0.mar", archive.name,
    ]  # fmt: skip

    told = wait_until(lambda: found if len(found := memory_metric(stack)) > 1 else None, "what busy workers say")
    assert told.keys() == {"image-retrieval-v1.0", archive.stem} and min(told.values()) > 100 << 20


def test_the_datalakes_model_stands_for_itself(stack: Stack) -> None:
    assert idios(stack, "colour_words", "urls") == list(LAKE)


def test_a_model_that_nobody_has_is_no_collection(stack: Stack) -> None:
    url = f"http://127.0.0.1:{stack.variables['idios_port']}/models/vit_b32/urls"
    assert httpx.post(url, trust_env=False, timeout=60).status_code == 422
    refused = stack.call("POST", "/api/collections", json={"name": "x", "model_path": "ViT-B/32"})
    assert (refused.status_code, refused.json()["message"]) == (422, "model_path 'ViT-B/32': there is no such model")


# --- One question at every door

#: What is asked, and what is found first.
QUESTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "words": ({"text": "green"}, "data/green.png"),
    "a picture": ({"image": RED}, "data/red.png"),
    "a picture and words": ({"image": RED, "text": "blue"}, "data/pink.png"),
    "mostly words": ({"image": RED, "text": "green", "text_weight": 0.9}, "data/green.png"),
    "other words away from a picture": ({"image": PINK, "negative_text": "red red"}, "data/blue.png"),
    "an embedding": ({"embedding": [0, 0, 2]}, "data/blue.png"),
    "an embedding and words": ({"embedding": [1, 0, 0], "text": "blue", "text_weight": 0.5}, "data/pink.png"),
    "words away from words": ({"text": "green red", "negative_text": "green green"}, "data/red.png"),
}


def as_json(asked: dict[str, Any]) -> dict[str, Any]:
    """The picture in base64."""
    return {name: base64.b64encode(value).decode() if name == "image" else value for name, value in asked.items()}


def as_form(asked: dict[str, Any]) -> dict[str, Any]:
    """The picture as a file, the others as text."""
    return {
        name: ("photo.png", value)
        if name == "image"
        else (None, value if isinstance(value, str) else json.dumps(value))
        for name, value in asked.items()
    }


def of_predictions(stack: Stack, **question: Any) -> list[str]:
    answer = stack.call("POST", "/predictions/image-retrieval-v1.0", **question)
    assert answer.status_code == 200, answer.text
    found: list[str] = answer.json()["relevant"]
    return found


def of_api(stack: Stack, **question: Any) -> list[str]:
    answer = stack.call("POST", "/api/search", **question)
    assert answer.status_code == 200, answer.text
    results = answer.json()["results"]
    assert all(each["cosine"] == pytest.approx(1 - each["distance"], abs=1e-6) for each in results)
    return [each["path"] for each in results]


def of_idios(stack: Stack, **question: Any) -> list[str]:
    return [each["url"] for each in idios(stack, "default", "search", **question)]


def options(folder: Path, asked: dict[str, Any]) -> list[str]:
    """Those of a command, whose picture and embedding are files."""
    words: list[str] = []
    for name, value in asked.items():
        if name == "image":
            (folder / "photo.png").write_bytes(value)
            words.append(str(folder / "photo.png"))
        elif name == "embedding":
            (folder / "embedding.json").write_text(json.dumps(value))
            words += ["--embedding", str(folder / "embedding.json")]
        else:
            words += [f"--{name}", str(value)]
    return words


def of_command(stack: Stack, *command: object) -> list[str]:
    answer = hashlake(*command, "--json")
    assert answer.status == 0, answer.err
    found = json.loads(answer.out)
    return [each["url"] for each in found] if isinstance(found, list) else found["relevant"]


def of_client(stack: Stack, asked: dict[str, Any]) -> list[str]:
    with Client(stack.url, stack.search_key) as client:
        return [match.url for match in client.collection("default").search(**asked)]


DOORS: dict[str, Callable[[Stack, dict[str, Any], Path], list[str]]] = {
    "predictions, JSON": lambda stack, asked, _: of_predictions(stack, json=as_json(asked)),
    "predictions, form": lambda stack, asked, _: of_predictions(stack, files=as_form(asked)),
    "/api/search, JSON": lambda stack, asked, _: of_api(stack, json=as_json(asked)),
    "/api/search, form": lambda stack, asked, _: of_api(stack, files=as_form(asked)),
    "Idios, form": lambda stack, asked, _: of_idios(stack, files=as_form(asked)),
    "client": lambda stack, asked, _: of_client(stack, asked),
    "hashlake collections search": lambda stack, asked, folder: of_command(
        stack, "collections", "search", "default", *options(folder, asked), "--url", stack.url
    ),
    "hashlake search": lambda stack, asked, folder: of_command(
        stack, "search", *options(folder, asked), "--model_path", stack.models / "words.pt",
        "--index_store", stack.store.folder,
    ),
}  # fmt: skip


@pytest.mark.parametrize("door", DOORS)
def test_every_question_at_every_door(stack: Stack, door: str, tmp_path: Path) -> None:
    found = {name: DOORS[door](stack, asked, tmp_path)[0] for name, (asked, _) in QUESTIONS.items()}
    assert found == {name: first for name, (_, first) in QUESTIONS.items()}


def test_idios_takes_json_without_a_picture(stack: Stack) -> None:
    """As its own clients send it; a picture is given by its URL there, or by its name."""
    for asked, first in (
        ({"text": "green"}, "data/green.png"),
        ({"url": "data/red.png", "text": "blue"}, "data/pink.png"),
        ({"url": "data/pink.png", "negative_text": "red red"}, "data/blue.png"),
        ({"embedding": [0, 1, 0]}, "data/green.png"),
    ):
        assert of_idios(stack, json=asked)[0] == first


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"embedding": [1, 0]}, "embedding has 3 numbers by the served model, and 2 are given"),
        ({"embedding": [0, 0, 0]}, "embedding has no direction: it is empty, or all zero"),
        ({"text": "red " * 9}, "it has 11 tokens, and the model reads 6 tokens"),
        (
            {"embedding": [1, 0, 0], "code": "80"},
            "embedding and code; given: code and embedding",
        ),
    ],
)
def test_what_cannot_be_asked(stack: Stack, asked: dict[str, Any], said: str) -> None:
    for question in ({"json": asked}, {"files": as_form(asked)}):
        answer = stack.call("POST", "/api/search", **question)
        assert answer.status_code in (400, 422) and said in answer.json()["message"], answer.text


def test_turned_copies_are_told_by_their_codes(stack: Stack) -> None:
    """Codes have a bit for each colour: blue differs from green in two, at a cosine of 0."""
    with Client(stack.url, stack.search_key) as client:
        rule = client.info("default").copies
        assert rule is not None and (rule.space, rule.bits) == ("code", 8)
        lake = client.collection("default")
        pairs = list(turned_copies(lake, rule, 2, lambda url, error: pytest.fail(f"{url}: {error}")))
    assert {(each.url[5:-4], each.other[5:-4]): each.distance for each in pairs} == {
        ("blue", "green"): 2, ("blue", "pink"): 1, ("blue", "red"): 2, ("green", "red"): 2, ("pink", "red"): 1,
    }  # fmt: skip


def test_dumps_of_idios_come_and_go_with_their_512_floats(stack: Stack) -> None:
    """Idios' dumps have URLs, metadata and floats alone. The model that ships is one of 512 dimensions."""
    shutil.copy("torchscripts_models/clip-general.pt", stack.models)
    model = TorchScriptEmbedder.load(stack.models / "clip-general.pt")
    garments = {
        "dress": ("dress", "red", "stripes"),
        "hat": ("hat", "navy", "dots"),
        "skirt": ("skirt", "green", "plain"),
    }
    pictures = [np.asarray(draw_garment(*each, Random(1)).resize((128, 128))) for each in garments.values()]
    embedded = model.embed(np.stack(pictures))[EMBEDDING]
    dumped = [
        {"url": f"https://example.org/{name}.jpg", "metadata": {"name": name}, "embedding": vector.tolist()}
        for name, vector in zip(garments, embedded.astype(float), strict=True)
    ]
    assert {len(each["embedding"]) for each in dumped} == {512}
    idios(stack, "clip-general", "restore?assume_model=clip-general", json=dumped)
    for words, name in (("a red striped dress", "dress"), ("hat with dots", "hat"), ("green skirt", "skirt")):
        found = idios(stack, "clip-general", "search", json={"text": words, "limit": 1})
        assert [each["metadata"] for each in found] == [{"name": name}]
        assert 0 < found[0]["similarity"] < 100 and "closeness" not in found[0]  # words have none by this model
    (itself, *_) = idios(stack, "clip-general", "search", json={"url": "https://example.org/hat.jpg"})
    assert (itself["metadata"], itself["similarity"]) == ({"name": "hat"}, pytest.approx(100, abs=0.1))
    assert itself["closeness"] > 0.8

    back = idios(stack, "clip-general", "dump")
    assert [{name: each[name] for name in ("url", "metadata", "embedding")} for each in back] == [
        each | {"embedding": pytest.approx(each["embedding"], abs=1e-7)} for each in dumped
    ]
    made = stack.call("POST", "/api/collections", json={"name": "again", "model_path": "clip_general"})
    assert made.status_code == 201, made.text
    idios(stack, "again", "restore", json=back)  # ours say which model made them
    assert idios(stack, "again", "dump")[1:] == back[1:]
