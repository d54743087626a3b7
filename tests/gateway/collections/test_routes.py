"""``/api/collections`` on a real stack: made, filled, folded, browsed, deleted; and what happens when things break."""

import base64
import io
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any
from urllib.parse import urlencode

import httpx
import psutil
import pytest
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from searcher.collections import Collections
from tests.fakes import png_of
from tests.gateway.stack import Stack, wait_until
from tests.sources.fetching.picture_site import PictureSite
from tests.vectors import entry_of

LAKE = {"data/robe.png": (0x00FF, 1), "data/shirt.png": (0xFF00, 2)}
SIDE = 160


def picture(code: int, detail: int = 0) -> bytes:
    return png_of(code, SIDE, detail=detail)


@pytest.fixture(scope="module")
def site() -> Iterator[PictureSite]:
    with PictureSite() as running:
        yield running


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    with Stack(folder, LAKE, "colours.pt", fetch_allow="127.0.0.1", fold_after=200) as running:
        unready = running.call("GET", "/api/collections")
        assert (unready.status_code, unready.json()) == (200, {"collections": [], "damaged": []})
        assert running.call("GET", "/api/collections/default").status_code == 404
        assert running.call("GET", "/models/default/count").status_code == 404
        assert running.call("POST", "/models/default/add", json={"url": "data/robe.png"}).status_code == 404
        assert running.reindex("1.0.0").status_code == 200
        yield running


@pytest.fixture
def name(stack: Stack, request: pytest.FixtureRequest) -> str:
    """A collection of the test's own, empty."""
    name: str = request.node.name.split("[")[0][:60]
    assert stack.call("POST", "/api/collections", json={"name": name}).status_code == 201
    return name


def info(stack: Stack, name: str) -> dict[str, Any]:
    answer = stack.call("GET", f"/api/collections/{name}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def restore(stack: Stack, name: str, urls: list[str], code: int = 0, detail: int = 0, **fields: Any) -> httpx.Response:
    body = [{"url": url, "embedding": f"{code:04x}{detail:08x}", **fields} for url in urls]
    return stack.call("POST", f"/models/{name}/restore?assume_model=colours", json=body)


def add(stack: Stack, name: str, **options: Any) -> None:
    answer = stack.call("POST", f"/models/{name}/add", **options)
    assert answer.status_code == 204, answer.text


def count(stack: Stack, name: str) -> int:
    answer = stack.call("GET", f"/models/{name}/count")
    assert answer.status_code == 200, answer.text
    found: int = answer.json()
    return found


def metric(stack: Stack, metric: str, collection: str) -> float:
    text = stack.call("GET", "/metrics").text
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == metric and sample.labels.get("collection") == collection
    )


class TestRoutes:
    def test_a_life(self, stack: Stack) -> None:
        made = stack.call("POST", "/api/collections", json={"name": "a-life"})
        assert made.status_code == 201
        model = stack.torchserve.description()
        assert made.json() == {
            "name": "a-life",
            "count": 0,
            "model": {"name": "colours", "sha256": model["sha256"], "bits": 16, "detail_bits": 32},
            "copies": {"space": "detail", "bits": 32, "max_distance": 1},
            "version": "0",
            "versions": ["0"],
            "engine": None,
            "aliases": [],
            "journal": {"changes": 0, "bytes": 0},
            "bytes": made.json()["bytes"],
            "created": made.json()["created"],
        }
        assert restore(stack, "a-life", ["a", "b", "c"]).status_code == 204
        assert stack.call("POST", "/models/a-life/remove", json={"url": "b"}).status_code == 204
        lived = info(stack, "a-life")
        assert (lived["count"], lived["journal"]["changes"], lived["version"]) == (2, 3, "0")
        assert lived["bytes"] > made.json()["bytes"] and lived["journal"]["bytes"] > 0
        assert lived["created"] == made.json()["created"]
        folded = stack.call("POST", "/api/collections/a-life/fold")
        assert folded.status_code == 200, folded.text
        assert folded.json() == {"version": info(stack, "a-life")["version"], "count": 2, "folded": 3}
        assert info(stack, "a-life")["journal"]["changes"] == 0
        assert stack.call("POST", "/models/a-life/urls").json() == ["a", "c"]
        again = stack.call("POST", "/api/collections/a-life/fold")
        assert again.json() == {**folded.json(), "folded": 0}
        listed = stack.call("GET", "/api/collections").json()["collections"]
        assert listed[0]["name"] == "default"
        assert info(stack, "a-life") in listed
        assert stack.call("DELETE", "/api/collections/a-life").status_code == 204
        assert stack.call("GET", "/api/collections/a-life").status_code == 404
        assert stack.call("POST", "/api/collections", json={"name": "a-life"}).json()["count"] == 0
        assert count(stack, "a-life") == 0

    @pytest.mark.parametrize(
        ("method", "path", "options", "status"),
        [
            ("POST", "", {"json": {"name": "default"}}, 409),
            ("POST", "", {"json": {"name": ""}}, 422),
            ("POST", "", {"json": {"name": "../x"}}, 422),
            ("POST", "", {"json": {"name": "a" * 65}}, 422),
            ("POST", "", {"json": {}}, 422),
            ("DELETE", "/default", {}, 409),
            ("DELETE", "/none", {}, 404),
            ("GET", "/none", {}, 404),
            ("GET", "/..%2Fx", {}, 404),
            ("POST", "/none/fold", {}, 404),
            ("GET", "/none/images", {}, 404),
            ("GET", "/default/images", {"params": {"filter": "{"}}, 422),
            ("GET", "/default/images", {"params": {"filter": '{"a": {"$near": 1}}'}}, 422),
            ("GET", "/default/images", {"params": {"limit": 0}}, 422),
            ("GET", "/default/thumbnail", {"params": {"url": "none"}}, 404),
            ("GET", "/default/thumbnail", {}, 422),
            ("GET", "/none/duplicates", {}, 404),
            ("GET", "/default/duplicates", {"params": {"max_distance": -1}}, 422),
            ("GET", "/default/duplicates", {"params": {"view": "all"}}, 422),
        ],
    )
    def test_refusals(self, stack: Stack, method: str, path: str, options: Any, status: int) -> None:
        answer = stack.call(method, f"/api/collections{path}", **options)
        assert answer.status_code == status, answer.text
        assert answer.json().keys() == {"code", "type", "reason", "message", "advice"}
        assert answer.json()["code"] == status

    def test_keys(self, stack: Stack) -> None:
        for method, path in (("POST", ""), ("DELETE", "/x"), ("POST", "/default/fold")):
            assert stack.call(method, f"/api/collections{path}", key=None, json={}).status_code == 401
            assert stack.call(method, f"/api/collections{path}", key=stack.search_key, json={}).status_code == 403
        assert stack.call("GET", "/api/collections", key=None).status_code == 200

    def test_folding_waits_for_an_indexer(self, stack: Stack, name: str) -> None:
        restore(stack, name, ["a"])
        with Collections(stack.store.folder).open(name).store.indexing():
            assert stack.call("POST", f"/api/collections/{name}/fold").status_code == 409
        assert stack.call("POST", f"/api/collections/{name}/fold").json()["folded"] == 1

    def test_browsing(self, stack: Stack, name: str) -> None:
        spelled = [f"https://a.example/{n:03d}?a=b&c=ä" for n in range(120)]
        urls = [url.replace("ä", "%C3%A4") for url in spelled]
        for number, url in enumerate(spelled):
            assert restore(stack, name, [url], number, metadata={"n": number}).status_code == 204

        def page(**params: Any) -> dict[str, Any]:
            answer = stack.call("GET", f"/api/collections/{name}/images", params=params)
            assert answer.status_code == 200, answer.text
            found: dict[str, Any] = answer.json()
            return found

        first = page()
        assert first["images"][3] == {
            "url": urls[3],
            "spelled": spelled[3],
            "metadata": {"n": 3},
            "code": "0003",
            "thumbnail": f"/api/collections/{name}/thumbnail?{urlencode({'url': urls[3]})}",
        }
        assert [each["url"] for each in first["images"]] == urls[:50]
        assert (first["cursor"], first["count"]) == (urls[49], 120)
        last = page(cursor=urls[99], limit=20)
        assert ([each["url"] for each in last["images"]], last["cursor"]) == (urls[100:], None)
        few = page(filter='{"n": {"$gte": 118}}')
        assert ([each["url"] for each in few["images"]], few["cursor"], few["count"]) == (urls[118:], None, 2)

    def test_duplicates(self, stack: Stack, name: str) -> None:
        """By detail codes, and not by the codes: all of these have the same one."""
        details = {"a": 0x0000, "b": 0xFFFF, "c": 0x0001, "d": 0x0003, "e": 0xFFFF}
        for url, detail in details.items():
            restore(stack, name, [url], detail=detail)

        def lines(**params: Any) -> list[Any]:
            answer = stack.call("GET", f"/api/collections/{name}/duplicates", params=params)
            assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-ndjson")
            return [json.loads(line) for line in answer.text.splitlines()]

        assert lines(max_distance=1, view="pairs") == [
            {"url": "a", "other": "c", "distance": 1, "same_file": False},
            {"url": "b", "other": "e", "distance": 0, "same_file": False},
            {"url": "c", "other": "d", "distance": 1, "same_file": False},
        ]

        def grouped(**params: Any) -> list[list[tuple[str, int]]]:
            found = lines(**params)
            return [[(image["url"], image["distance"]) for image in group["images"]] for group in found]

        assert grouped(max_distance=0) == [[("b", 0), ("e", 0)]]
        # d is near to c, which is a copy of a; it is no copy of a itself.
        assert grouped(max_distance=1) == grouped() == [[("a", 0), ("c", 1)], [("b", 0), ("e", 0)]]
        assert grouped(max_distance=2) == [[("a", 0), ("c", 1), ("d", 2)], [("b", 0), ("e", 0)]]
        copies = stack.call("GET", f"/api/collections/{name}").json()["copies"]
        assert copies == {"space": "detail", "bits": 32, "max_distance": 1}

    def test_the_same_file_is_told_from_the_same_code(self, stack: Stack, name: str) -> None:
        files = {"one": picture(1, 1), "same": picture(1, 1), "larger": png_of(1, 320, detail=1)}
        for url, data in files.items():
            add(stack, name, files={"image": data}, data={"url": url, "metadata": json.dumps({"n": url})})
        answer = stack.call("GET", f"/api/collections/{name}/duplicates")
        assert answer.json()["images"] == [
            {"url": "one", "metadata": {"n": "one"}, "distance": 0, "same_file": True},
            {"url": "same", "metadata": {"n": "same"}, "distance": 0, "same_file": True},
            {"url": "larger", "metadata": {"n": "larger"}, "distance": 0, "same_file": False},
        ]

    def test_a_report_ends_when_its_reader_goes(self, stack: Stack, name: str) -> None:
        restore(stack, name, [f"{n:04d}" for n in range(3000)])  # equal codes: four million pairs

        def reports() -> int:
            running = 0
            for child in psutil.Process(stack.gateway.process.pid).children():
                with suppress(psutil.Error):  # it has just ended
                    running += "gateway.collections.duplicates" in child.cmdline()
            return running

        path = f"/api/collections/{name}/duplicates?max_distance=0&view=pairs"
        with stack.client.stream("GET", path) as answer:
            lines = answer.iter_lines()  # kept: its end is the connection's
            assert next(lines) == '{"url":"0000","other":"0001","distance":0,"same_file":false}'
            assert reports() == 1
        wait_until(lambda: not reports(), "the end of the report")

    def test_metrics(self, stack: Stack, name: str) -> None:
        restore(stack, name, ["a", "b", "c"])
        stack.call("POST", f"/models/{name}/remove", json={"url": "b"})
        prefix = "hashlake_gateway_collection"
        assert metric(stack, f"{prefix}_added_total", name) == 3
        assert metric(stack, f"{prefix}_removed_total", name) == 1
        assert metric(stack, f"{prefix}_unfolded_changes", name) == 3
        assert metric(stack, f"{prefix}_images", name) == 2
        stack.call("POST", f"/api/collections/{name}/fold")
        assert metric(stack, f"{prefix}_folds_total", name) == 1
        assert metric(stack, f"{prefix}_unfolded_changes", name) == 0


class TestThumbnails:
    def thumbnail(self, stack: Stack, name: str, url: str, **headers: str) -> httpx.Response:
        path = f"/api/collections/{name}/thumbnail"
        return stack.call("GET", path, params={"url": url}, headers=headers)

    def size(self, answer: httpx.Response) -> tuple[int, int]:
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/webp"), answer.text
        return Image.open(io.BytesIO(answer.content)).size

    def test_of_an_upload_is_kept(self, stack: Stack, name: str) -> None:
        stream = io.BytesIO()
        Image.new("RGB", (800, 400), "red").save(stream, "JPEG")
        add(stack, name, files={"image": stream.getvalue()}, data={"url": "mine"})
        shown = self.thumbnail(stack, name, "mine")
        assert self.size(shown) == (256, 128)
        etag = shown.headers["etag"]
        assert self.thumbnail(stack, name, "mine", **{"If-None-Match": etag}).status_code == 304
        folder = stack.store.folder / "collections" / name / "thumbnails"
        assert len(list(folder.iterdir())) == 1
        add(stack, name, files={"image": picture(0xFF00)}, data={"url": "mine"})
        assert self.size(self.thumbnail(stack, name, "mine")) == (SIDE, SIDE)
        assert len(list(folder.iterdir())) == 1
        assert stack.call("POST", f"/models/{name}/remove", json={"url": "mine"}).status_code == 204
        assert list(folder.iterdir()) == []
        assert self.thumbnail(stack, name, "mine").status_code == 404

    def test_of_a_url_is_fetched_once(self, stack: Stack, name: str, site: PictureSite) -> None:
        url = site.put("/thumbnail.png", picture(0xFF00))
        add(stack, name, json={"url": url})
        site.asked.clear()
        assert self.size(self.thumbnail(stack, name, url)) == (SIDE, SIDE)
        assert self.size(self.thumbnail(stack, name, url)) == (SIDE, SIDE)
        assert site.asked == ["/thumbnail.png"]

    def test_of_what_cannot_be_had(self, stack: Stack, name: str, site: PictureSite) -> None:
        text = site.put("/thumbnail.txt", b"hello")
        restore(stack, name, [text, site.url("/gone.png"), "http://169.254.169.254/latest", "upload:00"])
        assert self.thumbnail(stack, name, text).status_code == 415
        assert self.thumbnail(stack, name, site.url("/gone.png")).status_code == 404
        assert self.thumbnail(stack, name, "http://169.254.169.254/latest").status_code == 404
        assert self.thumbnail(stack, name, "upload:00").status_code == 404

    def test_of_the_datalakes_files(self, stack: Stack) -> None:
        assert self.size(self.thumbnail(stack, "default", "data/robe.png")) == (16, 16)
        restore(stack, "default", ["../state/keys.db"])
        assert self.thumbnail(stack, "default", "../state/keys.db").status_code == 404
        stack.call("POST", "/models/default/remove", json={"url": "../state/keys.db"})


class TestConcurrency:
    def test_eight_writers_and_readers(self, stack: Stack, name: str) -> None:
        """Everybody's own writes are there when they are acknowledged, and all of them at the end; folds come by."""
        writers, each = 8, 60
        reading = threading.Event()
        refused: list[str] = []

        def read() -> int:
            seen = 0
            with httpx.Client(base_url=stack.url, timeout=60, trust_env=False) as client:
                while not reading.is_set():
                    now = client.get(f"/models/{name}/count")
                    found = client.post(f"/models/{name}/search", files={"image": picture(0x1234)})
                    if now.status_code != 200 or found.status_code != 200:
                        refused.append(now.text + found.text)
                    seen = max(seen, len(found.json()))
            return seen

        def write(writer: int) -> None:
            headers = {"X-API-Key": stack.admin_key}
            with httpx.Client(base_url=stack.url, timeout=60, trust_env=False, headers=headers) as client:
                for number in range(each):
                    url = f"{writer}/{number}"
                    body = [{"url": url, "embedding": f"{number:04x}{writer:08x}"}]
                    assert client.post(f"/models/{name}/restore?assume_model=colours", json=body).status_code == 204
                    assert client.post(f"/models/{name}/search", json={"url": url, "limit": 1}).json()
                    if number % 3 == 0:
                        assert client.post(f"/models/{name}/remove", json={"url": url}).status_code == 204

        with ThreadPoolExecutor(writers + 2) as clients:
            readers = [clients.submit(read) for _ in range(2)]
            try:
                list(clients.map(write, range(writers)))
            finally:
                reading.set()
            assert all(reader.result() == 10 for reader in readers)
        assert refused == []
        expected = sorted(f"{writer}/{n}" for writer in range(writers) for n in range(each) if n % 3)
        assert stack.call("POST", f"/models/{name}/urls").json() == expected
        assert count(stack, name) == len(expected) == 320

    def test_one_of_many_is_first(self, stack: Stack, name: str) -> None:
        """However many add a new image at once, one of them does."""
        data = picture(0xFF00)

        def search_add(_: int) -> int:
            return stack.call("POST", f"/models/{name}/search_add", files={"image": data}).status_code

        with ThreadPoolExecutor(8) as clients:
            statuses = list(clients.map(search_add, range(16)))
        assert sorted(statuses) == [204] + [409] * 15

    def test_a_long_journal_is_folded_by_itself(self, stack: Stack, name: str) -> None:
        restore(stack, name, [f"{n:04d}" for n in range(199)])
        time.sleep(1.5)  # it looks every second
        assert info(stack, name)["journal"]["changes"] == 199
        restore(stack, name, ["one more"])
        wait_until(lambda: info(stack, name)["journal"]["changes"] == 0, "the fold")
        assert count(stack, name) == 200
        restore(stack, name, [f"many/{n:04d}" for n in range(1000)])
        assert stack.call("POST", f"/api/collections/{name}/fold").status_code == 200
        # 200 more are not a quarter of the collection.
        restore(stack, name, [f"few/{n:04d}" for n in range(200)])
        time.sleep(1.5)
        assert info(stack, name)["journal"]["changes"] == 200


class TestBreaking:
    def test_a_killed_gateway_loses_nothing_that_it_acknowledged(self, stack: Stack, name: str) -> None:
        acknowledged: list[str] = []
        ended = threading.Event()

        def write(writer: int) -> None:
            headers = {"X-API-Key": stack.admin_key}
            with httpx.Client(base_url=stack.url, timeout=60, trust_env=False, headers=headers) as client:
                number = 0
                while not ended.is_set():
                    url = f"{writer}/{number:06d}"
                    try:
                        answer = client.post(
                            f"/models/{name}/add", files={"image": picture(number, writer)}, data={"url": url}
                        )
                    except httpx.TransportError:
                        return
                    assert answer.status_code == 204, answer.text
                    acknowledged.append(url)
                    number += 1

        with ThreadPoolExecutor(8) as writers:
            running = [writers.submit(write, writer) for writer in range(8)]
            try:
                wait_until(lambda: len(acknowledged) >= 100, "a hundred images")
                stack.gateway.kill()
            finally:
                ended.set()
            for each in running:
                each.result()
        stack.gateway.start()
        there = set(stack.call("POST", f"/models/{name}/urls").json())
        assert set(acknowledged) <= there
        assert len(there) <= len(acknowledged) + 8
        found = stack.call("POST", f"/models/{name}/search", json={"url": acknowledged[-1], "limit": 1})
        assert found.json()[0]["similarity"] == 100

    def test_a_full_disk(self, stack: Stack, name: str) -> None:
        """Nothing is half there: a refused request has changed nothing, and once there is room, the next one does."""
        restore(stack, name, ["before"])
        stack.gateway.stop()
        stack.gateway.start(largest_file=2_000_000)
        try:
            statuses = []
            for batch in range(40):
                urls = [f"{batch:02d}/{n:04d}/{'x' * 100}" for n in range(1000)]
                answer = restore(stack, name, urls)
                statuses.append(answer.status_code)
                if answer.status_code != 204:
                    assert isinstance(answer.json()["detail"], str)
                    break
            assert statuses[-1] in (503, 507)
            assert count(stack, name) == 1 + 1000 * (len(statuses) - 1)
        finally:
            stack.gateway.stop()
            stack.gateway.start()
        assert restore(stack, name, ["after"]).status_code == 204
        assert count(stack, name) == 2 + 1000 * (len(statuses) - 1)

    def test_a_model_that_nobody_has(self, stack: Stack, name: str, site: PictureSite) -> None:
        """Codes of the model that is served are not mixed with those of another, on any path."""
        identity = Collections(stack.store.folder).open(name).identity()
        other = identity.model_copy(update={"name": "elsewhere", "sha256": "0" * 64})
        Collections(stack.store.folder).create(f"{name}-2", other).add([entry_of("a", bytes(2), bytes(4))])
        url = site.put("/model.png", picture(0xFF00))
        for route, body in (
            ("add", {"url": url}),
            ("search_add", {"url": url}),
            ("add_bulk", [{"url": url}]),
            ("compare", {"url": url, "other": "a"}),
            ("search", {"url": url}),
            ("search", {"url": "a"}),
            ("search", {"text": "shirt"}),
        ):
            answer = stack.call("POST", f"/models/{name}-2/{route}", json=body)
            assert (answer.status_code, "the model elsewhere" in answer.json()["detail"]) == (503, True), answer.text
        assert count(stack, f"{name}-2") == 1
        assert stack.call("DELETE", f"/api/collections/{name}-2").status_code == 204

    def test_no_torchserve(self, stack: Stack, name: str) -> None:
        """What takes a model is refused with 503; everything else goes on."""
        restore(stack, name, ["a", "b"])
        stack.gateway.stop()
        variables = stack.gateway._environment
        try:
            stack.gateway._environment = {**variables, "HASHLAKE_INFERENCE_PORT": "1"}
            stack.gateway.start()
            image = {"files": {"image": picture(0xFF00)}}
            for route, options in (
                ("add", image), ("search_add", image), ("search", image), ("search", {"json": {"url": "a"}}),
                ("compare", {**image, "data": {"other": "a"}}),
            ):  # fmt: skip
                answer = stack.call("POST", f"/models/{name}/{route}", **options)
                assert (answer.status_code, "cannot be reached" in answer.json()["detail"]) == (503, True)
            assert stack.call("POST", "/api/collections", json={"name": "more"}).status_code == 503
            assert stack.call("POST", f"/models/{name}/compare", json={"url": "a", "other": "b"}).json() == 100
            assert stack.call("POST", f"/models/{name}/remove", json={"url": "a"}).status_code == 204
            assert count(stack, name) == 1
        finally:
            stack.gateway.stop()
            stack.gateway._environment = variables
            stack.gateway.start()


def test_collections_of_two_models(stack: Stack) -> None:
    """Each is asked of its own model; one that no collection has any more is served no longer."""
    alone = stack.torchserve.management.get("/models").json()
    assert [each["modelName"] for each in alone["models"]] == ["image-retrieval-v1.0"]
    made = stack.call("POST", "/api/collections", json={"name": "grids", "model_path": "grid.pt"})
    assert made.status_code == 201, made.text
    assert (made.json()["model"]["name"], made.json()["model"]["detail_bits"]) == ("grid", None)
    for code in (0xFF00, 0xFF01):
        add(stack, "grids", files={"image": png_of(code, SIDE)}, data={"url": f"{code:04x}"})
    dumped = stack.call("POST", "/models/grid/dump").json()
    assert [(each["url"], each["embedding"]) for each in dumped] == [("ff00", "/wA="), ("ff01", "/wE=")]
    for question in ({"files": {"image": png_of(0xFF00, SIDE)}}, {"json": {"url": "ff00"}}):
        found = stack.call("POST", "/models/grids/search", **question)
        assert [each["similarity"] for each in found.json()] == [100, 87.5], found.text
    asked = {"image": base64.b64encode(png_of(0xFF01, SIDE)).decode(), "collection": "grids", "top_k": 1}
    passed = stack.call("POST", "/predictions/image-retrieval-v1.0", json=asked)
    assert passed.json()["relevant"] == ["ff01"], passed.text
    more_like = {"path": "ff01", "collection": "grids"}
    for shape in ({"json": more_like}, {"files": {name: (None, value) for name, value in more_like.items()}}):
        passed = stack.call("POST", "/predictions/image-retrieval-v1.0", **shape)
        assert passed.json()["relevant"] == ["ff01", "ff00"], passed.text
    assert (
        stack.call("POST", "/models/default/search", files={"image": picture(0x00FF, 1)}).json()[0]["similarity"] == 100
    )
    loaded = stack.torchserve.management.get("/models").json()
    archives = sorted(stack.model_store.iterdir())
    for name, path, status in (
        ("x", "../elsewhere.pt", 422),
        ("grids", "wide/001/", 409),
        ("../x", "wide/001/", 422),
        ("x", "damaged.pt", 503),
        ("x", "unservable.pt", 503),  # TorchServe could not start with it
    ):
        refused = stack.call("POST", "/api/collections", json={"name": name, "model_path": path})
        assert refused.status_code == status, refused.text
    now = stack.torchserve.management.get("/models").json()
    assert (now, sorted(stack.model_store.iterdir())) == (loaded, archives)
    assert stack.call("DELETE", "/api/collections/grids").status_code == 204
    assert stack.torchserve.management.get("/models").json() == alone


def test_a_model_that_was_unloaded_is_loaded_again(stack: Stack) -> None:
    assert stack.call("POST", "/api/collections", json={"name": "g", "model_path": "grid.pt"}).status_code == 201
    add(stack, "g", files={"image": png_of(0xFF00, SIDE)}, data={"url": "ff00"})
    beside = next(each["modelName"] for each in stack.torchserve.management.get("/models").json()["models"])
    assert beside.startswith("grid-")
    for what, options, status in (
        ("search", {"json": {"url": "ff00"}}, 200),
        ("add", {"files": {"image": png_of(0xFF01, SIDE)}, "data": {"url": "ff01"}}, 204),
    ):
        assert stack.torchserve.management.delete(f"/models/{beside}").status_code == 200
        answer = stack.call("POST", f"/models/g/{what}", **options)
        assert answer.status_code == status, answer.text
    assert stack.call("DELETE", "/api/collections/g").status_code == 204


def test_the_first_page_finds_what_was_added(stack: Stack) -> None:
    """``/api/search`` searches ``default``: what has no row in its version has a small picture all the same."""
    add(stack, "default", files={"image": picture(0xF0F0, 3)}, data={"url": "added"})
    small = "/api/collections/default/thumbnail?url=added"
    try:
        for question in ({"files": {"image": picture(0xF0F0, 3)}}, {"data": {"path": "added"}}):
            answer = stack.call("POST", "/api/search", **question)
            assert answer.status_code == 200, answer.text
            first, second = answer.json()["results"][:2]
            assert first == {
                "row": None, "path": "added", "distance": 0, "cosine": None, "closeness": None, "code": "f0f0",
                "image": small, "thumbnail": small, "metadata": None, "parent": None, "box": None,
            }  # fmt: skip
            assert second["path"] in LAKE and second["image"] == f"/images/{second['row']}?version=1.0.0"
        assert stack.call("GET", small).headers["content-type"] == "image/webp"
    finally:
        assert stack.call("POST", "/models/default/remove", json={"url": "added"}).status_code == 204
    assert stack.call("POST", "/api/search", data={"path": "added"}).status_code == 404
    found = stack.call("POST", "/api/search", files={"image": picture(0xF0F0, 3)}).json()["results"]
    assert [each["path"] for each in found] == list(LAKE)


def test_the_default_collection_is_reindexed_with_its_changes(stack: Stack) -> None:
    """What curators added stays, what they removed doesn't come back."""
    add(stack, "default", files={"image": picture(0x0F0F)}, data={"url": "kept", "metadata": '{"by": "hand"}'})
    assert stack.call("POST", "/models/default/remove", json={"url": "data/robe.png"}).status_code == 204
    assert stack.reindex("1.1.0").status_code == 200
    assert stack.call("POST", "/models/default/urls").json() == ["data/shirt.png", "kept"]
    dumped = stack.call("POST", "/models/default/dump").json()[1]
    expected = base64.b64encode(bytes.fromhex("0f0f00000000")).decode()
    assert dumped.pop("model").startswith("colours@")
    assert dumped == {"url": "kept", "metadata": {"by": "hand"}, "embedding": expected}
