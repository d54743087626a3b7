"""The README, executed: a folder of pictures, the indexer's command, TorchServe, and clients of every kind."""

import base64
import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from threading import Event
from typing import Any

import grpc
import httpx
import psutil
import pytest
from PIL import Image

from contract.names import MODEL_NAME, SECRET_HEADER
from contract.refusal import error_body
from embedding.torchscript import TorchScriptEmbedder
from handler.archive import build_archive
from indexer.sample_datalake import write_awkward
from searcher.versions.store import IndexStore
from tests.fakes import picture_of, png_of, write_grid_model
from tests.handler.server import REPOSITORY, Server
from tests.versions import publish

CODES = {"photos/white cat.png": 0xFFFF, 'photos/O\'Hara "dog".png': 0xFFFE, "photos/-ñ日本.png": 0xFF00, "z.png": 0}
SHIRTS = {f"shirts/{number}.png": (0xFF00, number * 0x0101_0101) for number in range(200)}


def listening(server: Server) -> list[Any]:
    """The frontend's TCP sockets that take connections."""
    frontend = server.child("org.pytorch.serve.ModelServer")
    return [each for each in frontend.net_connections("tcp") if each.status == psutil.CONN_LISTEN]


def length_delimited(field: int, content: bytes) -> bytes:
    """A field of a protobuf message: its number, the length, the content."""
    length, digits = len(content), bytearray()
    while length > 0x7F:
        digits.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes([field << 3 | 2, *digits, length]) + content


def varint(message: bytes, start: int) -> tuple[int, int]:
    """The number at ``start`` of a protobuf message, and where it ends."""
    value = shift = 0
    while True:
        value |= (message[start] & 0x7F) << shift
        if message[start] < 0x80:
            return value, start + 1
        start, shift = start + 1, shift + 7


def prediction_request(model: str, **parts: bytes) -> bytes:
    """TorchServe's PredictionsRequest: string model_name = 1, map<string, bytes> input = 3."""
    inputs = [length_delimited(1, name.encode()) + length_delimited(2, content) for name, content in parts.items()]
    return length_delimited(1, model.encode()) + b"".join(length_delimited(3, each) for each in inputs)


def base64_of(code: int) -> str:
    return base64.b64encode(png_of(code)).decode()


@pytest.fixture(scope="module")
def model_store(grid_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_archive(grid_path, tmp_path_factory.mktemp("model_store")).parent


@pytest.fixture(scope="module")
def server(model_store: Path, grid: TorchScriptEmbedder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("served")
    publish(IndexStore(folder / "index_store"), "1.2.0", grid, CODES, folder / "lake")
    with Server(folder / "index_store", model_store, folder / "log", workers=2) as running:
        yield running


@pytest.fixture(scope="class")
def colour_server(
    colours_path: Path, colours: TorchScriptEmbedder, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("colours")
    model_store = build_archive(colours_path, folder / "model_store").parent
    lake = {**SHIRTS, "robe.png": (0x00FF, 0xFFFF_FFFF)}
    publish(IndexStore(folder / "index_store"), "2.0.0", colours, lake, folder / "lake")
    with Server(folder / "index_store", model_store, folder / "log") as running:
        yield running


class TestRequests:
    """One version, one model, every kind of client."""

    def test_the_four_shapes_get_the_same_answer(self, server: Server) -> None:
        fields = {"image": base64_of(0xFFFF), "top_k": 2, "debug": True, "diversity": 0.3}
        body = json.dumps(fields).encode()
        file = ("photo.png", png_of(0xFFFF), "image/png")
        answers = [
            server.client.post(server.url, json=fields),
            server.client.post(server.url, content=body),
            server.client.post(server.url, content=body, headers={"Content-Type": "application/octet-stream"}),
            server.client.post(server.url, files={"data": ("blob", body, "application/json")}),
            server.client.post(server.url, files={"image": file}, data={"top_k": "2", "debug": "true"}),
        ]
        expected = {"index_database_version": "1.2.0", "relevant": list(CODES)[:2], "distances": [0, 1]}
        assert [answer.json() | expected for answer in answers] == [answers[0].json()] * len(answers)
        assert answers[0].json()["rows"] == [0, 1]
        assert {answer.status_code for answer in answers} == {200}
        assert {answer.headers["content-type"] for answer in answers} == {"application/json"}

    def test_more_like_an_indexed_image_in_json_and_in_parts(self, server: Server) -> None:
        path = list(CODES)[1]
        answers = [
            server.ask({"path": path, "debug": True}),
            server.client.post(server.url, files={"path": (None, path), "debug": (None, "true")}),
        ]
        assert [answer.json()["relevant"][:2] for answer in answers] == [[path, "photos/white cat.png"]] * 2
        missing = server.ask({"path": "none.png"})
        assert (missing.status_code, missing.json()) == (
            404,
            error_body(404, "version 1.2.0 has no image none.png", kind="ResourceNotFoundException").model_dump(),
        )

    def test_max_distance_is_understood_in_json_and_in_parts(self, server: Server) -> None:
        file = ("photo.png", png_of(0xFFFF), "image/png")
        answers = [
            server.ask({"image": base64_of(0xFFFF), "max_distance": 8, "debug": True}),
            server.client.post(server.url, files={"image": file}, data={"max_distance": "8", "debug": "true"}),
        ]
        assert [answer.json()["distances"] for answer in answers] == [[0, 1, 8]] * 2
        refused = server.ask({"image": base64_of(0xFFFF), "max_distance": "near"})
        assert refused.status_code == 400
        assert "max_distance must be an integer from 0 to 1024" in refused.json()["message"]

    def test_top_k_beyond_the_index_answers_what_there_is(self, server: Server) -> None:
        answer = server.ask({"image": base64_of(0xFFFF), "top_k": 1000, "debug": True}).json()
        assert answer["relevant"] == list(CODES)
        assert answer["distances"] == [0, 1, 8, 16]

    @pytest.mark.parametrize(
        ("body", "status", "said"),
        [
            (b'{"image": ', 400, "not JSON"),
            (b"", 400, "no body"),
            (b"{}", 400, "image is missing"),
            (b'{"image": "*"}', 400, "image is not base64"),
            (json.dumps({"image": base64_of(1), "top_k": 0}).encode(), 400, "top_k must be an integer from 1 to 16384"),
            (json.dumps({"image": base64_of(1), "debug": "yes"}).encode(), 400, "debug must be true or false"),
            (json.dumps({"image": base64_of(1), "rank": "detail"}).encode(), 400, "gives no detail codes"),
            (json.dumps({"text": "cat"}).encode(), 400, "it knows no classes by name"),
            (json.dumps({"image": "aGVsbG8="}).encode(), 415, "not an image of a known format"),
            (json.dumps({"image": base64_of(1)[:80]}).encode(), 415, "damaged or truncated"),
        ],
    )
    def test_errors_have_torchserves_shape_and_name_what_is_wrong(
        self, server: Server, body: bytes, status: int, said: str
    ) -> None:
        answer = server.client.post(server.url, content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == status
        assert answer.json().keys() == {"code", "type", "reason", "message", "advice"}
        assert answer.json()["code"] == status
        assert said in answer.json()["message"]
        assert "Traceback" not in answer.text and "/" not in answer.json()["message"].replace("multipart/", "")

    def test_a_body_of_32_mebibytes_is_accepted_and_a_larger_image_is_413(self, server: Server) -> None:
        stream = io.BytesIO()
        picture_of(0xFFFF, size=2960).save(stream, "BMP")
        body = json.dumps({"image": base64.b64encode(stream.getvalue()).decode(), "top_k": 1}).encode()
        assert len(body) > 32 * 1024 * 1024
        answer = server.client.post(server.url, content=body, headers={"Content-Type": "application/json"})
        assert answer.json()["relevant"] == list(CODES)[:1]
        too_large = server.client.post(server.url, files={"image": ("a.jpg", b"\xff" * (32 * 1024 * 1024 + 1))})
        assert (too_large.status_code, too_large.json()["code"]) == (413, 413)

    def test_a_decompression_bomb_is_413(self, server: Server) -> None:
        stream = io.BytesIO()
        Image.new("1", (20_000, 20_000)).save(stream, "PNG")
        answer = server.client.post(server.url, files={"image": ("bomb.png", stream.getvalue())})
        assert (answer.status_code, "pixels" in answer.json()["message"]) == (413, True)

    def test_requests_of_one_batch_never_influence_each_other(self, server: Server) -> None:
        def one(number: int) -> bool:
            kind = number % 4
            if kind == 0:
                answer = server.client.post(server.url, content=b"{" * number)
                return answer.status_code == 400
            if kind == 1:
                answer = server.ask({"image": base64.b64encode(b"x" * number).decode()})
                return answer.status_code == 415
            k = 1 + number % 3
            answer = server.ask({"image": base64_of(0xFFFF), "top_k": k} | ({"debug": True} if kind == 2 else {}))
            expected: dict[str, Any] = {"index_database_version": "1.2.0", "relevant": list(CODES)[:k]}
            if kind == 2:
                distances = [0, 1, 8][:k]
                expected |= {"distances": distances, "rows": [0, 1, 2][:k], "distances_by_space": {"code": distances}}
            found = {name: value for name, value in answer.json().items() if name not in ("codes", "model")}
            return answer.status_code == 200 and found == expected

        with ThreadPoolExecutor(16) as clients:
            assert all(clients.map(one, range(1, 801)))

    def test_the_describe_header_means_nothing_to_clients(self, server: Server) -> None:
        fields = {"image": base64_of(0xFFFF), "top_k": 1}

        def one(number: int) -> bool:
            answer = server.client.post(server.url, json=fields, headers={"describe": "True"} if number % 2 else {})
            return answer.status_code == 200 and answer.json()["relevant"] == list(CODES)[:1]

        with ThreadPoolExecutor(16) as clients:
            assert all(clients.map(one, range(200)))
        assert server.client.post(server.url, headers={"describe": "True"}).status_code == 400

    def test_a_body_over_64_mebibytes_is_413_by_torchserve_itself(self, server: Server) -> None:
        answer = server.client.post(server.url, content=b" " * (64 * 1024 * 1024 + 1))
        assert (answer.status_code, answer.content) == (413, b"")

    def test_describe_names_model_and_version(self, server: Server, grid: TorchScriptEmbedder) -> None:
        description = server.description()
        assert description["sha256"] == grid.sha256
        assert description["model"]["name"] == "grid"
        assert description["version"]["version"] == "1.2.0"

    def test_metrics_count_pictures_and_milliseconds(self, server: Server) -> None:
        before = server.metric("hashlake_pictures_total")
        deadline = time.monotonic() + 20
        while server.metric("hashlake_pictures_total") <= before and time.monotonic() < deadline:
            assert server.ask({"image": base64_of(1)}).status_code == 200  # sums are handed over once a second
            time.sleep(0.05)
        assert server.metric("hashlake_pictures_total") > before
        for step in ("decode", "hash", "search"):
            assert server.metric(f"hashlake_{step}_milliseconds_total") > 0
        assert server.metric("hashlake_version_age_seconds") > 0

    def test_everything_listens_on_loopback_and_no_model_is_fetched(self, server: Server) -> None:
        assert {c.laddr.ip for c in listening(server)} <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}
        assert server.management.post("/models?url=http://127.0.0.1:1/evil.mar").status_code in (403, 404, 405)

    def test_no_web_page_can_command_torchserve(self, server: Server) -> None:
        """A page may send a simple request to any port. Management is a socket, which no page reaches, and gRPC's
        management doesn't speak a browser's HTTP."""
        ports = {c.laddr.port for c in listening(server)}
        assert ports > {server.port, server.metrics_port, server.grpc_port}
        before = server.management.get("/models").json()
        page = {"Origin": "http://evil.example", "Host": "evil.example", "Content-Type": "text/plain"}
        for port in ports:
            address = f"http://127.0.0.1:{port}/models"
            wanted = {"url": "image-retrieval-v1.0.mar", "model_name": "evil", "initial_workers": "0"}
            with suppress(httpx.RemoteProtocolError):
                assert server.client.post(address, params=wanted, headers=page).is_error
            with suppress(httpx.RemoteProtocolError):
                assert server.client.delete(f"{address}/image-retrieval-v1.0", headers=page).is_error
        assert server.management.get("/models").json() == before

    def test_nobody_else_s_process_reaches_management_or_learns_the_secret(self, server: Server) -> None:
        assert server.run.path.stat().st_mode & 0o777 == 0o700
        assert server.run.secret_file.stat().st_mode & 0o777 == 0o600
        secret = server.run.secret()
        assert len(secret) >= 32 and secret not in server.log.read_text()
        for each in psutil.Process(server.process.pid).children(recursive=True):
            assert secret not in " ".join([*each.cmdline(), *each.environ().values()])

    def test_codes_are_for_the_gateway_alone(self, server: Server) -> None:
        def ask(**headers: str) -> httpx.Response:
            return server.client.post(server.url, json={"hash": [base64_of(0xFFFF)]}, headers=headers)

        secret = server.run.secret()
        refused = [ask(), ask(**{SECRET_HEADER: ""}), ask(**{SECRET_HEADER: secret[:-1]}), ask(Authorization=secret)]
        assert [answer.status_code for answer in refused] == [403] * 4
        answer = ask(**{SECRET_HEADER: secret})
        assert (answer.status_code, answer.json()["hashed"]) == (200, [{"vectors": {"code": "ffff"}}])

    def test_a_grpc_client_gets_the_same_answer(self, server: Server) -> None:
        asked = json.dumps({"image": base64_of(0xFFFF), "top_k": 3, "debug": True}).encode()
        with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
            service = "/org.pytorch.serve.grpc.inference.InferenceAPIsService/Predictions"
            answer = channel.unary_unary(service)(prediction_request(MODEL_NAME, data=asked), timeout=60)
        (length, start) = varint(answer, 1)  # PredictionResponse: bytes prediction = 1
        assert (answer[0], len(answer)) == (0x0A, start + length)
        assert answer[start:] == server.client.post(server.url, content=asked).content

    def test_files_of_every_format_get_the_code_that_the_indexer_gave_them(
        self, server: Server, grid_path: Path, tmp_path: Path
    ) -> None:
        """Preprocessing drift: each indexed file, posted, must be found at distance 0 of itself."""
        write_awkward(tmp_path / "lake", seed=1)
        store = server.index_store
        listing = tmp_path / "database_info.txt"
        subprocess.run(
            ["bash", "indexer/extract_datalake.sh", str(tmp_path / "lake"), str(listing)], cwd=REPOSITORY, check=True
        )
        index = [sys.executable, "indexer/main.py", "--database", str(listing), "--index_store", str(store)]
        subprocess.run(
            [*index, "--model_path", str(grid_path), "--new_index_database_version", "awkward"],
            cwd=REPOSITORY,
            check=True,
        )
        try:
            found = 0
            for path in listing.read_text(encoding="utf-8").splitlines():
                answer = server.client.post(
                    server.url,
                    files={"image": ("a", Path(path).read_bytes())},
                    data={"top_k": "1000", "debug": "true"},
                )
                if answer.status_code == 200:
                    reply = answer.json()
                    assert reply["index_database_version"] == "awkward"
                    assert dict(zip(reply["relevant"], reply["distances"], strict=True))[path] == 0
                    found += 1
                else:
                    assert answer.status_code in (400, 413, 415)
            assert found == IndexStore(store).manifest("awkward").count == 15
        finally:
            IndexStore(store).promote("1.2.0")


class TestDetailsAndClasses:
    """A model that gives detail codes and knows classes, asked by every kind of client.

    Two hundred shirts of one code, each with a detail of its own, and one robe d'été.
    """

    @pytest.mark.parametrize("rank", ["distance", "detail"])
    @pytest.mark.parametrize("number", [0, 7, 130, 199])
    def test_the_very_same_picture_comes_first(self, colour_server: Server, number: int, rank: str) -> None:
        photo = png_of(0xFF00, detail=number * 0x0101_0101)
        fields = {"image": base64.b64encode(photo).decode(), "rank": rank, "top_k": 3, "debug": True}
        body = json.dumps(fields).encode()
        answers = [
            colour_server.client.post(colour_server.url, json=fields),
            colour_server.client.post(colour_server.url, content=body),
            colour_server.client.post(colour_server.url, files={"data": ("blob", body, "application/json")}),
            colour_server.client.post(
                colour_server.url,
                files={"image": ("photo.png", photo, "image/png")},
                data={"rank": rank, "top_k": "3", "debug": "true"},
            ),
        ]
        # Nearest details: a bit of the number counts four times; then the order of the listing.
        order = sorted(range(200), key=lambda other: ((number ^ other).bit_count(), other))
        expected = [f"shirts/{other}.png" for other in order[:3]]
        assert expected[0] == f"shirts/{number}.png"
        assert [answer.json()["relevant"] for answer in answers] == [expected] * len(answers)
        apart = [4 * (number ^ other).bit_count() if rank == "detail" else 0 for other in order[:3]]
        assert [answer.json()["distances"] for answer in answers] == [apart] * len(answers)

    def test_by_detail_a_picture_of_another_class_may_come_first(self, colour_server: Server) -> None:
        """A shirt with the robe's detail code, of which those of 127 and 191 lack a bit of eight, four times."""
        photo = base64.b64encode(png_of(0xFF00, detail=0xFFFF_FFFF)).decode()
        by_distance, by_detail = (
            colour_server.ask({"image": photo, "rank": rank, "top_k": 2, "debug": True}).json()
            for rank in ("distance", "detail")
        )
        assert by_distance["relevant"] == ["shirts/127.png", "shirts/191.png"]
        assert by_detail["relevant"] == ["robe.png", "shirts/127.png"]
        assert by_detail["distances"] == [0, 4]

    def test_a_class_is_asked_for_by_its_name(self, colour_server: Server) -> None:
        fields = {"text": "ROBE d'été", "top_k": 1, "debug": True}
        body = json.dumps(fields).encode()
        answers = [
            colour_server.client.post(colour_server.url, json=fields),
            colour_server.client.post(colour_server.url, content=body),
            colour_server.client.post(
                colour_server.url, content=body, headers={"Content-Type": "application/octet-stream"}
            ),
            colour_server.client.post(colour_server.url, files={"data": ("blob", body, "application/json")}),
            colour_server.client.post(
                colour_server.url, files={"text": (None, "robe d'été"), "top_k": (None, "1"), "debug": (None, "true")}
            ),
        ]
        expected = {"index_database_version": "2.0.0", "relevant": ["robe.png"], "distances": [0]}
        assert [answer.json() | expected for answer in answers] == [answers[0].json()] * len(answers)
        shirts = colour_server.ask({"text": "shirt", "top_k": 1000, "max_distance": 0}).json()
        assert shirts["relevant"] == list(SHIRTS)

    @pytest.mark.parametrize(
        ("fields", "said"),
        [
            ({"text": "trousers"}, "'trousers' is no class of the model; it knows Shirt, robe d'été"),
            ({"text": "shirt", "rank": "detail"}, 'rank "detail" needs an image'),
            ({"text": "shirt", "image": "aGVsbG8="}, "text beside a picture needs a model that takes any words"),
            ({"text": ""}, "text is empty"),
            ({"top_k": 3}, "image is missing: give an image file in base64, or text, the name of a class"),
            ({"image": "aGVsbG8=", "rank": "near"}, 'rank must be "distance" or "detail", and is \'near\''),
        ],
    )
    def test_what_cannot_be_answered_is_a_400(self, colour_server: Server, fields: dict[str, Any], said: str) -> None:
        answer = colour_server.ask(fields)
        assert (answer.status_code, answer.json()["code"]) == (400, 400)
        assert said in answer.json()["message"]

    def test_clients_of_every_kind_at_once_get_their_own_answers(self, colour_server: Server) -> None:
        def one(number: int) -> bool:
            kind = number % 4
            if kind == 0:
                return colour_server.ask({"text": "trousers"}).status_code == 400
            if kind == 1:
                return bool(colour_server.ask({"text": "robe d'été", "top_k": 1}).json()["relevant"] == ["robe.png"])
            photo = base64.b64encode(png_of(0xFF00, detail=number * 0x0101_0101)).decode()
            answer = colour_server.ask({"image": photo, "top_k": 1} | ({"rank": "detail"} if kind == 2 else {}))
            return bool(answer.json()["relevant"] == [f"shirts/{number}.png"])

        with ThreadPoolExecutor(16) as clients:
            assert all(clients.map(one, range(200)))

    def test_describe_tells_detail_bits_and_classes(self, colour_server: Server) -> None:
        description = colour_server.description()
        assert description["model"]["detail_bits"] == 32
        assert description["model"]["classes"] == ["Shirt", "robe d'été"]
        assert description["version"]["model"]["detail_bits"] == 32


class TestOperation:
    """A server's life: no version yet, the first one, swaps under load, a killed worker, a wrong model, the end. It
    listens on IPv6."""

    def test_from_nothing_to_a_clean_end(self, model_store: Path, grid: TorchScriptEmbedder, tmp_path: Path) -> None:
        store = IndexStore(tmp_path / "index_store")
        with Server(store.folder, model_store, tmp_path / "log", tmp_path / "state", "[::1]", workers=2) as server:
            assert f"hashlake is ready: http://[::1]:{server.port}/" in server.log.read_text()
            self.answers_503_until_the_first_version(server, store, grid, tmp_path)
            self.swaps_under_load(server, store, grid, tmp_path)
            self.replaces_a_killed_worker(server)
            self.refuses_a_version_of_another_model(server, store, tmp_path)
            store.promote("b")
            self.a_killed_gateway_is_started_again_and_inference_goes_on(server)
            self.a_killed_torchserve_is_started_again_and_the_gateway_goes_on(server)
            self.a_killed_supervisor_leaves_nothing_behind(server)
            server.start()
            assert server.ask({"image": base64_of(7)}).status_code == 200
            self.ends_cleanly(server)

    def answers_503_until_the_first_version(
        self, server: Server, store: IndexStore, grid: TorchScriptEmbedder, folder: Path
    ) -> None:
        answer = server.ask({"image": base64_of(1)})
        assert answer.status_code == 503
        assert answer.json()["message"] == "no index version is published yet"
        assert "answering 503 for now" in server.log.read_text()
        publish(store, "a", grid, {f"a/{number}.png": number for number in range(50)}, folder / "lake")
        assert server.ask({"image": base64_of(7), "top_k": 1}).json() == {
            "index_database_version": "a",
            "relevant": ["a/7.png"],
        }

    def swaps_under_load(self, server: Server, store: IndexStore, grid: TorchScriptEmbedder, folder: Path) -> None:
        publish(store, "b", grid, {f"b/{number}.png": number for number in range(80)}, folder / "lake")
        enough = Event()
        seen: list[str] = []

        def client(seed: int) -> None:
            with httpx.Client(timeout=60, trust_env=False) as own:
                while not enough.is_set():
                    code = (seed * 31 + len(seen)) % 50
                    answer = own.post(server.url, json={"image": base64_of(code), "top_k": 60, "debug": True})
                    if answer.status_code == 503 and answer.headers.get("Retry-After"):  # a machine with too much to do
                        continue
                    assert answer.status_code == 200, answer.text
                    reply = answer.json()
                    version = reply["index_database_version"]
                    assert len(reply["relevant"]) == {"a": 50, "b": 60}[version]
                    assert {path.split("/")[0] for path in reply["relevant"]} == {version}
                    assert (reply["relevant"][0], reply["distances"][0]) == (f"{version}/{code}.png", 0)
                    seen.append(version)

        with ThreadPoolExecutor(8) as pool:
            clients = [pool.submit(client, seed) for seed in range(8)]
            try:
                changes = 0
                while changes < 20 or len(seen) < 300:
                    store.promote(random.choice("ab"))
                    changes = sum(before != after for before, after in pairwise(seen))
                    assert not any(each.done() for each in clients), [each.result() for each in clients if each.done()]
            finally:
                enough.set()
            for each in clients:
                each.result()

    def replaces_a_killed_worker(self, server: Server) -> None:
        killed = server.workers()[0]["pid"]
        os.kill(killed, signal.SIGKILL)
        deadline = time.monotonic() + 60
        while True:
            workers = server.workers()
            if killed not in {worker["pid"] for worker in workers} and {w["status"] for w in workers} == {"READY"}:
                break
            assert time.monotonic() < deadline, workers
            time.sleep(0.1)
        assert all(server.ask({"image": base64_of(number)}).status_code == 200 for number in range(20))

    def refuses_a_version_of_another_model(self, server: Server, store: IndexStore, folder: Path) -> None:
        other = TorchScriptEmbedder.load(write_grid_model(folder / "other.pt", name="other"))
        publish(store, "c", other, {"c.png": 1}, folder / "lake")
        deadline = time.monotonic() + 20
        while server.metric("hashlake_refused_versions_total") < 1 and time.monotonic() < deadline:
            assert server.ask({"image": base64_of(1), "top_k": 1}).json()["index_database_version"] in {"a", "b"}
            time.sleep(0.05)
        assert server.metric("hashlake_refused_versions_total") >= 1
        assert "version c was made with model other" in server.log.read_text()

    def a_killed_gateway_is_started_again_and_inference_goes_on(self, server: Server) -> None:
        health = f"http://127.0.0.1:{server.gateway_port}/healthz"
        for _ in range(2):
            self.wait_for(server, health)
            killed = server.child("hashlake admin")
            killed.kill()
            killed.wait(10)
            assert server.ask({"image": base64_of(7)}).status_code == 200
        self.wait_for(server, health)

    def a_killed_torchserve_is_started_again_and_the_gateway_goes_on(self, server: Server) -> None:
        gateway = server.child("hashlake admin")
        for word in ("org.pytorch.serve.ModelServer", "handler.frontend"):
            family = psutil.Process(server.process.pid).children(recursive=True)
            workers = [each for each in family if "model_service_worker" in " ".join(each.cmdline())]
            assert len(workers) == 2
            server.child(word).kill()
            assert server.client.get(f"http://127.0.0.1:{server.gateway_port}/healthz").status_code == 200
            _, alive = psutil.wait_procs(workers, timeout=60)
            assert not alive
            if word != "handler.frontend":  # what is killed next needn't wait
                self.wait_for(server, f"http://127.0.0.1:{server.gateway_port}/readyz")
        assert gateway.is_running()

    def a_killed_supervisor_leaves_nothing_behind(self, server: Server) -> None:
        family = psutil.Process(server.process.pid).children(recursive=True)
        server.process.kill()
        server.process.wait()
        _, alive = psutil.wait_procs(family, timeout=30)
        assert not alive

    def wait_for(self, server: Server, address: str) -> None:
        deadline = time.monotonic() + 120
        while True:
            with suppress(httpx.TransportError):
                if server.client.get(address).status_code == 200:
                    return
            assert time.monotonic() < deadline, server.log.read_text()
            time.sleep(0.1)

    def ends_cleanly(self, server: Server) -> None:
        family = psutil.Process(server.process.pid).children(recursive=True)
        assert len(family) >= 5  # the gateway, TorchServe's program, frontend and two workers
        assert server.stop() == 0
        _, alive = psutil.wait_procs(family, timeout=10)
        assert not alive
        assert not server.run.path.exists()
