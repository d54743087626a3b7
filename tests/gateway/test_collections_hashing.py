"""The queue of pictures, before a TorchServe that answers when the test lets it."""

import asyncio
import time
from collections.abc import Sequence

import httpx
import pytest

from gateway.errors import PictureRefused, RequestRefused
from gateway.hashing_queue import GROUP, SHORT_GROUP, HashingQueue
from gateway.picture_check import check_picture
from gateway.torchserve import MODEL_NAME, TorchServe, TorchServeError, Workers, unreachable
from tests.fakes import png_of

MODEL = {"name": "m", "sha256": "ab" * 32, "bits": 16, "detail_bits": None}


class Held(TorchServe):
    """Requests wait for ``open``; a picture's code is its first two bytes. Nothing answers when it is ``down``."""

    def __init__(self, workers: int = 2) -> None:
        super().__init__("http://127.0.0.1:1", "http://127.0.0.1:1")
        self.count = workers
        self.open = asyncio.Event()
        self.asked: list[list[bytes]] = []
        self.down = False

    async def hash(self, pictures: Sequence[bytes], model: str = MODEL_NAME) -> httpx.Response:
        self.asked.append(list(pictures))
        await self.open.wait()
        if self.down:
            raise unreachable()
        if b"deadly" in pictures:
            return httpx.Response(507, json={"code": 507, "type": "x", "message": "a worker died"})
        hashed = [
            {"status": 415, "message": "damaged"}
            if each == b"damaged"
            else {"code": each[:2].hex(), "detail_code": None}
            for each in pictures
        ]
        return httpx.Response(200, json={"model": MODEL, "hashed": hashed})

    async def workers(self, model_version: str | None = None) -> Workers:
        if not self.count:
            raise TorchServeError("no")
        return Workers("1.0", dict.fromkeys(range(self.count), True))


def test_what_waits_is_sent_together() -> None:
    """As many requests as workers and one more; the first ones alone, since nothing was to be gained by waiting."""

    async def run() -> None:
        server = Held()
        queue = HashingQueue(server)
        lane = object()
        codes = [asyncio.create_task(queue.hash(bytes([0, n]), lane)) for n in range(100)]
        await asyncio.sleep(0.05)
        assert [len(asked) for asked in server.asked[:2]] == [GROUP, GROUP] or len(server.asked) == 3
        assert len(server.asked) == 3
        server.open.set()
        assert [(await code).code for code in codes] == [bytes([0, n]) for n in range(100)]
        assert sum(map(len, server.asked)) == 100 and max(map(len, server.asked)) == GROUP
        await queue.close()
        await server.client.aclose()

    asyncio.run(run())


def test_a_lone_picture_beside_thousands() -> None:
    async def run() -> None:
        server = Held(workers=1)
        queue = HashingQueue(server)
        bulk = [asyncio.create_task(queue.hash(bytes([0, n]), "bulk")) for n in range(200)]
        await asyncio.sleep(0.05)
        alone = asyncio.create_task(queue.hash(b"\xff\xff"))
        await asyncio.sleep(0.01)
        before = len(server.asked)
        server.open.set()
        assert (await alone).code == b"\xff\xff"
        assert b"\xff\xff" in server.asked[before]  # in the very next request
        await asyncio.gather(*bulk)
        await queue.close()
        await server.client.aclose()

    asyncio.run(run())


def test_while_somebody_searches() -> None:
    """One worker is left to searches, and requests are short; a second later all is as before."""

    async def run() -> None:
        server = Held(workers=3)
        server.open.set()
        queue = HashingQueue(server)
        await queue.hash(b"ab")
        await asyncio.sleep(0.05)  # the workers are counted
        server.open.clear()
        server.asked.clear()
        server.searched = time.monotonic()
        codes = [asyncio.create_task(queue.hash(bytes([0, n]), "bulk")) for n in range(50)]
        await asyncio.sleep(0.05)
        assert len(server.asked) == 2
        server.searched = time.monotonic()
        server.open.set()
        await asyncio.gather(*codes[:10])
        assert max(map(len, server.asked)) == SHORT_GROUP
        server.searched -= 2
        await asyncio.gather(*codes, *(queue.hash(bytes([1, n]), "bulk") for n in range(50)))
        assert max(map(len, server.asked)) == GROUP
        await queue.close()
        await server.client.aclose()

    asyncio.run(run())


def test_a_bad_picture_keeps_nobody_else() -> None:
    async def run() -> None:
        server = Held(workers=0)
        server.open.set()
        queue = HashingQueue(server)
        pictures = [b"ab", b"damaged", b"cd", b"deadly", b"ef"]
        found = await asyncio.gather(*(queue.hash(each, "lane") for each in pictures), return_exceptions=True)
        assert [type(each).__name__ for each in found] == [
            "Hashed", "PictureRefused", "Hashed", "RequestRefused", "Hashed",
        ]  # fmt: skip
        assert str(found[1]) == "damaged" and "a worker died" in str(found[3])
        server.down = True
        with pytest.raises(RequestRefused, match="cannot be reached"):
            await queue.hash(b"gh")
        await queue.close()
        await server.client.aclose()

    asyncio.run(run())


def test_whose_asker_has_gone_is_not_hashed() -> None:
    async def run() -> None:
        server = Held(workers=1)
        queue = HashingQueue(server)
        tasks = [asyncio.create_task(queue.hash(bytes([0, n]), n)) for n in range(60)]
        await asyncio.sleep(0.05)
        sent = sum(map(len, server.asked))
        for task in tasks[sent:]:
            task.cancel()
        await asyncio.sleep(0)
        server.open.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0.01)
        assert sum(map(len, server.asked)) == sent
        await queue.close()
        await server.client.aclose()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"hello", "known format"),
        (png_of(0, 148), "148×148"),
        (png_of(0, 160)[:20], "known format|damaged"),
        (b"\xff" * (32 * 1024 * 1024 + 1), "limit"),
        (b"P6 100 100 255\n" + bytes(30000), "known format"),
    ],
    ids=["empty", "text", "small", "torn", "long", "another format"],
)
def test_pictures_that_are_not_sent(data: bytes, message: str) -> None:
    with pytest.raises(PictureRefused, match=message):
        check_picture(data)


def test_a_picture_that_is_large_enough() -> None:
    check_picture(png_of(0, 152))
