"""Pictures on their way to their codes: TorchServe hashes them, up to 16 a request.

    hash() ─▶ lanes, one for each who asks ─▶ a picture of each lane in turn, up to 16 ─▶ one request ─▶ codes

While fewer requests are under way than there are workers, and one more that waits at the door, what is queued is sent
at once, however little it is. So a lone picture waits for nothing, and many share requests without being asked to; and
whoever adds one picture beside somebody's thousands is in the next request.

While somebody searches, one worker is left to that, and requests are short: a search may share a batch with one.
"""

import asyncio
import time
from collections import OrderedDict, deque
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from gateway.errors import PictureRefused, RequestRefused
from gateway.torchserve import MODEL_NAME, TorchServe, TorchServeError

GROUP = 16
#: While somebody searches, and a second longer.
SHORT_GROUP = 2
_SEARCHING_SECONDS = 1.0
#: TorchServe takes no longer bodies than 64 MiB, in base64; a picture has at most 32.
_GROUP_BYTES = 44 * 1024 * 1024
#: How often the workers are counted; a reindexing job may change their number.
_COUNT_SECONDS = 10.0


class HashModel(BaseModel):
    """The model that hashed, as a worker describes it."""

    name: str
    sha256: str
    bits: int
    detail_bits: int | None


class _Codes(BaseModel):
    """The codes of one picture, in hex, or why it has none."""

    code: str | None = None
    detail_code: str | None = None
    status: int | None = None
    message: str = ""


class _Answer(BaseModel):
    model: HashModel
    hashed: list[_Codes]


_answer = TypeAdapter(_Answer)


@dataclass(frozen=True)
class Hashed:
    """The codes of one picture: ``code`` has bits / 8 bytes, ``detail`` detail_bits / 8, or is None without them."""

    code: bytes
    detail: bytes | None
    model: HashModel


@dataclass(frozen=True, eq=False)
class _Waiting:
    data: bytes
    hashed: asyncio.Future[Hashed]
    alone: bool = False


class HashingQueue:
    """Hashes pictures by ``model``, one of ``torchserve``'s. Belongs to one event loop."""

    def __init__(self, torchserve: TorchServe, model: str = MODEL_NAME) -> None:
        self._torchserve = torchserve
        self._model = model
        self._lanes: OrderedDict[object, deque[_Waiting]] = OrderedDict()
        self._under_way: set[asyncio.Task[None]] = set()
        self._workers = 1
        self._counted: float | None = None
        self._counting: asyncio.Task[None] | None = None

    async def hash(self, data: bytes, lane: object = None) -> Hashed:
        """The codes of the picture in ``data``, which ``check_picture`` has let pass. Pictures with one ``lane`` take
        their turns together; without, the picture has its own.

        Raises PictureRefused, and RequestRefused (503) while nothing hashes.
        """
        hashed: asyncio.Future[Hashed] = asyncio.get_running_loop().create_future()
        waiting = _Waiting(data, hashed)
        self._lanes.setdefault(waiting if lane is None else lane, deque()).append(waiting)
        self._count_workers()
        self._send()
        return await hashed

    async def close(self) -> None:
        """Give up what is under way and what waits."""
        tasks = [*self._under_way, *([self._counting] if self._counting else [])]
        self._lanes.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _send(self) -> None:
        while self._lanes and len(self._under_way) < self._at_once():
            group = self._next_group()
            if group:
                task = asyncio.create_task(self._hash(group))
                self._under_way.add(task)
                task.add_done_callback(self._sent)

    def _searching(self) -> bool:
        return time.monotonic() - self._torchserve.searched < _SEARCHING_SECONDS

    def _at_once(self) -> int:
        """How many requests may be under way."""
        return max(1, self._workers - 1) if self._searching() else self._workers + 1

    def _sent(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._send()

    def _next_group(self) -> list[_Waiting]:
        """Up to 16 pictures, or 2, one of each lane in turn; those whose askers have gone are left out."""
        most = SHORT_GROUP if self._searching() else GROUP
        group: list[_Waiting] = []
        size = 0
        while self._lanes and len(group) < most:
            lane, queued = next(iter(self._lanes.items()))
            first = queued[0]
            if group and (size + len(first.data) > _GROUP_BYTES or first.alone):
                break
            queued.popleft()
            if queued:
                self._lanes.move_to_end(lane)
            else:
                del self._lanes[lane]
            if not first.hashed.cancelled():
                group.append(first)
                size += len(first.data)
                if first.alone:
                    break
        return group

    async def _hash(self, group: list[_Waiting]) -> None:
        try:
            response = await self._torchserve.hash([each.data for each in group], self._model)
            if response.status_code != HTTPStatus.OK and len(group) > 1:
                # One picture may have brought a worker down: the others are not to suffer for it.
                for each in group:
                    self._lanes[each] = deque([_Waiting(each.data, each.hashed, alone=True)])
                return
            if response.status_code != HTTPStatus.OK:
                raise RequestRefused(HTTPStatus.SERVICE_UNAVAILABLE, f"pictures cannot be hashed: {_reason(response)}")
            answer = _answer.validate_json(response.content)
            if len(answer.hashed) != len(group):
                raise RequestRefused(HTTPStatus.SERVICE_UNAVAILABLE, "the search server hashed another number")
            for each, codes in zip(group, answer.hashed, strict=True):
                if each.hashed.done():
                    continue
                if codes.code is None:
                    each.hashed.set_exception(_refused(codes))
                else:
                    detail = None if codes.detail_code is None else bytes.fromhex(codes.detail_code)
                    each.hashed.set_result(Hashed(bytes.fromhex(codes.code), detail, answer.model))
        except ValidationError:
            _fail(group, RequestRefused(HTTPStatus.SERVICE_UNAVAILABLE, "the search server hashes no pictures"))
        except RequestRefused as error:
            _fail(group, error)
        except asyncio.CancelledError:
            _fail(group, RequestRefused(HTTPStatus.SERVICE_UNAVAILABLE, "the gateway is stopping"))
            raise
        except Exception as error:
            _fail(group, error)

    def _count_workers(self) -> None:
        """Now and then, and without waiting for it."""
        if self._counting is not None and not self._counting.done():
            return
        if self._counted is None or time.monotonic() - self._counted > _COUNT_SECONDS:
            self._counted = time.monotonic()
            self._counting = asyncio.create_task(self._count())

    async def _count(self) -> None:
        try:
            ready = (await self._torchserve.workers()).ready
        except TorchServeError:
            return  # hashing itself will say so
        self._workers = sum(ready.values())
        self._send()


def _refused(codes: _Codes) -> PictureRefused | RequestRefused:
    if codes.status is not None and codes.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return RequestRefused(HTTPStatus.SERVICE_UNAVAILABLE, codes.message)
    return PictureRefused(codes.message)


def _fail(group: list[_Waiting], error: Exception) -> None:
    for each in group:
        if not each.hashed.done():
            each.hashed.set_exception(error)


def _reason(response: Any) -> str:
    try:
        return str(response.json()["message"])
    except (ValueError, KeyError, TypeError):
        return f"status {response.status_code}"
