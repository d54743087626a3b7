"""A batch is answered request by request: nothing of one ever shows in another."""

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest

from contract.answer import QueryAnswer
from contract.closeness import Calibration, Curve
from contract.refusal import ADVICE
from embedding.torchscript import TorchScriptEmbedder
from handler.answer import Answer
from handler.metrics import Metrics
from handler.retrieval import Retrieval
from handler.served import Served
from searcher.collections import Collections
from searcher.entry import Entry
from searcher.errors import JournalDamaged
from searcher.live.collection import Collection
from searcher.live.view import View
from searcher.versions.store import IndexStore
from tests.fakes import png_of, write_colour_model, write_grid_model
from tests.vectors import entry_of
from tests.versions import publish

CODES = {"a b/white cat.png": 0xFFFF, "a b/'quoted' \"dog\".png": 0xFFFE, "ñandú/日本.png": 0xFF00, "-dash.png": 0x0000}


class Sink:
    """Takes what metrics hand over, as TorchServe would."""

    def __init__(self) -> None:
        self.values: dict[str, float] = {}

    def add_counter(self, name: str, value: float, *, dimensions: list[Any]) -> None:
        self.values[name] = self.values.get(name, 0) + value

    def add_time(self, name: str, value: float, *, unit: str, dimensions: list[Any]) -> None:
        self.values[name] = value


@pytest.fixture
def store(tmp_path: Path) -> IndexStore:
    return IndexStore(tmp_path / "index_store")


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def retrieval(store: IndexStore, grid: TorchScriptEmbedder, metrics: Metrics) -> Retrieval:
    return Retrieval(grid, served(store, grid), metrics)


def served(store: IndexStore, model: TorchScriptEmbedder) -> Served:
    return Served(store.folder, model.identity)


@pytest.fixture(scope="session")
def other_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that gives the same codes, and is another file with another name."""
    return write_grid_model(tmp_path_factory.mktemp("models") / "other.pt", name="other")


def request(code: int, **fields: Any) -> dict[str, Any]:
    return {"body": {"image": base64.b64encode(png_of(code)).decode(), **fields}}


def coloured(code: int, detail: int, **fields: Any) -> dict[str, Any]:
    return {"body": {"image": base64.b64encode(png_of(code, detail=detail)).decode(), **fields}}


def named(text: str, **fields: Any) -> dict[str, Any]:
    return {"body": {"text": text, **fields}}


def like(path: str, **fields: Any) -> dict[str, Any]:
    return {"body": {"path": path, **fields}}


def bodies(retrieval: Retrieval, *batch: dict[str, Any]) -> list[Any]:
    """The answers, without what TestAllThatIsKnown is about."""
    return [plain(answer.body) for answer in retrieval.answer(batch, range(len(batch)))]


def error_in(answer: Answer) -> dict[str, Any]:
    """The error of an answer, by the fields that TorchServe's own have; it also has a reason, and advice for people."""
    error = json.loads(answer.body)
    assert error.pop("reason") in ADVICE
    assert error.pop("advice") in ADVICE.values()
    return dict(error)


def plain(body: bytes) -> Any:
    answer = json.loads(body)
    hidden = KNOWN_OF_RESULTS if "relevant" in answer else set()
    return {name: value for name, value in answer.items() if name not in hidden}


#: What debug adds beside distances.
KNOWN_OF_RESULTS = {"rows", "codes", "distances_by_space", "model"}


def test_the_nearest_come_first_each_path_as_listed(
    retrieval: Retrieval, store: IndexStore, grid: TorchScriptEmbedder, tmp_path: Path
) -> None:
    publish(store, "1.2.0", grid, CODES, tmp_path)
    (answer,) = bodies(retrieval, request(0xFFFF, debug=True))
    assert answer == {"index_database_version": "1.2.0", "relevant": list(CODES), "distances": [0, 1, 8, 16]}


def test_top_k_and_debug_stay_with_their_request(
    retrieval: Retrieval, store: IndexStore, grid: TorchScriptEmbedder, tmp_path: Path
) -> None:
    publish(store, "1.2.0", grid, CODES, tmp_path)
    first, second, third = bodies(
        retrieval,
        request(0xFFFF, top_k=1, debug=True),
        request(0x0000, top_k=2),
        request(0xFF00, top_k=1000, debug=True),
    )
    assert first == {"index_database_version": "1.2.0", "relevant": ["a b/white cat.png"], "distances": [0]}
    assert second == {"index_database_version": "1.2.0", "relevant": ["-dash.png", "ñandú/日本.png"]}
    assert third["distances"] == [0, 7, 8, 8]


def test_nothing_farther_than_max_distance_is_answered(
    retrieval: Retrieval, store: IndexStore, grid: TorchScriptEmbedder, tmp_path: Path
) -> None:
    publish(store, "1.2.0", grid, CODES, tmp_path)
    answers = bodies(
        retrieval,
        request(0xFFFF, max_distance=8, debug=True),
        request(0xFFFF, debug=True),
        request(0xFFFF, max_distance=8, top_k=1, debug=True),
        request(0x0FF0, max_distance=0, debug=True),
    )
    assert [answer["distances"] for answer in answers] == [[0, 1, 8], [0, 1, 8, 16], [0], []]
    assert answers[0]["relevant"] == list(CODES)[:3]
    assert answers[3]["relevant"] == []


def test_debug_tells_the_code_and_the_time_of_each_step(
    retrieval: Retrieval, store: IndexStore, grid: TorchScriptEmbedder, tmp_path: Path
) -> None:
    publish(store, "1.2.0", grid, CODES, tmp_path)
    debugged, plain = retrieval.answer([request(0xFF0F, debug=True), request(0xFF0F)])
    assert debugged.headers["X-Hashlake-Code"] == "ff0f"
    assert "X-Hashlake-Detail-Code" not in debugged.headers
    steps = re.findall(r"(\w+);dur=([0-9.]+)", debugged.headers["Server-Timing"])
    assert [step for step, _ in steps] == ["decode", "hash", "search"]
    assert all(float(milliseconds) >= 0 for _, milliseconds in steps)
    assert plain.headers == {}


def test_a_code_finds_what_its_picture_finds(
    retrieval: Retrieval, store: IndexStore, grid: TorchScriptEmbedder, tmp_path: Path
) -> None:
    publish(store, "1.2.0", grid, CODES, tmp_path)
    by_picture, by_code = bodies(retrieval, request(0xFFF0, debug=True), {"body": {"code": "fff0", "debug": True}})
    assert by_code == by_picture
    assert by_code["distances"] == [3, 4, 4, 12]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"code": "ff"}, "code has 4 hex digits, and 2 are given"),
        ({"code": "ffff00"}, "code has 4 hex digits, and 6 are given"),
        ({"code": "ffff", "detail_code": "00"}, "detail_code is not known to the served model, and 2 are given"),
    ],
)
def test_a_code_of_another_width_is_a_400(
    fields: dict[str, Any],
    said: str,
    retrieval: Retrieval,
    store: IndexStore,
    grid: TorchScriptEmbedder,
    tmp_path: Path,
) -> None:
    publish(store, "1.2.0", grid, CODES, tmp_path)
    refused, good = bodies(retrieval, {"body": fields}, request(0xFFFF, top_k=1))
    assert (refused["code"], refused["message"]) == (400, said)
    assert good["relevant"] == ["a b/white cat.png"]


COLOURED = {
    "plain.png": (0xFF00, 0x0000_0000),
    "dotted.png": (0xFF00, 0x0000_0001),
    "striped.png": (0xFF00, 0xFFFF_0001),
    "torn.png": (0xFF01, 0x0000_0007),
    "robe.png": (0x00FF, 0x0000_0001),
}


class TestDetailRanking:
    """Three shirts of one code that differ in detail, a fourth a bit away, and a robe d'été with a shirt's detail code.

    Distances from the code 0xFF00 and the detail 0x0000_0001:

        photo      distance   detail distance
        plain      0          1
        dotted     0          0
        striped    0          16
        torn       1          2
        robe       16         0
    """

    @pytest.fixture
    def retrieval(self, store: IndexStore, colours: TorchScriptEmbedder, metrics: Metrics, tmp_path: Path) -> Retrieval:
        publish(store, "1.2.0", colours, COLOURED, tmp_path)
        return Retrieval(colours, Served(store.folder, colours.identity), metrics)

    def test_images_at_one_distance_come_in_the_order_of_their_details(self, retrieval: Retrieval) -> None:
        (answer,) = bodies(retrieval, coloured(0xFF00, 1, debug=True))
        assert answer == {
            "index_database_version": "1.2.0",
            "relevant": ["dotted.png", "plain.png", "striped.png", "torn.png", "robe.png"],
            "distances": [0, 0, 0, 1, 16],
        }
        (first,) = bodies(retrieval, coloured(0xFF00, 0xFFFF_FFFF, top_k=1))
        assert first["relevant"] == ["striped.png"]

    def test_by_detail_the_details_count_first(self, retrieval: Retrieval) -> None:
        answers = bodies(
            retrieval,
            coloured(0xFF00, 1, rank="detail", debug=True),
            coloured(0xFF00, 1, rank="detail", debug=True, max_distance=1),
            coloured(0xFF00, 1, rank="detail", top_k=2),
        )
        assert answers[0]["relevant"] == ["dotted.png", "robe.png", "plain.png", "torn.png", "striped.png"]
        assert answers[0]["distances"] == [0, 0, 1, 2, 16], "those of the order"
        assert answers[1]["relevant"] == ["dotted.png", "plain.png", "torn.png", "striped.png"]
        assert answers[2]["relevant"] == ["dotted.png", "robe.png"]

    def test_a_class_is_searched_by_its_code_and_ties_come_in_the_order_of_the_listing(
        self, retrieval: Retrieval
    ) -> None:
        shirts, robes = bodies(retrieval, named("SHIRT", debug=True), named(" robe D'ÉTÉ", top_k=2, debug=True))
        assert shirts["relevant"] == list(COLOURED)
        assert shirts["distances"] == [0, 0, 0, 1, 16]
        assert (robes["relevant"], robes["distances"]) == (["robe.png", "torn.png"], [0, 15])

    def test_a_class_may_have_a_greatest_distance(self, retrieval: Retrieval) -> None:
        (answer,) = bodies(retrieval, named("shirt", max_distance=0))
        assert answer["relevant"] == ["plain.png", "dotted.png", "striped.png"]

    def test_both_codes_find_what_their_picture_finds(self, retrieval: Retrieval) -> None:
        (answer,) = retrieval.answer([coloured(0xFF00, 1, rank="detail", debug=True)])
        codes = {"code": answer.headers["X-Hashlake-Code"], "detail_code": answer.headers["X-Hashlake-Detail-Code"]}
        assert codes == {"code": "ff00", "detail_code": "00000001"}
        by_codes, by_code = bodies(
            retrieval,
            {"body": {**codes, "rank": "detail", "debug": True}},
            {"body": {"code": "ff00", "debug": True}},
        )
        assert by_codes == plain(answer.body)
        assert by_code["relevant"] == list(COLOURED)  # without details, ties come in the order of the listing

    def test_requests_of_every_kind_share_a_batch(self, retrieval: Retrieval) -> None:
        batch = [
            named("shirt", top_k=1),
            coloured(0xFF00, 1, rank="detail", top_k=2),
            named("trousers"),
            coloured(0x00FF, 0, top_k=1),
            {"body": b"{"},
            named("robe d'été", top_k=1, debug=True),
            named("shirt", rank="detail"),
            {"image": png_of(0xFF01, detail=7), "rank": b"detail", "top_k": b"1"},
            {"text": b"Shirt", "top_k": b"2"},
            coloured(0xFF00, 1, rank="near"),
        ]
        answers = retrieval.answer(batch)
        assert [int(answer.status) for answer in answers] == [200, 200, 400, 200, 400, 200, 400, 200, 200, 400]
        good = [json.loads(answer.body)["relevant"] for answer in answers if answer.status == 200]
        assert good == [
            ["plain.png"],
            ["dotted.png", "robe.png"],
            ["robe.png"],
            ["robe.png"],
            ["torn.png"],
            ["plain.png", "dotted.png"],
        ]
        assert ["distances" in json.loads(answer.body) for answer in answers].count(True) == 1
        assert json.loads(answers[5].body)["distances"] == [0]

    def test_an_unknown_class_is_told_those_that_are(self, retrieval: Retrieval) -> None:
        (answer,) = retrieval.answer([named("trousers")])
        assert error_in(answer) == {
            "code": 400,
            "type": "BadRequestException",
            "message": "text: 'trousers' is no class of the model; it knows Shirt, robe d'été",
        }

    def test_pictures_alone_are_counted_as_pictures(self, retrieval: Retrieval, metrics: Metrics) -> None:
        retrieval.answer([named("shirt"), coloured(0xFF00, 1), named("trousers")])
        sink = Sink()
        metrics.hand_over(sink, None)
        assert sink.values["hashlake_pictures_total"] == 1
        assert sink.values["hashlake_refused_requests_total"] == 1


def test_a_model_without_details_and_classes_says_so(
    retrieval: Retrieval, store: IndexStore, grid: TorchScriptEmbedder, tmp_path: Path
) -> None:
    batch = [request(0xFFFF, rank="detail"), named("shirt"), request(0xFFFF, rank="distance")]
    before = retrieval.answer(batch)
    assert [int(answer.status) for answer in before] == [400, 400, 503]
    publish(store, "1.2.0", grid, CODES, tmp_path)
    answers = retrieval.answer(batch)
    assert [int(answer.status) for answer in answers] == [400, 400, 200]
    messages = [json.loads(answer.body).get("message") for answer in answers]
    assert messages[0] == "rank: the served model gives no detail codes"
    assert messages[1] == "text: 'shirt' is no class of the model; it knows no classes by name"
    assert json.loads(answers[2].body)["relevant"] == list(CODES)


def test_a_class_can_be_asked_for_once_there_is_a_version(
    store: IndexStore, colours: TorchScriptEmbedder, metrics: Metrics
) -> None:
    retrieval = Retrieval(colours, Served(store.folder, colours.identity), metrics)
    answers = retrieval.answer([named("shirt"), named("trousers"), coloured(0, 0, rank="detail")])
    assert [int(answer.status) for answer in answers] == [503, 400, 503]


def test_a_bad_request_fails_alone(
    retrieval: Retrieval, store: IndexStore, grid: TorchScriptEmbedder, tmp_path: Path
) -> None:
    publish(store, "1.2.0", grid, CODES, tmp_path)
    cut = base64.b64encode(png_of(1)[:60]).decode()
    text = base64.b64encode(b"no image").decode()
    batch = [request(0xFFFF, top_k=1), {"body": b"{"}, {"body": {"image": cut}}, {"body": {"image": text}}, request(0)]
    answers = retrieval.answer(batch)
    assert [int(answer.status) for answer in answers] == [200, 400, 415, 415, 200]
    assert json.loads(answers[0].body)["relevant"] == ["a b/white cat.png"]
    assert json.loads(answers[4].body)["relevant"][0] == "-dash.png"


def test_ties_come_in_the_order_of_the_listing(
    retrieval: Retrieval, store: IndexStore, grid: TorchScriptEmbedder, tmp_path: Path
) -> None:
    publish(store, "1.0.0", grid, {f"{name}.png": 0x00FF for name in "zyxwvu"} | {"near.png": 0x00FE}, tmp_path)
    (answer,) = bodies(retrieval, request(0x00FE, top_k=4, debug=True))
    assert answer["relevant"] == ["near.png", "z.png", "y.png", "x.png"]
    assert answer["distances"] == [0, 1, 1, 1]


def test_without_a_version_good_requests_get_503_and_bad_ones_their_own_error(retrieval: Retrieval) -> None:
    good, bad = retrieval.answer([request(1), {"body": b"{"}])
    assert (int(good.status), int(bad.status)) == (503, 400)
    assert error_in(good) == {
        "code": 503,
        "type": "ServiceUnavailableException",
        "message": "no index version is published yet",
    }


def test_an_image_over_the_limits_is_413(retrieval: Retrieval) -> None:
    (answer,) = retrieval.answer([{"image": b"\xff" * (32 * 1024 * 1024 + 1)}])
    assert int(answer.status) == 413
    assert "33,554,433 bytes" in json.loads(answer.body)["message"]


def test_a_failure_of_the_server_itself_is_a_500_without_details(
    retrieval: Retrieval,
    store: IndexStore,
    grid: TorchScriptEmbedder,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def gone(*_: object) -> None:
        raise OSError("the disk has gone")

    publish(store, "1.0.0", grid, CODES, tmp_path)
    monkeypatch.setattr(View, "search", gone)
    first, second = retrieval.answer([request(1), request(2)])
    assert (int(first.status), int(second.status)) == (500, 500)
    assert json.loads(first.body)["message"] == "the server failed to answer; its log says why"
    assert "the disk has gone" in caplog.text


def test_metrics_are_summed_and_handed_over_once_a_second(
    retrieval: Retrieval, store: IndexStore, grid: TorchScriptEmbedder, tmp_path: Path, metrics: Metrics
) -> None:
    publish(store, "1.0.0", grid, CODES, tmp_path)
    retrieval.answer([request(1), request(2), {"body": b"{"}])
    sink = Sink()
    metrics.hand_over(sink, store.open())
    assert sink.values["hashlake_pictures_total"] == 2
    assert sink.values["hashlake_refused_requests_total"] == 1
    assert all(sink.values[f"hashlake_{step}_milliseconds_total"] > 0 for step in ("decode", "hash", "search"))
    assert 0 <= sink.values["hashlake_version_age_seconds"] < 60
    retrieval.answer([request(1)])
    metrics.hand_over(sink, None)  # within the same second: kept for later
    assert sink.values["hashlake_pictures_total"] == 2


class TestMoreLikeAnIndexedImage:
    """The image's own codes are the query, of the state of the collection that the batch is about."""

    def test_it_finds_what_its_codes_find(
        self, store: IndexStore, colours: TorchScriptEmbedder, metrics: Metrics, tmp_path: Path
    ) -> None:
        publish(store, "1.2.0", colours, COLOURED, tmp_path)
        retrieval = Retrieval(colours, served(store, colours), metrics)
        by_path, by_codes, as_part, by_detail = retrieval.answer(
            [
                {"body": {"path": "dotted.png", "debug": True}},
                {"body": {"code": "ff00", "detail_code": "00000001", "debug": True}},
                {"path": b"dotted.png", "debug": b"true"},
                {"path": b"dotted.png", "rank": b"detail", "top_k": b"2"},
            ]
        )
        assert by_path.body == by_codes.body == as_part.body
        assert by_path.headers["X-Hashlake-Code"] == "ff00"
        assert by_path.headers["X-Hashlake-Detail-Code"] == "00000001"
        assert json.loads(by_detail.body)["relevant"] == ["dotted.png", "robe.png"]

    def test_of_its_own_collection_and_its_newest_state(
        self, retrieval: Retrieval, store: IndexStore, grid: TorchScriptEmbedder, tmp_path: Path
    ) -> None:
        publish(store, "1.2.0", grid, CODES, tmp_path)
        shoes = Collections(store.folder).create("shoes", grid.identity)
        shoes.add([addition("-dash.png", 0x0F0F), addition("other.png", 0x0F0E)])
        ours, datalake = bodies(
            retrieval,
            {"body": {"path": "-dash.png", "collection": "shoes", "debug": True}},
            {"body": {"path": "-dash.png", "top_k": 1, "debug": True}},
        )
        assert (ours["relevant"], ours["distances"]) == (["-dash.png", "other.png"], [0, 1])
        assert (datalake["relevant"], datalake["distances"]) == (["-dash.png"], [0])
        shoes.add([addition("-dash.png", 0x0F0E)])
        (now,) = bodies(retrieval, {"body": {"path": "-dash.png", "collection": "shoes", "debug": True}})
        assert now["distances"] == [0, 0]

    def test_by_any_spelling_of_its_url(
        self, retrieval: Retrieval, store: IndexStore, grid: TorchScriptEmbedder, tmp_path: Path
    ) -> None:
        publish(store, "1.2.0", grid, CODES, tmp_path)
        shoes = Collections(store.folder).create("shoes", grid.identity)
        old, new = "HTTP://e.org/old#a", "http://e.org/%C3%A9"
        shoes.add([addition(old, 0x0F0F), addition(new, 0x00FF)])
        for asked, found in ((old, old), (new, new), ("http://E.org:80/é?", new)):
            (answer,) = bodies(retrieval, {"body": {"path": asked, "collection": "shoes", "top_k": 1}})
            assert answer["relevant"] == [found]

    @pytest.mark.parametrize("path", ["none.png", "x" * 100_000, "\ud800", "data/\0", "Größe"])
    def test_one_that_is_not_there_is_404_and_its_neighbours_are_answered(
        self, path: str, retrieval: Retrieval, store: IndexStore, grid: TorchScriptEmbedder, tmp_path: Path
    ) -> None:
        publish(store, "1.2.0", grid, CODES, tmp_path)
        missing, good = retrieval.answer([{"body": {"path": path}}, request(0xFFFF, top_k=1)])
        assert error_in(missing) == {
            "code": 404,
            "type": "ResourceNotFoundException",
            "message": f"version 1.2.0 has no image {path[:200]}",
        }
        assert int(good.status) == 200

    def test_without_detail_codes_nothing_is_ranked_by_them(
        self, retrieval: Retrieval, store: IndexStore, grid: TorchScriptEmbedder, tmp_path: Path
    ) -> None:
        publish(store, "1.2.0", grid, CODES, tmp_path)
        (answer,) = retrieval.answer([{"body": {"path": "-dash.png", "rank": "detail"}}])
        assert (int(answer.status), json.loads(answer.body)["message"]) == (
            400,
            "rank: the served model gives no detail codes",
        )


class TestAllThatIsKnown:
    """With debug, nobody has to ask again what an image's row and codes are."""

    def test_rows_codes_distances_and_the_model(
        self, store: IndexStore, colours: TorchScriptEmbedder, metrics: Metrics, tmp_path: Path
    ) -> None:
        publish(store, "1.2.0", colours, COLOURED, tmp_path)
        datalake = Collections(store.folder).open("default")
        datalake.remove(["plain.png", "torn.png"])
        datalake.add([entry_of("new.png", b"\xff\x01", b"\0\0\0\3")])
        retrieval = Retrieval(colours, served(store, colours), metrics)
        by_picture, by_class = retrieval.answer([coloured(0xFF00, 1, debug=True), named("shirt", debug=True, top_k=1)])
        answer = json.loads(by_picture.body)
        assert answer == {
            "index_database_version": "1.2.0",
            "relevant": ["dotted.png", "striped.png", "new.png", "robe.png"],
            "distances": [0, 0, 1, 16],
            "rows": [1, 2, None, 4],
            "codes": {
                "code": ["ff00", "ff00", "ff01", "00ff"],
                "detail": ["00000001", "ffff0001", "00000003", "00000001"],
            },
            "distances_by_space": {"code": [0, 0, 1, 16], "detail": [0, 16, 1, 0]},
            "model": {
                "name": colours.card.name,
                "sha256": colours.sha256,
                "spaces": [
                    {"name": "code", "kind": "binary", "width": 16, "metric": "hamming"},
                    {"name": "detail", "kind": "binary", "width": 32, "metric": "hamming"},
                ],
            },
        }
        told = json.loads(by_class.body)
        assert told["distances_by_space"] == {"code": [0]}, "a class has no detail code"
        assert told["codes"] == {"code": ["ff00"], "detail": ["00000001"]}

    def test_it_is_what_the_contract_says(
        self, retrieval: Retrieval, store: IndexStore, grid: TorchScriptEmbedder, tmp_path: Path
    ) -> None:
        publish(store, "1.2.0", grid, CODES, tmp_path)

        class Strict(QueryAnswer, extra="forbid"):
            pass

        answers = retrieval.answer([request(1), request(1, debug=True, metadata=True), request(1, max_distance=0)])
        assert [Strict.model_validate_json(answer.body).model_fields_set for answer in answers] == [
            {"index_database_version", "relevant"},
            QueryAnswer.model_fields.keys()
            - {"closeness", "nothing_like_it", "ordered_by", "embeddings"}
            - {"parents", "boxes", "cropped_image", "cropped_box"},
            {"index_database_version", "relevant"},
        ]
        (nothing,) = retrieval.answer([request(0x0FF0, max_distance=0, debug=True)])
        found = json.loads(nothing.body)
        assert (found["rows"], found["codes"], found["distances_by_space"]) == ([], {"code": []}, {"code": []})


class TestRegions:
    """Two pages with regions, a crop of another program, and a picture."""

    CODES: ClassVar = {
        "a.jpg": 0xFFFF,
        "a.jpg#xywh=1,2,30,40": 0x00FF,
        "a.jpg#xywh=5,6,70,80": 0x00FE,
        "b.pdf#page=2&xywh=1,2,30,40": 0x00FC,
        "c_crop1.jpg": 0x00F8,
        "c.jpg": 0x00F0,
        "d.jpg": 0x00E0,
    }

    @pytest.fixture
    def ask(
        self, retrieval: Retrieval, store: IndexStore, grid: TorchScriptEmbedder, tmp_path: Path
    ) -> Callable[..., Any]:
        publish(store, "1.2.0", grid, self.CODES, tmp_path)

        def ask(**fields: Any) -> Any:
            (answer,) = bodies(retrieval, request(0x00FF, **fields))
            return answer

        return ask

    def test_answers_say_where_on_which_picture(self, ask: Callable[..., Any]) -> None:
        answer = ask(top_k=6)
        assert answer["relevant"] == list(self.CODES)[1:]
        assert answer["parents"] == ["a.jpg", "a.jpg", "b.pdf#page=2", "c.jpg", "c.jpg", "d.jpg"]
        assert answer["boxes"] == [[1, 2, 30, 40], [5, 6, 70, 80], [1, 2, 30, 40], None, None, None]

    def test_the_best_of_each_picture(self, ask: Callable[..., Any]) -> None:
        answer = ask(top_k=4, collapse=True, debug=True)
        assert answer["relevant"] == [
            "a.jpg#xywh=1,2,30,40", "b.pdf#page=2&xywh=1,2,30,40", "c_crop1.jpg", "d.jpg",
        ]  # fmt: skip
        assert answer["parents"] == ["a.jpg", "b.pdf#page=2", "c.jpg", "d.jpg"]
        assert answer["distances"] == [0, 2, 3, 5]
        assert ask(top_k=10, collapse=True)["relevant"] == answer["relevant"]
        assert ask(top_k=10, collapse=True, turned=True)["parents"][0] == "a.jpg"
        assert ask(top_k=2, collapse=True, diversity=2)["relevant"] == [answer["relevant"][place] for place in (0, 2)]

    def test_every_nth(self, ask: Callable[..., Any]) -> None:
        every = [*list(self.CODES)[1:], "a.jpg"]
        assert ask(top_k=3, diversity=2)["relevant"] == every[:6:2]
        assert ask(top_k=10, diversity=3)["relevant"] == every[::3]
        assert ask(top_k=3, diversity=0.3)["relevant"] == every[:3]
        assert ask(top_k=400, diversity=80)["message"] == "top_k times diversity must be at most 16384, and is 32000"

    def test_one_request_keeps_its_thinning_to_itself(self, ask: Callable[..., Any], retrieval: Retrieval) -> None:
        batch = [request(0x00FF, top_k=2, collapse=True), request(0x00FF, top_k=2), like("d.jpg", top_k=1, diversity=2)]
        assert [answer["relevant"] for answer in bodies(retrieval, *batch)] == [
            ["a.jpg#xywh=1,2,30,40", "b.pdf#page=2&xywh=1,2,30,40"],
            ["a.jpg#xywh=1,2,30,40", "a.jpg#xywh=5,6,70,80"],
            ["d.jpg"],
        ]


class TestTurned:
    """An L of four cells, 1000 1000 1100 0000 from the top row down, and what becomes of it:

    a quarter turn    0000 0000 0010 1110      half a turn      0000 0011 0001 0001
    mirrored          0001 0001 0011 0000      upside down      0000 1100 1000 1000
    """

    LETTER = 0x88C0

    def test_it_is_found_in_every_position(
        self, retrieval: Retrieval, store: IndexStore, grid: TorchScriptEmbedder, tmp_path: Path
    ) -> None:
        codes = {"far": 0xFFFF, "near": 0x0C89, "quarter": 0x002E, "half": 0x0311, "mirrored": 0x1130}
        publish(store, "1.2.0", grid, codes, tmp_path)
        Collections(store.folder).open("default").add([addition("added", 0x7400)])  # a quarter turn the other way
        turned, as_it_is, by_form = (
            json.loads(answer.body)
            for answer in retrieval.answer(
                [
                    request(self.LETTER, turned=True, debug=True),
                    request(self.LETTER, debug=True),
                    {"image": png_of(self.LETTER), "turned": b"true", "max_distance": b"0", "top_k": b"2"},
                ]
            )
        )
        assert turned["relevant"] == ["quarter", "half", "mirrored", "added", "near", "far"]
        assert turned["distances"] == turned["distances_by_space"]["code"] == [0, 0, 0, 0, 1, 12]
        assert as_it_is["distances"] == sorted((code ^ self.LETTER).bit_count() for code in [*codes.values(), 0x7400])
        assert by_form["relevant"] == ["quarter", "half"]

    @pytest.mark.parametrize("subject", [{"path": "half"}, {"code": "ffff"}, {"text": "Shirt"}])
    def test_codes_cannot_be_turned(self, subject: dict[str, str], retrieval: Retrieval) -> None:
        (refused,) = bodies(retrieval, {"body": {**subject, "turned": True}})
        assert (refused["code"], refused["message"]) == (400, "turned needs an image: codes cannot be turned")


class TestCloseness:
    """The images of TestDetailRanking, by a model whose calibration is in tests/fakes.py."""

    @pytest.fixture
    def retrieval(
        self, store: IndexStore, calibrated: TorchScriptEmbedder, metrics: Metrics, tmp_path: Path
    ) -> Retrieval:
        publish(store, "1.2.0", calibrated, COLOURED, tmp_path)
        return Retrieval(calibrated, served(store, calibrated), metrics)

    @pytest.mark.parametrize(
        ("asked", "distances", "closeness", "nothing"),
        [
            (coloured(0xFF00, 1), [0, 0, 0, 1, 16], [1.0, 1.0, 1.0, 0.9375, 0.0], False),
            (coloured(0xFF00, 1, rank="detail"), [0, 0, 1, 2, 16], [1.0, 1.0, 0.875, 0.75, 0.0], False),
            (coloured(0xFF00, 0xFF_0000, rank="detail"), [8, 9, 9, 9, 11], [0.0, 0.0, 0.0, 0.0, 0.0], True),
            (coloured(0xF00F, 1, top_k=2), [7, 8], [0.5625, 0.5], False),
            (named("shirt"), [0, 0, 0, 1, 16], [0.8, 0.8, 0.8, 0.7, 0.4], False),
            (coloured(0x0FF0, 1, max_distance=6), [], [], True),
            (like("robe.png"), [0, 15, 16, 16, 16], [1.0, 0.0625, 0.0, 0.0, 0.0], True),  # it is like itself alone
            (like("robe.png", top_k=1), [0], [1.0], False),
            (like("plain.png"), [0, 0, 0, 1, 16], [1.0, 1.0, 1.0, 0.9375, 0.0], False),
        ],
    )
    def test_of_the_order_that_the_images_are_in(
        self,
        asked: dict[str, Any],
        distances: list[int],
        closeness: list[float],
        nothing: bool,
        retrieval: Retrieval,
    ) -> None:
        debugged = {"body": asked["body"] | {"debug": True}}
        plain_answer, answer = bodies(retrieval, asked, debugged)
        assert (answer["distances"], answer["closeness"], answer["nothing_like_it"]) == (distances, closeness, nothing)
        assert plain_answer == {name: value for name, value in answer.items() if name != "distances"}

    def test_what_was_not_measured_is_not_told(self, store: IndexStore, tmp_path: Path, metrics: Metrics) -> None:
        calibration = Calibration(code=Curve(distances=(0, 16), shares=(1, 0)), nothing_below=0)
        write_colour_model(tmp_path / "code.pt", calibration)
        model = TorchScriptEmbedder.load(tmp_path / "code.pt")
        publish(store, "1.2.0", model, COLOURED, tmp_path)
        answers = bodies(
            Retrieval(model, served(store, model), metrics),
            coloured(0xFF00, 1),
            coloured(0xFF00, 1, rank="detail"),
            named("shirt"),
        )
        assert ["closeness" in answer for answer in answers] == [True, False, False]
        assert ["nothing_like_it" in answer for answer in answers] == [True, False, False]


class TestCollections:
    @pytest.fixture
    def shoes(self, store: IndexStore, grid: TorchScriptEmbedder) -> Collection:
        shoes = Collections(store.folder).create("shoes", grid.identity)
        shoes.add([addition("http://a/1.png", 0xFFFF, '{"size": 1}'), addition("http://a/2.png", 0xFFF0)])
        return shoes

    def test_each_request_is_about_its_own_collection(
        self, retrieval: Retrieval, store: IndexStore, grid: TorchScriptEmbedder, shoes: Collection, tmp_path: Path
    ) -> None:
        publish(store, "1.2.0", grid, CODES, tmp_path)
        datalake, ours, ours_too = bodies(
            retrieval,
            request(0xFFF0, top_k=1),
            request(0xFFF0, collection="shoes", debug=True, metadata=True),
            {"image": png_of(0xFFFF), "collection": b"shoes", "top_k": b"1"},
        )
        assert datalake == {"index_database_version": "1.2.0", "relevant": ["a b/'quoted' \"dog\".png"]}
        assert ours == {
            "index_database_version": "0",
            "relevant": ["http://a/2.png", "http://a/1.png"],
            "distances": [0, 4],
            "metadata": [None, {"size": 1}],
        }
        assert ours_too == {"index_database_version": "0", "relevant": ["http://a/1.png"]}

    def test_what_is_added_or_removed_shows_in_the_next_answer(
        self, retrieval: Retrieval, store: IndexStore, grid: TorchScriptEmbedder, tmp_path: Path
    ) -> None:
        publish(store, "1.2.0", grid, CODES, tmp_path)
        datalake = Collections(store.folder).open("default")
        asked = request(0xFFFF, max_distance=1, debug=True)
        assert bodies(retrieval, asked)[0]["distances"] == [0, 1]
        datalake.add([addition("http://a/1.png", 0x7FFF)])
        datalake.remove(["a b/white cat.png"])
        (answer,) = bodies(retrieval, asked)
        assert (answer["relevant"], answer["distances"]) == (["a b/'quoted' \"dog\".png", "http://a/1.png"], [1, 1])
        datalake.fold()
        (folded,) = bodies(retrieval, asked)
        assert folded == answer | {"index_database_version": "1.2.0-f1"}

    @pytest.mark.parametrize(
        ("given", "found"),
        [
            ({"size": 1}, ["http://a/1.png"]),
            ({"$not": {"size": 1}}, ["http://a/2.png"]),
            ({"size": {"$gt": 1}}, []),
        ],
    )
    def test_filters(self, given: Any, found: list[str], retrieval: Retrieval, shoes: Collection) -> None:
        as_object = request(0, collection="shoes", filter=given)
        as_part = {"image": png_of(0), "collection": b"shoes", "filter": json.dumps(given).encode()}
        assert [answer["relevant"] for answer in bodies(retrieval, as_object, as_part)] == [found, found]

    def test_what_cannot_be_answered_says_why(
        self, retrieval: Retrieval, store: IndexStore, grid: TorchScriptEmbedder, shoes: Collection
    ) -> None:
        other = grid.identity.model_copy(update={"sha256": "0" * 64, "name": "other"})
        Collections(store.folder).create("hats", other)
        answers = retrieval.answer(
            [
                request(0, collection="socks"),
                request(0, collection="hats"),
                request(0, collection=3),
                request(0, collection="shoes", filter={"size": {"$like": 1}}),
                request(0, collection="shoes"),
            ]
        )
        assert [int(answer.status) for answer in answers] == [404, 409, 400, 400, 200]
        messages = [json.loads(answer.body)["message"] for answer in answers[:4]]
        assert messages[0] == "collection: there is no collection socks"
        assert messages[1] == "the collection hats is of the model other, which doesn't answer here"
        assert answers[1].headers == {"X-Hashlake-Other-Model": "hats"}
        assert messages[2] == "collection must be a collection's name, and is an integer"
        assert messages[3].startswith("filter: ") and "$like" in messages[3]

    def test_what_fails_for_one_does_not_touch_its_neighbours(
        self, retrieval: Retrieval, shoes: Collection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        good, strange = request(0xFFF0, collection="shoes"), request(0, collection="\ud800")
        found = {"index_database_version": "0", "relevant": ["http://a/2.png", "http://a/1.png"]}
        assert bodies(retrieval, strange, good)[1] == found
        shoes.add([addition("http://a/1.png", 0xFFFF, '"\\ud800"')])  # JSON, though no text
        told, answered = bodies(retrieval, good | {"body": good["body"] | {"metadata": True}}, good)
        assert (told["metadata"], answered) == ([None, "\ud800"], found)

        def fail(*_: object) -> None:
            raise JournalDamaged("images.db cannot be read")

        monkeypatch.setattr("searcher.live.base_images.BaseImages.bitmap", fail)
        failed, answered = retrieval.answer([good | {"body": good["body"] | {"filter": {"a": 1}}}, good])
        assert (int(failed.status), json.loads(answered.body)) == (500, found)

    def test_a_model_beside_the_datalake_s_answers_for_collections_of_its_own_only(
        self,
        store: IndexStore,
        grid: TorchScriptEmbedder,
        metrics: Metrics,
        shoes: Collection,
        tmp_path: Path,
        other_path: Path,
    ) -> None:
        publish(store, "1.2.0", grid, CODES, tmp_path)
        other = TorchScriptEmbedder.load(other_path)
        identity = other.identity
        Collections(store.folder).create("hats", identity)
        retrieval = Retrieval(other, Served(store.folder, identity, datalake=False), metrics)
        answers = retrieval.answer([request(0), request(0, collection="shoes"), request(0, collection="hats")])
        assert [int(answer.status) for answer in answers] == [409, 409, 200]
        assert answers[0].headers == {"X-Hashlake-Other-Model": "default"}

    def test_metadata_come_as_the_text_that_they_are(self, retrieval: Retrieval, shoes: Collection) -> None:
        shoes.add([addition("http://a/2.png", 0xFFF0, '{"a":  1.50, "a": 2e1}')])
        (answer,) = retrieval.answer([request(0xFFF0, collection="shoes", metadata=True)])
        assert b'"metadata": [{"a":  1.50, "a": 2e1}, {"size": 1}]' in answer.body

    def test_one_whose_next_version_is_damaged_stays_what_it_was(
        self, retrieval: Retrieval, shoes: Collection, grid: TorchScriptEmbedder, tmp_path: Path
    ) -> None:
        """As the datalake does: they are followed alike."""
        asked = request(0xFFF0, collection="shoes")
        (before,) = bodies(retrieval, asked)
        publish(shoes.store, "9", grid, {"a.png": 1}, tmp_path)
        index = shoes.folder / "9" / "index.faiss"
        index.write_bytes(index.read_bytes()[:-1])
        assert bodies(retrieval, asked, asked) == [before, before]
        assert retrieval._served.refused == 1

    def test_a_damaged_journal_is_503_and_not_half_an_answer(
        self, retrieval: Retrieval, shoes: Collection, caplog: pytest.LogCaptureFixture
    ) -> None:
        shoes.journal.close()
        shoes.journal.path.write_bytes(b"no database" * 1000)
        for _ in range(2):
            (answer,) = retrieval.answer([request(0, collection="shoes")])
            assert int(answer.status) == 503
        assert caplog.text.count("the collection shoes cannot be read") == 1


def hashing(*files: bytes) -> dict[str, Any]:
    return {"body": {"hash": [base64.b64encode(file).decode() for file in files]}}


class TestCodes:
    def test_of_several_pictures_without_any_version(self, retrieval: Retrieval, grid: TorchScriptEmbedder) -> None:
        (answer,) = bodies(retrieval, hashing(png_of(0xFF00), b"no image", png_of(0x0001), b""))
        assert answer["model"] == {"name": grid.card.name, "sha256": grid.sha256, "bits": 16, "detail_bits": None}
        first, second, third, fourth = answer["hashed"]
        assert (first, third) == ({"vectors": {"code": "ff00"}}, {"vectors": {"code": "0001"}})
        assert (second["status"], fourth["status"]) == (415, 400)

    @pytest.mark.parametrize("wrong", [[], "", None, ["a"] * 33])
    def test_what_is_no_list_of_pictures(self, wrong: object, retrieval: Retrieval) -> None:
        (answer,) = bodies(retrieval, {"body": {"hash": wrong}})
        assert (answer["code"], answer["message"]) == (400, "hash must be a list of 1 to 32 image files in base64")

    def test_only_the_gateway_may_ask(
        self, retrieval: Retrieval, store: IndexStore, grid: TorchScriptEmbedder, tmp_path: Path
    ) -> None:
        """A stranger's pictures aren't even decoded, in whatever shape the request comes."""
        publish(store, "1.2.0", grid, CODES, tmp_path)
        asked = hashing(png_of(1))
        text = json.dumps(asked["body"]).encode()
        shapes = [asked, {"body": text}, {"data": asked["body"]}, {"data": bytearray(text)}, {"body": {"hash": None}}]
        *refused, searched, hashed = retrieval.answer([*shapes, request(0xFFFF, top_k=1), asked], {len(shapes) + 1})
        assert [int(each.status) for each in refused] == [403] * len(shapes)
        assert error_in(refused[0]) == {
            "code": 403, "type": "ForbiddenException", "message": "hash: only the gateway may ask for codes"
        }  # fmt: skip
        assert (searched.status, hashed.status) == (200, 200)
        assert retrieval._metrics._sums["pictures"] == 2

    def test_neighbours_in_the_batch_get_their_own(
        self, retrieval: Retrieval, store: IndexStore, grid: TorchScriptEmbedder, tmp_path: Path
    ) -> None:
        publish(store, "1.2.0", grid, CODES, tmp_path)
        searched, hashed, again = bodies(
            retrieval, request(0xFFFF, top_k=1), hashing(png_of(1), png_of(2)), request(0x0000, top_k=1)
        )
        assert (searched["relevant"], again["relevant"]) == (["a b/white cat.png"], ["-dash.png"])
        assert [each["vectors"]["code"] for each in hashed["hashed"]] == ["0001", "0002"]


def addition(path: str, code: int, metadata: str | None = None) -> Entry:
    return entry_of(path, code.to_bytes(2, "big"), None, metadata)
