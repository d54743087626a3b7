"""The queue of pictures, before a TorchServe that answers when the test lets it."""

import asyncio
import json
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import pytest
from multidict import CIMultiDict
from PIL import Image

from contract.names import MODEL_NAME
from contract.run_folder import RunFolder
from gateway.collections.adding import checked
from gateway.errors import PictureRefused, RequestRefused, TorchServeError, unreachable
from gateway.torchserve.client import TorchServeClient, Workers
from gateway.torchserve.http import Answer
from gateway.torchserve.queue import GROUP, SHORT_GROUP, HashingQueue
from gateway.torchserve.search_activity import SearchActivity
from tests.fakes import png_of

MODEL = {"name": "m", "sha256": "ab" * 32, "bits": 16, "detail_bits": None}


def answer(status: int, body: object) -> Answer:
    return Answer(status, (), CIMultiDict(), json.dumps(body).encode())


BUSY = {"status": 503, "message": "too much at once"}


class Held(TorchServeClient):
    """Requests wait for ``open``; a picture's code is its first two bytes. Nothing answers when it is ``down``."""

    def __init__(self, workers: int = 2) -> None:
        super().__init__("http://127.0.0.1:1", RunFolder(Path("nowhere"), 1), 60)
        self.count = workers
        self.open = asyncio.Event()
        self.asked: list[list[bytes]] = []
        self.down = False

    async def hash(self, pictures: Sequence[bytes], model: str = MODEL_NAME) -> Answer:
        self.asked.append(list(pictures))
        await self.open.wait()
        if self.down:
            raise unreachable()
        if b"deadly" in pictures:
            return answer(507, {"code": 507, "type": "x", "message": "a worker died"})
        refused = {b"damaged": {"status": 415, "message": "damaged"}, b"endless": BUSY}
        if len(pictures) > 1:
            refused[b"larger"] = BUSY
        hashed = [refused.get(each, {"vectors": {"code": each[:2].hex()}}) for each in pictures]
        return answer(200, {"model": MODEL, "hashed": hashed})

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
        assert [(await code).vectors["code"] for code in codes] == [bytes([0, n]) for n in range(100)]
        assert sum(map(len, server.asked)) == 100 and max(map(len, server.asked)) == GROUP
        await queue.close()

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
        assert (await alone).vectors["code"] == b"\xff\xff"
        assert b"\xff\xff" in server.asked[before]  # in the very next request
        await asyncio.gather(*bulk)
        await queue.close()

    asyncio.run(run())


def test_while_somebody_searches() -> None:
    """One worker is left to searches, and requests are short; a second later all is as before."""

    now = 0.0

    async def run() -> None:
        nonlocal now
        server = Held(workers=3)
        server.searches = SearchActivity(lambda: now)
        server.open.set()
        queue = HashingQueue(server)
        await queue.hash(b"ab")
        await asyncio.sleep(0.05)  # the workers are counted
        server.open.clear()
        server.asked.clear()
        search = server.searches.searching()
        search.__enter__()
        codes = [asyncio.create_task(queue.hash(bytes([0, n]), "bulk")) for n in range(50)]
        await asyncio.sleep(0.05)
        assert len(server.asked) == 2
        server.open.set()
        await asyncio.gather(*codes[:10])
        assert max(map(len, server.asked)) == SHORT_GROUP
        search.__exit__(None, None, None)
        now += 0.9
        assert server.searches.busy
        now += 0.2
        await asyncio.gather(*codes, *(queue.hash(bytes([1, n]), "bulk") for n in range(50)))
        assert max(map(len, server.asked)) == GROUP
        await queue.close()

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

    asyncio.run(run())


def test_what_is_too_much_work_with_others_is_sent_alone() -> None:
    async def run() -> None:
        server = Held(workers=0)
        server.open.set()
        queue = HashingQueue(server)
        pictures = [b"ab", b"larger", b"cd", b"endless"]
        found = await asyncio.gather(*(queue.hash(each, "lane") for each in pictures), return_exceptions=True)
        assert [type(each).__name__ for each in found] == ["Hashed", "Hashed", "Hashed", "RequestRefused"]
        assert [b"larger"] in server.asked and "too much at once" in str(found[3])
        await queue.close()

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

    asyncio.run(run())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"hello", "known format"),
        (png_of(0, 160)[:20], "known format|damaged"),
        (b"\xff" * (32 * 1024 * 1024 + 1), "limit"),
        (b"P6 100 100 255\n" + bytes(30000), "known format"),
    ],
    ids=["empty", "text", "torn", "long", "another format"],
)
def test_pictures_that_are_not_sent(data: bytes, message: str) -> None:
    with pytest.raises(PictureRefused, match=message):
        checked(data)


def test_pictures_that_are() -> None:
    """Small ones, as in every folder; and one of 108 million pixels, which is decoded at a fraction of its size."""
    checked(png_of(0, 8))
    stream = BytesIO()
    Image.new("L", (12_000, 9_000)).save(stream, "JPEG")
    checked(stream.getvalue())


def test_nobody_waits_for_a_queue_that_is_closed() -> None:
    """Whether their pictures were sent, waited, or came too late."""

    async def run() -> None:
        queue = HashingQueue(Held(workers=0))
        waiting = [asyncio.create_task(queue.hash(b"%02d" % number)) for number in range(60)]
        await asyncio.sleep(0)
        await queue.close()
        late = asyncio.create_task(queue.hash(b"late"))
        for each in await asyncio.wait_for(asyncio.gather(*waiting, late, return_exceptions=True), 10):
            assert isinstance(each, RequestRefused) and each.status == 503

    asyncio.run(run())
