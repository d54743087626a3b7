"""Pictures and requests that nobody of good will sends: each gets its answer or its refusal, in time, and no more."""

import io
import json
import logging
import random
import re
import socket
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from PIL import Image

from gateway.app import create_app, create_idios_app
from handler.work import REQUEST_SAMPLES, SECONDS
from pictures.decode import decode
from pictures.errors import ImageError
from pictures.limits import DEFAULT_LIMITS
from pictures.preparation import NEWEST_DECODING, Preprocessing
from pictures.work import Budget, BudgetSpent
from tests.gateway.live import Live, live
from tests.reliability.campaign import Sizes, Tell

_FORMATS: dict[str, dict[str, object]] = {
    "JPEG": {"progressive": True}, "PNG": {}, "WEBP": {"lossless": True}, "GIF": {}, "BMP": {},
    "TIFF": {"compression": "tiff_lzw"}, "AVIF": {"speed": 10}, "JPEG2000": {}, "JXL": {"lossless": True, "effort": 1},
}  # fmt: skip

Mutation = Callable[[random.Random, bytearray], bytearray]


def flipped(chance: random.Random, data: bytearray) -> bytearray:
    for _ in range(chance.choice([1, 3, 20])):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return data


def cut(chance: random.Random, data: bytearray) -> bytearray:
    return data[: chance.randrange(len(data))]


def longer(chance: random.Random, data: bytearray) -> bytearray:
    at = chance.randrange(len(data))
    return data[:at] + chance.randbytes(chance.choice([1, 4, 100])) + data[at:]


def shorter(chance: random.Random, data: bytearray) -> bytearray:
    at = chance.randrange(len(data))
    return data[:at] + data[at + chance.choice([1, 4, 100]) :]


def header_spoilt(chance: random.Random, data: bytearray) -> bytearray:
    """The first bytes have sizes, modes and offsets."""
    for _ in range(chance.choice([1, 2, 4])):
        data[chance.randrange(min(64, len(data)))] = chance.choice([0, 1, 0x7F, 0x80, 0xFE, 0xFF])
    return data


def large_numbers(chance: random.Random, data: bytearray) -> bytearray:
    at = chance.randrange(max(1, len(data) - 4))
    data[at : at + 4] = chance.choice([b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\0"])
    return data


_MUTATIONS: list[Mutation] = [flipped, cut, longer, shorter, header_spoilt, large_numbers]


def saved(picture: Image.Image, format: str, **options: object) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, format, **options)
    return stream.getvalue()


def outcome(data: bytes) -> str:
    """What becomes of a picture: it is decoded, or refused for a reason."""
    try:
        decode(data, Preprocessing(image_size=64, decoding=NEWEST_DECODING), budget=Budget(REQUEST_SAMPLES))
    except (ImageError, BudgetSpent) as error:
        return type(error).__name__
    return "decoded"


@pytest.mark.parametrize("format", _FORMATS)
def test_damaged_pictures(format: str, sizes: Sizes, tell: Tell) -> None:
    chance, outcomes, slowest = random.Random(format), Counter[str](), 0.0
    modes = ["RGB", "L"] if format in ("JPEG", "BMP", "WEBP", "AVIF", "JPEG2000", "JXL") else ["RGB", "L", "P", "1"]
    noise = Image.frombytes("RGB", (61, 47), chance.randbytes(61 * 47 * 3))
    whole = [saved(noise.convert(mode), format, **_FORMATS[format]) for mode in modes]
    for mutation in _MUTATIONS:
        for _ in range(sizes.pictures):
            began = time.process_time()
            outcomes[outcome(bytes(mutation(chance, bytearray(chance.choice(whole)))))] += 1
            slowest = max(slowest, time.process_time() - began)
    tell(f"{outcomes.total():,} pictures: {dict(outcomes)}; {slowest:.2f} s at most")
    assert slowest < SECONDS  # a batch's


@pytest.mark.parametrize("format", _FORMATS)
def test_bombs(format: str, sizes: Sizes, tell: Tell) -> None:
    """Flat pictures in small files: as large as is taken, and larger."""
    costs = []
    # Where nothing is drawn, there is less to do: half of it is, too.
    for mode, level in (("RGB", 0), ("RGBA", 0), ("RGBA", 0x80076050), ("L", 0), ("1", 0), ("I;16", 0), ("F", 0)):
        for side in (sizes.bomb_side, 2 * sizes.bomb_side):
            try:
                data = saved(Image.new(mode, (side, side), level), format, **_FORMATS[format])
            except (OSError, ValueError, KeyError, NotImplementedError):  # the format has no such pictures
                continue
            began = time.process_time()
            said = outcome(data)
            costs.append((time.process_time() - began, f"{mode}, {side} × {side} in {len(data):,} bytes, {said}"))
            assert said == "decoded" or side * side * 4 > DEFAULT_LIMITS.max_pixels
    slowest, which = max(costs)
    tell(f"{len(costs)} pictures: {slowest:.2f} s at most, for {which}")
    assert slowest < SECONDS / 4  # a batch has four


# --- Requests

_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE", "BREW"]
_WORDS = [
    "", "0", "-1", "default", "CURRENT", "..", "../..", "%2e%2e%2f", "%00", "%0d%0aX-A: b", "é", "%ff", "a" * 3000, "*",
    "null", "{}", "1e999", "99999999999999999999", "' OR 1=1 --", "<script>", "http://127.0.0.1:1/", "file:///etc/passwd",
]  # fmt: skip
_TYPES = [
    "application/json", "multipart/form-data", "multipart/form-data; boundary=x", "multipart/form-data; boundary=",
    "application/x-www-form-urlencoded", "text/plain", "image/jpeg", "application/json; charset=utf-7", "é", "",
]  # fmt: skip


def body(chance: random.Random) -> bytes:
    value = chance.choice([None, True, -1, 1e308, "x", [], {}, [[[[]]]], {"$gt": 1}, "é\ud800", "0" * 16, 2**70])
    field = chance.choice(
        ["image", "url", "urls", "code", "path", "top_k", "where", "rank", "hash", "name", "metadata"]
    )
    return chance.choice(
        [
            b"", b"{", b"null", b"[]", b'"', b"\xff\xfe{}", b"{" * 2000, b'{"a":' * 3000, b"NaN", chance.randbytes(100),
            json.dumps({field: value}).encode(), json.dumps([{field: value}] * 3).encode(),
            b'--x\r\nContent-Disposition: form-data; name="' + field.encode() + b'"\r\n\r\n1\r\n--x--\r\n',
            b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n' + chance.randbytes(50),
            b"--x\r\n\r\n\r\n--x", field.encode() + b"=%ZZ&" + field.encode(),
        ]
    )  # fmt: skip


def request(chance: random.Random, method: str, path: str, key: str) -> bytes:
    filled = re.sub(r"\{[^}]*\}", lambda _: chance.choice(_WORDS) or "x", path)
    query = chance.choice(
        ["", "", f"?limit={chance.choice(_WORDS)}", f"?after={chance.choice(_WORDS)}", "?where={", "?%"]
    )
    content = body(chance)
    length = chance.choice([str(len(content))] * 6 + ["0", "-1", "x", str(1 << 40), f"{len(content)}, {len(content)}"])
    head = [
        f"{method} {filled.replace(' ', '%20')}{query.replace(' ', '%20')} HTTP/1.1",
        "Host: localhost",
        "Connection: close",
        f"Content-Length: {length}",
        f"Content-Type: {chance.choice(_TYPES)}",
        *([f"X-API-Key: {key}"] if key else []),
        *([chance.choice(["Expect: 100-continue", "Range: bytes=5-1", "If-None-Match: x", "Accept: */*;q=x"])]),
    ]
    return "\r\n".join(head).encode("utf-8") + b"\r\n\r\n" + content


def status(server: Live, sent: bytes, port: int) -> int:
    """Of the answer; 0 where the connection is closed without one. The client says that nothing more will come."""
    with server.connect(port) as connection, suppress(ConnectionError):
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        for line in connection.makefile("rb"):
            if line.startswith(b"HTTP/") and not line.startswith(b"HTTP/1.1 100 "):
                return int(line.split()[1])
    return 0


@pytest.mark.parametrize("door", ["gateway", "idios"])
def test_requests_for_every_route(
    door: str, tmp_path: Path, sizes: Sizes, tell: Tell, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a TorchServe behind it, 503 is an answer; any other 5xx, or a traceback, is a fault."""
    chance, answers, faults = random.Random(door), Counter[int](), list[str]()
    with live(tmp_path) as server, caplog.at_level(logging.ERROR):
        app = create_app(server.services.settings)
        app = app if door == "gateway" else create_idios_app(app)
        paths = [*sorted(app.openapi()["paths"]), "/", "/docs", "/openapi.json", "/page/x", "/nothing", "//", "/%"]
        port = server.port if door == "gateway" else server.idios_port
        for path in paths:
            for method in _METHODS:
                for _ in range(sizes.requests):
                    sent = request(chance, method, path, chance.choice(["", "x", "hlk_00000000_" + "k" * 32]))
                    code = status(server, sent, port)
                    answers[code] += 1
                    if code >= 500 and code != 503:
                        faults.append(f"{code}: {sent[:300]!r}")
    tell(f"{answers.total():,} requests: {dict(sorted(answers.items()))}")
    assert not faults
    assert not [record.getMessage() for record in caplog.records if record.exc_info]
