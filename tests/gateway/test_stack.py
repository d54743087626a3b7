"""The gateway before a real TorchServe: what it passes, what it answers itself, what it keeps to itself.

The lake has four pictures; the model reads the code from the red channel and the detail code from the others.

    row  path               code    detail code
    0    data/-ñ日本.png     FFFE    00000000
    1    data/robe.png      00FF    FFFFFFFF      (the code of the class robe d'été)
    2    data/shirt 1.png   FF00    00000003      (the code of the class Shirt)
    3    data/shirt 2.png   FF00    00000001
"""

import asyncio
import base64
import io
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

import gateway.search.api
from contract.names import SECRET_HEADER
from contract.refusal import error_body
from embedding.torchscript import TorchScriptEmbedder
from gateway.access.keys import KEYS_FILE, KeyStore
from gateway.app import create_app
from gateway.operations.jobs import JOBS_FILE, JobStore, ReindexRequest
from gateway.settings import GatewaySettings
from searcher.versions.store import IndexStore
from tests.fakes import BITS, DETAIL_BITS, png_of
from tests.gateway.stack import Stack, wait_until
from tests.gateway.tiny_app import Client, tiny_app
from tests.handler.server import REPOSITORY, free_ports
from tests.hashlake.command import Answer, hashlake
from tests.squares import NAME, install
from tests.versions import publish

LAKE = {
    "data/-ñ日本.png": (0xFFFE, 0),
    "data/robe.png": (0x00FF, 0xFFFF_FFFF),
    "data/shirt 1.png": (0xFF00, 3),
    "data/shirt 2.png": (0xFF00, 1),
}
NAMES = list(LAKE)
#: A shirt with the detail code 0.
QUERY = png_of(0xFF00, detail=0)
#: What is nearest to it: both shirts at 0, by their details; FF00 and FFFE differ in 7 bits, FF00 and 00FF in 16.
NEAREST = ([3, 2, 0, 1], [0, 0, 7, 16])

PREDICTIONS = "/predictions/image-retrieval-v1.0"
BASE64 = base64.b64encode(QUERY).decode()
FORM = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\nabc\r\n--x--\r\n'
JSON = json.dumps({"image": BASE64, "top_k": 3, "debug": True, "diversity": 0.3}).encode()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    with pytest.MonkeyPatch.context() as patch, ExitStack() as opened:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(install(folder / "site")), str(REPOSITORY)]))
        patch.setenv("HASHLAKE_DETECTOR", NAME)
        patch.syspath_prepend(str(folder / "site"))
        running = opened.enter_context(Stack(folder, LAKE, "colours.pt", workers=2))
        unready = running.call("GET", "/readyz", key=None)
        assert (unready.status_code, unready.json()) == (
            503,
            {
                "ready": False,
                "version": None,
                "workers": [],
                "verified": None,
                "damaged": None,
                "message": "no index version is published yet",
            },
        )
        assert running.call("POST", PREDICTIONS, content=JSON).status_code == 503
        assert running.call("POST", "/api/search", files={"image": QUERY}).status_code == 503
        first = running.reindex("1.0.0")
        assert first.status_code == 200, first.text
        yield running


def direct(stack: Stack, **options: Any) -> httpx.Response:
    """What TorchServe itself answers."""
    return stack.torchserve.client.post(stack.torchserve.url, **options)


def test_the_main_object_of_a_photo_is_looked_for(stack: Stack) -> None:
    """The upper half of the query is red, and only that is hashed: FFFF, of which FFFE is the nearest."""
    box = {"x": 0, "y": 0, "width": 16, "height": 8, "score": 0.9, "label": "red"}
    asked = {"image": BASE64, "top_k": 1, "crop": "auto", "debug": True}
    answer = stack.call("POST", PREDICTIONS, key=None, json=asked).json()
    assert (answer["relevant"], answer["distances"], answer["cropped_box"]) == ([NAMES[0]], [1], box)
    shown = Image.open(io.BytesIO(base64.b64decode(answer["cropped_image"])))
    assert (shown.format, shown.size) == ("JPEG", (16, 8))
    form = {"top_k": "1", "crop": "auto"}
    found = stack.call("POST", "/api/search", files={"image": QUERY}, data=form).json()
    assert (found["cropped_image"], found["cropped_box"]) == (answer["cropped_image"], box)
    assert (found["results"][0]["path"], found["results"][0]["box"]) == (NAMES[0], None)


class TestPredictions:
    """``POST /predictions/…`` is TorchServe's own answer."""

    @pytest.mark.parametrize(
        "request_",
        [
            {"json": {"image": BASE64, "top_k": 3, "debug": True}},
            {"content": JSON},
            {"content": JSON, "headers": {"Content-Type": "application/octet-stream"}},
            {"files": {"data": ("blob", JSON, "application/json")}},
            {"files": {"image": ("photo.png", QUERY, "image/png")}, "data": {"top_k": "3", "debug": "true"}},
        ],
        ids=["json", "raw", "octet-stream", "part data", "part image"],
    )
    def test_every_shape_gets_what_torchserve_answers(self, stack: Stack, request_: dict[str, Any]) -> None:
        passed, own = stack.call("POST", PREDICTIONS, key=None, **request_), direct(stack, **request_)
        rows, distances = NEAREST
        answer = passed.json()
        assert answer == answer | {
            "index_database_version": "1.0.0",
            "relevant": [NAMES[row] for row in rows[:3]],
            "distances": distances[:3],
            "rows": rows[:3],
        }
        assert (passed.status_code, passed.content) == (200, own.content)
        for header in ("content-type", "x-hashlake-code", "x-hashlake-detail-code"):
            assert passed.headers[header] == own.headers[header]
        assert passed.headers["x-hashlake-code"] == "ff00"

    @pytest.mark.parametrize(
        ("request_", "status"),
        [
            ({"content": b'{"image": '}, 400),
            ({"content": b""}, 400),
            ({"json": {"image": BASE64, "top_k": 0}}, 400),
            ({"json": {"text": "trousers"}}, 400),
            ({"files": {"image": ("a.jpg", b"\xff" * (32 * 1024 * 1024 + 1))}}, 413),
            ({"files": {"image": ("a.jpg", QUERY[:48])}}, 415),
            ({"json": {"image": "aGVsbG8="}}, 415),
        ],
        ids=["no JSON", "no body", "top_k", "no class", "32 MiB", "truncated", "no image"],
    )
    def test_errors_are_torchserves_own(self, stack: Stack, request_: dict[str, Any], status: int) -> None:
        passed, own = stack.call("POST", PREDICTIONS, **request_), direct(stack, **request_)
        assert (passed.status_code, passed.content) == (status, own.content)
        assert passed.headers["content-type"] == own.headers["content-type"]
        assert passed.json()["code"] == status

    @pytest.mark.parametrize(
        ("kind", "form"),
        [
            ("multipart/form-data;boundary", FORM),
            ("multipart/form-data; boundary=", FORM),
            ("multipart/form-data; boundary=x; charset=nope", FORM),
            ("multipart/form-data; boundary=x", FORM.replace(b' name="image";', b"")),
            ("multipart/form-data; boundary=x", FORM.replace(b"Content-Disposition", b"X")),
            (
                "multipart/form-data; boundary=x",
                FORM.replace(b"\r\n\r\n", b"\r\nContent-Type: multipart/mixed\r\n\r\n"),
            ),
            (
                "multipart/form-data; boundary=x",
                FORM.replace(b"\r\n\r\n", b"\r\nContent-Type: a/b; charset=nope\r\n\r\n"),
            ),
            ("application/x-www-form-urlencoded", b"a=%zz"),
            ("application/x-www-form-urlencoded", b"=&="),
        ],
    )
    def test_a_form_that_torchserve_cannot_read_is_a_400(self, stack: Stack, kind: str, form: bytes) -> None:
        """TorchServe itself answers 500, or 403, and what Java says."""
        assert direct(stack, content=form, headers={"Content-Type": kind}).status_code in (500, 403)
        passed = stack.call("POST", PREDICTIONS, content=form, headers={"Content-Type": kind})
        message = "the form cannot be read: it is malformed"
        assert (passed.status_code, passed.json()["message"]) == (400, message)

    def test_a_body_in_chunks_of_unknown_number(self, stack: Stack) -> None:
        pieces = (JSON[start : start + 100] for start in range(0, len(JSON), 100))
        passed = stack.call("POST", PREDICTIONS, content=pieces)
        assert "content-length" not in passed.request.headers
        assert (passed.status_code, passed.content) == (200, direct(stack, content=JSON).content)

    @pytest.mark.parametrize("path", [PREDICTIONS, "/api/search", "/api/reindex"])
    @pytest.mark.parametrize("announced", [True, False], ids=["whole", "chunked"])
    def test_a_body_over_64_mebibytes_is_413(self, stack: Stack, path: str, announced: bool) -> None:
        start, kind = b"{", "application/json"
        if path == "/api/search":
            start = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
            kind = "multipart/form-data; boundary=x"
        pieces = [start, *[b" " * 1024 * 1024] * 65]
        content = b"".join(pieces) if announced else iter(pieces)
        answer = stack.call("POST", path, content=content, headers={"Content-Type": kind})
        most = "1.0 MiB" if path == "/api/reindex" else "64.0 MiB"  # JSON from programs, before a key is asked for
        message = f"the request is longer than {most}"
        assert (answer.status_code, answer.json()) == (
            413,
            error_body(413, message).model_dump(),
        )

    def test_many_clients_at_once_get_their_own_answers(self, stack: Stack) -> None:
        async def one(client: httpx.AsyncClient, number: int) -> bool:
            top_k = 1 + number % 4
            answer = await client.post(PREDICTIONS, json={"code": f"{number * 257 & 0xFFFF:04x}", "top_k": top_k})
            return answer.status_code == 200 and len(answer.json()["relevant"]) == top_k

        async def all_of_them() -> list[bool]:
            async with httpx.AsyncClient(base_url=stack.url, timeout=120, trust_env=False) as client:
                return await asyncio.gather(*(one(client, number) for number in range(200)))

        assert all(asyncio.run(all_of_them()))


def form(**fields: str) -> dict[str, Any]:
    return {"data": fields}


class TestSearch:
    """``POST /api/search``: rows, distances, codes, pictures."""

    def search(self, stack: Stack, **options: Any) -> dict[str, Any]:
        answer = stack.call("POST", "/api/search", key=None, **options)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def test_by_picture_the_whole_answer(self, stack: Stack) -> None:
        answer = self.search(stack, files={"image": ("a.png", QUERY)})
        rows, distances = NEAREST
        assert [
            (each["row"], each["path"], each["distance"], each["code"], each["image"], each["thumbnail"])
            for each in answer["results"]
        ] == [
            (
                row,
                NAMES[row],
                away,
                f"{LAKE[NAMES[row]][0]:04x}",
                f"/images/{row}?version=1.0.0",
                f"/thumbnails/{row}?version=1.0.0",
            )
            for row, away in zip(rows, distances, strict=True)
        ]
        assert answer["query"] == {"code": "ff00", "detail_code": "00000000"}
        assert answer["version"] == "1.0.0"
        description = stack.torchserve.description()
        assert answer["model"] == {
            "name": "colours",
            "sha256": description["sha256"],
            "bits": BITS,
            "detail_bits": DETAIL_BITS,
        }
        spent = answer["milliseconds"]
        assert spent.keys() == {"decode", "hash", "search", "torchserve", "total"}
        assert 0 < spent["decode"] + spent["hash"] + spent["search"] <= spent["torchserve"] <= spent["total"]

    def test_its_urls_lead_to_the_pictures(self, stack: Stack) -> None:
        for each in self.search(stack, files={"image": ("a.png", QUERY)})["results"]:
            original = stack.call("GET", each["image"], key=None)
            assert (original.status_code, original.headers["content-type"]) == (200, "image/png")
            code, detail = LAKE[each["path"]]
            assert original.content == png_of(code, detail=detail)
            thumbnail = stack.call("GET", each["thumbnail"], key=None)
            assert (thumbnail.status_code, thumbnail.headers["content-type"]) == (200, "image/webp")

    def test_more_like_an_indexed_image(self, stack: Stack) -> None:
        """00FF and FFFE differ in 9 bits, and in 16 from the shirts, whose details lack 30 and 31 bits."""
        answer = self.search(stack, **form(path="data/robe.png"))
        assert [(each["row"], each["distance"]) for each in answer["results"]] == [(1, 0), (0, 9), (2, 16), (3, 16)]
        assert answer["query"] == {"code": "00ff", "detail_code": "ffffffff"}
        odd = self.search(stack, **form(path="data/-ñ日本.png", top_k="1"))
        assert [(each["row"], each["distance"]) for each in odd["results"]] == [(0, 0)]

    def test_by_the_name_of_a_class(self, stack: Stack) -> None:
        answer = self.search(stack, **form(text="ROBE d'été", max_distance="9"))
        assert [(each["row"], each["distance"]) for each in answer["results"]] == [(1, 0), (0, 9)]
        assert answer["query"] == {"code": "00ff", "detail_code": None}

    def test_by_a_code_that_an_answer_gave(self, stack: Stack) -> None:
        """Without the detail code, both shirts stand in the order of the listing."""
        rough = self.search(stack, **form(code="FF00", top_k="3"))
        assert [(each["row"], each["distance"]) for each in rough["results"]] == [(2, 0), (3, 0), (0, 7)]
        fine = self.search(stack, **form(code="ff00", detail_code="00000000"))
        by_picture = self.search(stack, files={"image": ("a.png", QUERY)})
        assert fine["results"] == by_picture["results"]
        assert fine["query"] == by_picture["query"]

    def test_in_the_order_of_details(self, stack: Stack) -> None:
        """The detail code 0 lacks no bit of row 0's, one of row 3's, two of row 2's, 32 of row 1's."""
        answer = self.search(stack, files={"image": ("a.png", QUERY)}, data={"rank": "detail"})
        assert [(each["row"], each["distance"]) for each in answer["results"]] == [(0, 0), (3, 1), (2, 2), (1, 32)]

    @pytest.mark.parametrize(
        ("request_", "status", "said"),
        [
            (form(), 422, "give one of image, url, path, text, embedding and code; given: none"),
            (form(text="shirt", code="ff00"), 422, "given: text and code"),
            ({"files": {"image": QUERY}} | form(path="data/robe.png"), 422, "given: image and path"),
            (form(text="shirt", top_k="0"), 422, "top_k: Input should be greater than or equal to 1"),
            (form(text="shirt", top_k="16385"), 422, "top_k: Input should be less than or equal to 16384"),
            (form(text="shirt", top_k="many"), 422, "top_k: "),
            (form(text="shirt", max_distance="-1"), 422, "max_distance: "),
            (form(text="shirt", rank="near"), 422, "rank: Input should be 'distance' or 'detail'"),
            (form(path="data/none.png"), 404, "version 1.0.0 has no image data/none.png"),
            (form(path="/etc/passwd"), 404, "version 1.0.0 has no image /etc/passwd"),
            (form(text="trousers"), 400, "'trousers' is no class of the model"),
            (form(text="shirt", rank="detail"), 400, 'rank "detail" needs an image'),
            (form(code="ff00", rank="detail"), 400, 'rank "detail" needs detail_code'),
            (form(code="near"), 400, "code must be hex digits"),
            (form(code="ff00ff00"), 400, "code has 4 hex digits, and 8 are given"),
            (form(code="ff00", detail_code="ff"), 400, "detail_code has 8 hex digits, and 2 are given"),
            ({"files": {"image": ("a.png", b"")}}, 400, "image"),
            ({"files": {"image": ("a.txt", b"hello, \xff")}}, 415, "not an image of a known format"),
            ({"files": {"image": ("a.png", QUERY[:48])}}, 415, "damaged or truncated"),
            ({"files": {"image": ("a.jpg", b"\xff" * (32 * 1024 * 1024 + 1))}}, 413, "bytes"),
        ],
    )
    def test_what_cannot_be_searched_for(self, stack: Stack, request_: dict[str, Any], status: int, said: str) -> None:
        answer = stack.call("POST", "/api/search", key=None, **request_)
        assert (answer.status_code, answer.json()["code"]) == (status, status)
        assert answer.json().keys() == {"code", "type", "reason", "message", "advice"}
        assert said in answer.json()["message"]

    def test_a_decompression_bomb_is_413(self, stack: Stack) -> None:
        stream = io.BytesIO()
        Image.new("1", (20_000, 20_000)).save(stream, "PNG")
        answer = stack.call("POST", "/api/search", files={"image": ("bomb.png", stream.getvalue())})
        assert (answer.status_code, "pixels" in answer.json()["message"]) == (413, True)


class TestHealth:
    """``/healthz``, ``/readyz``, ``/metrics``."""

    def test_up(self, stack: Stack) -> None:
        answer = stack.call("GET", "/healthz", key=None)
        assert (answer.status_code, answer.json()) == (200, {"status": "up"})

    def test_ready_with_every_worker(self, stack: Stack) -> None:
        ready = wait_until(lambda: answer if (answer := stack.call("GET", "/readyz")).is_success else None, "readiness")
        pids = sorted(worker["pid"] for worker in stack.torchserve.workers())
        assert len(pids) == 2
        assert ready.json() | {"verified": None} == {
            "ready": True,
            "version": "1.0.0",
            "workers": [{"pid": pid, "version": "1.0.0"} for pid in pids],
            "verified": None,
            "damaged": None,
            "message": "",
        }

    def test_not_ready_while_a_worker_hangs(self, stack: Stack) -> None:
        hanging = stack.torchserve.workers()[0]["pid"]
        os.kill(hanging, signal.SIGSTOP)
        try:
            # It takes some of these and never answers; a second try does.
            with ThreadPoolExecutor(8) as clients:
                searches = [clients.submit(stack.call, "POST", PREDICTIONS, content=JSON) for _ in range(8)]
                assert [each.result().status_code for each in searches] == [200] * 8
            answer = wait_until(
                lambda: answer if (answer := stack.call("GET", "/readyz")).is_error else None, "unreadiness"
            )
            assert answer.status_code == 503
            body = answer.json()
            assert (body["ready"], body["version"]) == (False, "1.0.0")
            assert {"pid": hanging, "version": None} in body["workers"]
            assert " of 2 workers don't answer from 1.0.0" in body["message"]
        finally:
            os.kill(hanging, signal.SIGCONT)
        wait_until(lambda: stack.call("GET", "/readyz").status_code == 200, "readiness")

    def counted(self, stack: Stack) -> dict[tuple[str, str, str], float]:
        """Requests by the route's template, method and status."""
        return {
            (sample.labels["route"], sample.labels["method"], sample.labels["status"]): sample.value
            for family in text_string_to_metric_families(stack.call("GET", "/metrics", key=None).text)
            for sample in family.samples
            if sample.name == "hashlake_gateway_request_seconds_count"
        }

    def test_metrics_count_requests_by_the_routes_template(self, stack: Stack) -> None:
        before = self.counted(stack)
        for row in range(4):
            assert stack.call("GET", f"/thumbnails/{row}").status_code == 200
        assert stack.call("GET", "/thumbnails/4").status_code == 404
        assert stack.call("GET", "/api/jobs/none").status_code == 404
        assert stack.call("GET", "/api/versions", key=None).status_code == 401
        assert stack.call("GET", "/no/such/page").status_code == 404
        assert stack.call("POST", PREDICTIONS, content=b"{").status_code == 400
        after = self.counted(stack)
        assert {each: count - before.get(each, 0) for each, count in after.items() if count != before.get(each)} == {
            ("/thumbnails/{row}", "GET", "200"): 4,
            ("/thumbnails/{row}", "GET", "404"): 1,
            ("/api/jobs/{id}", "GET", "404"): 1,
            ("/api/versions", "GET", "401"): 1,
            ("other", "GET", "404"): 1,
            (PREDICTIONS, "POST", "400"): 1,
            ("/metrics", "GET", "200"): 1,
        }

    def test_metrics_tell_the_current_version_and_the_jobs(self, stack: Stack) -> None:
        text = stack.call("GET", "/metrics").text
        values = {
            sample.name: sample.value for family in text_string_to_metric_families(text) for sample in family.samples
        }
        assert values["hashlake_gateway_images"] == 4
        assert abs(values["hashlake_gateway_version_published_timestamp_seconds"] - time.time()) < 3600
        assert values["hashlake_gateway_reindex_jobs_total"] == 1


class TestKeys:
    """Who may do what, by the real keys."""

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("POST", "/api/reindex"),
            ("GET", "/api/jobs"),
            ("GET", "/api/jobs/x"),
            ("GET", "/api/jobs/x/events"),
            ("DELETE", "/api/jobs/x"),
            ("POST", "/api/jobs/x/resume"),
            ("GET", "/api/versions"),
            ("GET", "/api/versions/1.0.0"),
            ("DELETE", "/api/versions/1.0.0"),
            ("GET", "/api/versions/1.0.0/skipped"),
            ("POST", "/api/versions/1.0.0/promote"),
            ("POST", "/api/versions/1.0.0/verify"),
            ("GET", "/api/models"),
        ],
    )
    def test_admin_routes_take_an_admin_key(self, stack: Stack, method: str, path: str) -> None:
        body = {"json": {"new_index_database_version": "9"}} if path == "/api/reindex" else {}
        without = stack.call(method, path, key=None, **body)
        assert (without.status_code, without.headers["www-authenticate"]) == (401, "Bearer")
        assert stack.call(method, path, key=stack.search_key, **body).status_code == 403
        with_it = stack.call("GET", "/api/versions", key=None, headers={"Authorization": f"Bearer {stack.admin_key}"})
        assert with_it.status_code == 200

    def test_neither_keys_nor_pictures_reach_a_log(self, stack: Stack) -> None:
        picture = png_of(0x1234, detail=0x89AB_CDEF)
        text = base64.b64encode(picture).decode()
        for key in (stack.admin_key, stack.search_key, "hlk_00000000_" + "s" * 32):
            stack.call("POST", PREDICTIONS, json={"image": text}, key=key)
            stack.call("POST", PREDICTIONS, json={"image": text, "top_k": "many"}, key=key)
            stack.call("POST", PREDICTIONS, content=f'{{"image": "{text}"'.encode(), key=key)
            stack.call("POST", PREDICTIONS, json={"image": text[:80]}, key=key)
            stack.call("POST", "/api/search", files={"image": picture}, key=key)
            stack.call("POST", "/api/search", files={"image": picture[:-40]}, key=key)
            stack.call("POST", "/api/search", data={"code": text[:40]}, key=key)
            stack.call("GET", "/api/versions", key=key)
            stack.call("POST", "/api/reindex", json={"new_index_database_version": "2", "mode": key}, key=key)
        logs = stack.logs()
        assert b"hashlake is ready" in logs and b"hashlake's page" in logs
        for key in (stack.admin_key, stack.search_key):
            assert key.split("_", 2)[2].encode() not in logs
            assert key[13:].encode() not in logs
        assert b"s" * 32 not in logs
        for piece in (picture[-60:-20], picture[:40], text[:40].encode(), text[60:100].encode()):
            assert piece not in logs


class _Heard(BaseHTTPRequestHandler):
    """Notes the headers of what it gets, and answers as TorchServe would."""

    heard: list[dict[str, str]]

    def do_POST(self) -> None:
        self.heard.append({name.lower(): value for name, value in self.headers.items()})
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b'{"index_database_version": "1", "relevant": []}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *_: object) -> None:
        pass


def settings_in(folder: Path, port: int) -> GatewaySettings:
    for name in ("models", "state", "lake"):
        (folder / name).mkdir()
    return GatewaySettings(
        inference_port=port,
        index_store=folder / "index_store",
        model_store=folder / "model_store",
        run_folder=folder / "run",
        models=folder / "models",
        state=folder / "state",
        datalake_root=folder / "lake",
        datalake=Path(),
    )


def ask_app(settings: GatewaySettings, *requests: tuple[str, str, dict[str, Any]]) -> list[httpx.Response]:
    """What the application, in this process, answers to ``requests``."""

    async def ask() -> list[httpx.Response]:
        app = create_app(settings)
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://gateway", timeout=60) as client,
        ):
            return [await client.request(method, path, **options) for method, path, options in requests]

    return asyncio.run(ask())


def test_keys_and_hop_by_hop_headers_stay_at_the_gateway(tmp_path: Path) -> None:
    heard: list[dict[str, str]] = []
    listener = ThreadingHTTPServer(("127.0.0.1", 0), type("Heard", (_Heard,), {"heard": heard}))
    thread = threading.Thread(target=listener.serve_forever)
    thread.start()
    try:
        headers = {
            "X-API-Key": "hlk_1",
            "Authorization": "Bearer hlk_1",
            "Proxy-Authorization": "Basic eA==",
            "TE": "trailers",
            SECRET_HEADER: "guessed",
            "X-Request-Id": "17",
            "Content-Type": "application/json",
        }
        (answer,) = ask_app(
            settings_in(tmp_path, listener.server_port), ("POST", PREDICTIONS, {"content": b"{}", "headers": headers})
        )
    finally:
        listener.shutdown()
        thread.join()
        listener.server_close()
    assert answer.json() == {"index_database_version": "1", "relevant": []}
    (got,) = heard
    assert got.keys() & {"x-api-key", "authorization", "proxy-authorization", "te", SECRET_HEADER.lower()} == set()
    assert (got["x-request-id"], got["content-type"], got["content-length"]) == ("17", "application/json", "2")
    assert "hlk_1" not in str(got)


def test_without_torchserve_everything_that_needs_it_is_503(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    settings = settings_in(tmp_path, port)
    (settings.pictures / "a.png").write_bytes(QUERY)
    key = {"X-API-Key": KeyStore(settings.state / KEYS_FILE).create("a", "admin")[1]}
    predicted, searched, reindexed, promoted, up, ready = ask_app(
        settings,
        ("POST", PREDICTIONS, {"content": JSON}),
        ("POST", "/api/search", {"files": {"image": QUERY}}),
        ("POST", "/api/reindex", {"json": {"new_index_database_version": "1"}, "headers": key}),
        ("POST", "/api/versions/1/promote", {"headers": key}),
        ("GET", "/healthz", {}),
        ("GET", "/readyz", {}),
    )
    refusal = error_body(503, "the search server cannot be reached").model_dump()
    for answer in (predicted, searched, reindexed, promoted):
        assert (answer.status_code, answer.json()) == (503, refusal)
    assert up.status_code == 200
    assert (ready.status_code, ready.json()["ready"]) == (503, False)


def test_not_ready_while_torchserve_hangs(tmp_path: Path, grid: TorchScriptEmbedder) -> None:
    """It takes connections and says nothing."""
    settings = settings_in(tmp_path, free_ports(1)[0])
    settings.run.make()
    with socket.socket(socket.AF_UNIX) as hanging:
        hanging.bind(str(settings.run.management))
        hanging.listen()
        publish(IndexStore(settings.index_store), "1", grid, {"a.png": 1}, settings.pictures)
        (answer,) = ask_app(settings, ("GET", "/readyz", {}))
    assert (answer.status_code, answer.json()) == (
        503,
        {
            "ready": False,
            "version": "1",
            "workers": [],
            "verified": None,
            "damaged": None,
            "message": "the search server doesn't answer",
        },
    )


class Asked:
    """A TorchServe that answers from a version of another model than the current one, as for a moment in a switch."""

    def __init__(self, version: str, model: TorchScriptEmbedder) -> None:
        self.version = version
        self.model = model
        self.asked: list[dict[str, Any]] = []

    async def predict(self, fields: dict[str, Any], _image: bytes | None = None) -> httpx.Response:
        self.asked.append(fields)
        card = self.model.card
        body = {
            "index_database_version": self.version,
            "relevant": ["data/robe.png", "data/new.png"],
            "distances": [0, 3],
            "rows": [7, None],
            "codes": {"code": ["1234", "1235"]},
            "distances_by_space": {"code": [0, 3]},
            "model": {
                "name": card.name,
                "sha256": self.model.sha256,
                "spaces": [{"name": "code", "kind": "binary", "width": card.bits, "metric": "hamming"}],
            },
        }
        return httpx.Response(200, json=body, headers={"X-Hashlake-Code": "1234"})


def test_a_search_is_asked_once_and_answered_by_what_was_said(
    tmp_path: Path, grid: TorchScriptEmbedder, colours: TorchScriptEmbedder
) -> None:
    """Neither the current version nor the collection is asked what they know of the images: they may be others."""
    folder = tmp_path / "settings"
    folder.mkdir()
    settings = settings_in(folder, 1)
    publish(IndexStore(settings.index_store), "now", colours, LAKE, tmp_path / "now")
    torchserve = Asked("next", grid)
    app = tiny_app(settings, gateway.search.api.router)
    app.state.services = replace(app.state.services, torchserve=torchserve)
    with Client(app) as client:
        answer = client.request("POST", "/api/search", data={"path": "data/robe.png", "max_distance": "3", "text": ""})
    assert answer.status_code == 200, answer.text
    assert torchserve.asked == [
        {
            "path": "data/robe.png",
            "top_k": 10,
            "max_distance": 3,
            "rank": "distance",
            "diversity": 1,
            "debug": True,
            "metadata": True,
        }
    ]
    found = answer.json()
    assert (found["version"], found["query"]) == ("next", {"code": "1234", "detail_code": None})
    assert found["model"] == {"name": "grid", "sha256": grid.sha256, "bits": BITS, "detail_bits": None}
    small = "/api/collections/default/thumbnail?url=data%2Fnew.png"
    assert found["results"] == [
        {
            "row": 7, "path": "data/robe.png", "distance": 0, "cosine": None, "closeness": None, "code": "1234",
            "image": "/images/7?version=next", "thumbnail": "/thumbnails/7?version=next", "metadata": None,
            "parent": None, "box": None,
        },
        {
            "row": None, "path": "data/new.png", "distance": 3, "cosine": None, "closeness": None, "code": "1235",
            "image": small, "thumbnail": small, "metadata": None, "parent": None, "box": None,
        },
    ]  # fmt: skip


class TestStartUp:
    """What is wrong with the environment is one line, before anything listens."""

    @pytest.fixture
    def folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        for name in [name for name in os.environ if name.startswith("HASHLAKE_")]:
            monkeypatch.delenv(name)
        monkeypatch.chdir(tmp_path)
        (tmp_path / "torchscripts_models").mkdir()
        (tmp_path / "a file").write_text("no database, but long enough to be looked at" * 40)
        return tmp_path

    def error(self, answer: Answer) -> str:
        assert (answer.status, answer.out) == (1, "")
        (line,) = answer.err.splitlines()
        return line

    @pytest.mark.parametrize(
        ("variable", "value", "said"),
        [
            ("GATEWAY_PORT", "eighty", "Error: HASHLAKE_GATEWAY_PORT is 'eighty': Input should be a valid integer"),
            ("GATEWAY_PORT", "70000", "Error: HASHLAKE_GATEWAY_PORT is '70000': Input should be less than or equal to"),
            ("DATALAKE", "nowhere", "Error: HASHLAKE_DATALAKE is nowhere, which is no folder"),
            ("MODELS", "a file", "Error: HASHLAKE_MODELS is a file, which is no folder"),
            ("STATE", "a file", "Error: HASHLAKE_STATE is a file: File exists"),
            ("STATE", "a file/below", "Error: HASHLAKE_STATE is a file/below: Not a directory"),
            ("INDEX_STORE", "a file", "Error: HASHLAKE_INDEX_STORE is a file: File exists"),
            ("GATEWAY_HOST", "192.0.2.1", "Error: cannot listen on 192.0.2.1:8000: "),
        ],
    )
    def test_a_wrong_setting(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
    ) -> None:
        monkeypatch.setenv(f"HASHLAKE_{variable}", value)
        assert self.error(hashlake("admin")).startswith(said)

    @pytest.mark.parametrize("file", [JOBS_FILE, KEYS_FILE])
    def test_a_damaged_file(self, folder: Path, file: str) -> None:
        (folder / "gateway_state").mkdir()
        (folder / "a file").rename(folder / "gateway_state" / file)
        line = self.error(hashlake("admin"))
        assert line.endswith(f"gateway_state/{file}: file is not a database")

    def test_a_port_that_is_taken_and_whose_gateway_keeps_its_job(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (folder / "gateway_state").mkdir()
        jobs = JobStore(folder / "gateway_state" / JOBS_FILE)
        job = jobs.create(ReindexRequest(new_index_database_version="1"))
        jobs.started(job.id, os.getpid())
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            monkeypatch.setenv("HASHLAKE_GATEWAY_PORT", str(port))
            assert self.error(hashlake("admin")) == f"Error: cannot listen on 127.0.0.1:{port}: Address already in use"
        running = jobs.running()
        assert running is not None and running.id == job.id
        assert jobs.asked_to_stop(job.id) is None
