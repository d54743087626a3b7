"""A query's main object is found, cut out and searched for; what was looked for is answered."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from embedding.torchscript import TorchScriptEmbedder
from handler.cropping import Cropping
from handler.metrics import Metrics
from handler.retrieval import Retrieval
from handler.served import Served
from searcher.versions.store import IndexStore
from tests.hashlake.command import hashlake
from tests.squares import NAME, Squares, install, page, png
from tests.versions import publish

SQUARES = Cropping(Squares())
ALWAYS = Cropping(Squares(), by_default=True)
CODES = {"object.png": 0x00FF, "faint.png": 0xF00F, "grey.png": 0xFFFF}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, grid: TorchScriptEmbedder) -> Served:
    folder = tmp_path_factory.mktemp("served")
    store = IndexStore(folder / "index_store")
    publish(store, "1", grid, CODES, folder)
    return Served(store.folder, grid.identity)


def ask(served: Served, model: TorchScriptEmbedder, cropping: Cropping, photo: bytes, **fields: Any) -> dict[str, Any]:
    body = {"image": base64.b64encode(photo).decode(), "top_k": 1, **fields}
    (answer,) = Retrieval(model, served, Metrics(), cropping).answer([{"body": body}])
    told: dict[str, Any] = json.loads(answer.body)
    return told | {"status": int(answer.status)}


def shown(answer: dict[str, Any]) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(answer["cropped_image"])))


def test_the_best_box_is_looked_for(served: Served, grid: TorchScriptEmbedder) -> None:
    photo = page({"green": (30, 40, 0xF00F), "red": (200, 100, 0x00FF)})
    answer = ask(served, grid, SQUARES, png(photo), crop="auto", debug=True)
    assert (answer["relevant"], answer["distances"]) == (["object.png"], [0])
    assert answer["cropped_box"] == {
        "x": 200, "y": 100, "width": 64, "height": 64, "score": 0.9, "label": "red",
    }  # fmt: skip
    crop = shown(answer)
    assert (crop.format, crop.size) == ("JPEG", (64, 64))
    apart = np.abs(np.asarray(crop, int) - np.asarray(photo.crop((200, 100, 264, 164)), int))
    assert np.median(apart) < 8
    whole = ask(served, grid, SQUARES, png(photo))
    assert whole["relevant"] == ["grey.png"] and not {"cropped_image", "cropped_box"} & whole.keys()


@pytest.mark.parametrize("figures", [{}, {"blue": (30, 40, 0xF00F)}])
def test_where_nothing_is_sure_enough_the_whole_picture_counts(
    served: Served, grid: TorchScriptEmbedder, figures: dict[str, tuple[int, int, int]]
) -> None:
    """Blue ones have a score of 0.1."""
    answer = ask(served, grid, SQUARES, png(page(figures)), crop="auto")
    assert answer["relevant"] == ["grey.png"] and "cropped_box" not in answer
    assert shown(answer).size == (300, 200)


def test_a_speck_is_no_object(served: Served, grid: TorchScriptEmbedder) -> None:
    photo = page({"green": (30, 40, 0xF00F)})
    photo.putpixel((250, 150), (255, 0, 0))  # the better score
    answer = ask(served, grid, SQUARES, png(photo), crop="auto")
    assert (answer["relevant"], answer["cropped_box"]["label"]) == (["faint.png"], "green")


def test_a_large_query_is_shown_small(served: Served, grid: TorchScriptEmbedder) -> None:
    answer = ask(served, grid, SQUARES, png(page({}, (2048, 1000))), crop="auto")
    assert shown(answer).size == (1024, 500)


def test_it_can_be_what_is_done_unless_the_client_says(served: Served, grid: TorchScriptEmbedder) -> None:
    photo = png(page({"red": (200, 100, 0x00FF)}))
    assert ask(served, grid, ALWAYS, photo)["cropped_box"]["x"] == 200
    assert "cropped_image" not in ask(served, grid, ALWAYS, photo, crop="none")
    assert "cropped_image" not in ask(served, grid, Cropping(by_default=True), photo)
    form = {"image": photo, "crop": b"auto", "top_k": b"1"}
    (answer,) = Retrieval(grid, served, Metrics(), SQUARES).answer([form])
    assert json.loads(answer.body)["cropped_box"]["x"] == 200


@pytest.mark.parametrize(
    ("environment", "card", "is_default"),
    [
        ({}, None, False),
        ({"HASHLAKE_DETECTOR": NAME}, None, False),
        ({"HASHLAKE_DETECTOR": NAME, "HASHLAKE_CROP": "none"}, None, False),
        ({"HASHLAKE_DETECTOR": NAME, "HASHLAKE_CROP": "auto"}, None, True),
        ({"HASHLAKE_DETECTOR": NAME}, "auto", True),
        ({"HASHLAKE_DETECTOR": ""}, "auto", False),
    ],
)
def test_the_server_or_the_model_says_what_is_done(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    grid: TorchScriptEmbedder,
    environment: dict[str, str],
    card: str | None,
    is_default: bool,
) -> None:
    monkeypatch.syspath_prepend(str(install(tmp_path)))
    cropping = Cropping.as_set(environment, grid.card.model_copy(update={"crop": card}))
    assert cropping.is_wanted(None) == is_default


@pytest.mark.parametrize(
    ("options", "reason"),
    [(["--crop", "auto"], "--crop auto needs a --detector"), (["--detector", "none"], "there is no detector 'none'")],
)
def test_a_server_that_could_not_crop_does_not_start(options: list[str], reason: str) -> None:
    answer = hashlake("serve", *options)
    assert answer.status != 0 and reason in answer.err


def test_what_cannot_be_cropped_is_refused(
    served: Served, grid: TorchScriptEmbedder, caplog: pytest.LogCaptureFixture
) -> None:
    def refusal(cropping: Cropping, photo: bytes, **fields: Any) -> tuple[int, str]:
        answer = ask(served, grid, cropping, photo, **fields)
        return answer["status"], answer["message"]

    photo = png(page({}))
    assert refusal(Cropping(), photo, crop="auto") == (400, "crop: no detector is set here (HASHLAKE_DETECTOR)")
    assert refusal(SQUARES, photo, crop="yes") == (400, 'crop must be "auto" or "none", and is \'yes\'')
    assert refusal(SQUARES, b"none", crop="auto")[0] == 415
    assert refusal(SQUARES, png(page({}, (1, 1)))[:40], crop="auto")[0] == 415
    nonsense = png(Image.new("RGB", (50, 50), (1, 2, 3)))
    assert refusal(SQUARES, nonsense, crop="auto")[0] == 500
    assert "squares answers no boxes" in caplog.text
    (answer,) = Retrieval(grid, served, Metrics(), SQUARES).answer([{"body": {"path": "grey.png", "crop": "auto"}}])
    assert json.loads(answer.body)["message"] == "crop needs an image: nothing else has a main object"


def test_neighbours_of_a_batch_keep_their_own(served: Served, grid: TorchScriptEmbedder) -> None:
    photo = base64.b64encode(png(page({"red": (200, 100, 0x00FF)}))).decode()
    batch = [{"body": {"image": photo, "top_k": 1} | crop} for crop in ({"crop": "auto"}, {}, {"crop": "auto"})]
    answers = [json.loads(answer.body) for answer in Retrieval(grid, served, Metrics(), SQUARES).answer(batch)]
    assert [answer["relevant"] for answer in answers] == [["object.png"], ["grey.png"], ["object.png"]]
    assert ["cropped_box" in answer for answer in answers] == [True, False, True]
