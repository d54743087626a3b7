"""A real stack whose model has a text tower, with the Idios port and other models beside it.

picture     at length 1: red, green, blue      words
red.png     1    0    0                        "red"
pink.png    0.7  0    0.7                      "red blue"
blue.png    0    0    1                        "blue"
green.png   0    1    0                        "green"
"""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.fakes import png_of
from tests.gateway.stack import Stack
from tests.handler.server import free_ports

LAKE = {
    "data/blue.png": (0, 0xFFFF),
    "data/green.png": (0, 0xFFFF_0000),
    "data/pink.png": (0xFFFF, 0xFFFF),
    "data/red.png": (0xFFFF, 0),
}
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

    families = text_string_to_metric_families(stack.call("GET", "/metrics").text)
    told = {
        sample.labels["model"]: sample.value
        for family in families
        for sample in family.samples
        if sample.name == "hashlake_gateway_model_memory_bytes"
    }
    assert told.keys() == {"image-retrieval-v1.0", archive.stem} and min(told.values()) > 100 << 20


def test_the_datalakes_model_stands_for_itself(stack: Stack) -> None:
    assert idios(stack, "colour_words", "urls") == list(LAKE)


def test_a_model_that_nobody_has_is_no_collection(stack: Stack) -> None:
    url = f"http://127.0.0.1:{stack.variables['idios_port']}/models/vit_b32/urls"
    assert httpx.post(url, trust_env=False).status_code == 422
    refused = stack.call("POST", "/api/collections", json={"name": "x", "model_path": "ViT-B/32"})
    assert (refused.status_code, refused.json()["message"]) == (422, "model_path 'ViT-B/32': there is no such model")
