"""A dump says which model made it, and one of another model is refused, naming both."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contract.model import ModelIdentity
from gateway.collections.dump_model import OtherModel, label_of, require_assumed, require_same
from gateway.idios import changing, listing
from searcher.collections import Collections
from tests.gateway.tiny_app import Client, settings_in, tiny_app
from tests.searcher.live.fixtures import MODEL, addition

#: As wide as the other, and nothing else of it is the same.
OTHER = MODEL.model_copy(update={"name": "medium", "sha256": "b" * 64})


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    settings = settings_in(tmp_path)
    collections = Collections(settings.index_store)
    collections.create("from", MODEL).add([addition(str(number), number) for number in range(3000)])
    collections.create("same", MODEL)
    collections.create("other", OTHER)
    with Client(tiny_app(settings, changing.router, listing.router)) as found:
        yield found


def post(client: Client, where: str, body: Any) -> tuple[int, Any]:
    answer = client.request("POST", f"/models/{where}", json=body)
    return answer.status_code, answer.json() if answer.content else None


def dump(client: Client) -> Any:
    status, images = post(client, "from/dump", {})
    assert status == 200
    return images


def test_it_comes_back_without_a_word(client: Client) -> None:
    images = dump(client)
    assert ModelIdentity.model_validate(images[0]["model"]) == MODEL
    assert {image["model"] for image in images[1:]} == {"grid@aaaaaaaaaaaaaaaa"}
    assert post(client, "same/restore", images) == (204, None)
    assert post(client, "same/restore", images[5:]) == (204, None), "any part of it says so as well"
    assert post(client, "same/count", {}) == (200, 3000)


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("query", ["", "?assume_model=medium"])
def test_of_another_model(place: int, query: str, client: Client) -> None:
    status, said = post(client, f"other/restore{query}", dump(client)[place : place + 2])
    (problem,) = said["detail"]
    assert (status, problem["loc"], problem["type"]) == (422, ["body", 0, "model"], "value_error.model")
    assert problem["msg"] == (
        "this is of the model grid@aaaaaaaaaaaaaaaa, and the collection holds codes of medium@bbbbbbbbbbbbbbbb"
    )
    assert post(client, "other/count", {}) == (200, 0)


def test_an_older_dump_needs_somebody_s_word(client: Client) -> None:
    images = [{key: value for key, value in image.items() if key != "model"} for image in dump(client)]
    status, said = post(client, "same/restore", images)
    assert (status, said["detail"][0]["loc"]) == (422, ["body", 0, "model"])
    assert "say so with assume_model" in said["detail"][0]["msg"]
    for wrong in ("medium", "b" * 64, "", "grid@bbbbbbbbbbbbbbbb"):
        status, said = post(client, f"same/restore?assume_model={wrong}", images)
        assert (status, said["detail"][0]["loc"]) == (422, ["query", "assume_model"])
        assert wrong in said["detail"][0]["msg"] and "grid@" in said["detail"][0]["msg"]
    for right in ("grid", "a" * 64, "grid@aaaaaaaaaaaaaaaa"):
        assert post(client, f"same/restore?assume_model={right}", images) == (204, None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"spaces": [{"name": "code", "width": 8}]}, "this is of the model grid@"),
        ({"preprocessing": {"image_size": 32}}, "with pictures prepared as {'image_size': 32}"),
        ({"spaces": []}, "this is no model's identity"),
        ({"sha256": None}, "this is no model's identity"),
    ],
)
def test_an_identity_that_differs(changes: dict[str, Any], message: str) -> None:
    given = MODEL.model_dump(mode="json") | changes
    with pytest.raises(OtherModel) as refused:
        require_same(given, MODEL, assumed=True)
    assert message in str(refused.value)


def test_where_it_ran_makes_no_difference() -> None:
    """Precision and decoder change a bit now and then, as within one collection."""
    require_same(MODEL.model_dump(mode="json") | {"precision": "float16", "decoder": "x"}, MODEL, assumed=False)
    require_same(label_of(MODEL), MODEL, assumed=False)
    require_assumed("grid", MODEL)
