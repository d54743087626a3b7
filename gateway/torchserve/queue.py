"""Queues pictures for hashing: TorchServe gets up to 16 in a request.

    hash() ─▶ lanes, one for each caller ─▶ a picture from each lane in turn, up to 16 ─▶ one request ─▶ codes

At most one more request than there are workers is in progress, so that one always waits for the next free worker. Below
that, queued pictures are sent at once, however few. So a lone picture doesn't wait, many pictures share requests, and
one picture beside another caller's thousands is in the next request.

During searches, one worker is left free for them, and requests are short, since a search may share a batch with one.
"""

import asyncio
import time
from collections import OrderedDict, deque
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus

from pydantic import BaseModel, TypeAdapter, ValidationError

from contract.names import MODEL_NAME
from contract.space import VectorBytes
from gateway.errors import PictureRefused, RequestRefused, TorchServeError
from gateway.torchserve.client import TorchServeClient
from gateway.torchserve.http import Answer

GROUP = 16
#: The same during searches (SearchActivity).
SHORT_GROUP = 2
#: TorchServe takes bodies of at most 64 MiB, in base64; a picture has at most 32 MiB.
_GROUP_BYTES = 44 * 1024 * 1024
#: How often the workers are counted; a reindexing job may change their number.
_COUNT_SECONDS = 10.0


class ServedModel(BaseModel):
    """The model that made the codes, as a worker describes it."""

    name: str
    sha256: str


class _Vectors(BaseModel):
    """The vectors of one picture by space, in hex, or why it has none."""

    vectors: dict[str, str] | None = None
    status: int | None = None
    message: str = ""


class _Answer(BaseModel):
    model: ServedModel
    hashed: list[_Vectors]


_answer = TypeAdapter(_Answer)


@dataclass(frozen=True)
class Hashed:
    """The vectors of one picture, and the model that made them."""

    vectors: VectorBytes
    model: ServedModel


def completed(response: Answer, count: int) -> list[Hashed]:
    """Returns the vectors of ``count`` embeddings that a worker completed. Raises RequestRefused (503) if it didn't."""
    if response.status_code != HTTPStatus.OK:
        raise RequestRefused(
            HTTPStatus.SERVICE_UNAVAILABLE, f"the codes of embeddings cannot be made: {_reason(response)}"
        )
    try:
        answer = _answer.validate_json(response.content)
    except ValidationError as error:
        raise RequestRefused(HTTPStatus.SERVICE_UNAVAILABLE, "the search server makes no codes") from error
    found = [{name: bytes.fromhex(digits) for name, digits in (each.vectors or {}).items()} for each in answer.hashed]
    if len(found) != count or not all(found):
        raise RequestRefused(HTTPStatus.SERVICE_UNAVAILABLE, "the search server made another number of codes")
    return [Hashed(vectors, answer.model) for vectors in found]


@dataclass(frozen=True, eq=False)
class _Waiting:
    data: bytes
    hashed: asyncio.Future[Hashed]
    alone: bool = False


class HashingQueue:
    """Hashes pictures with ``model``, one of ``torchserve``'s. Belongs to one event loop."""

    def __init__(self, torchserve: TorchServeClient, model: str = MODEL_NAME) -> None:
        self._torchserve = torchserve
        self._model = model
        self._lanes: OrderedDict[object, deque[_Waiting]] = OrderedDict()
        self._under_way: set[asyncio.Task[None]] = set()
        self._workers = 1
        self._counted: float | None = None
        self._counting: asyncio.Task[None] | None = None
        self._closed = False

    async def hash(self, data: bytes, lane: object = None) -> Hashed:
        """Returns the codes of the picture in ``data``, which has passed ``check_picture``. Pictures with the same
        ``lane`` take turns with those of other lanes; without one, the picture has its own.

        Raises PictureRefused, and RequestRefused (503) while nothing hashes.
        """
        if self._closed:
            raise _stopping()
        hashed: asyncio.Future[Hashed] = asyncio.get_running_loop().create_future()
        waiting = _Waiting(data, hashed)
        self._lanes.setdefault(waiting if lane is None else lane, deque()).append(waiting)
        self._count_workers()
        self._send()
        return await hashed

    async def close(self) -> None:
        """Give up pictures in progress and waiting: their callers get RequestRefused (503)."""
        self._closed = True
        tasks = [*self._under_way, *([self._counting] if self._counting else [])]
        self._give_up()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._give_up()  # what was to be sent once more

    def _give_up(self) -> None:
        for queued in self._lanes.values():
            _fail(list(queued), _stopping())
        self._lanes.clear()

    def _send(self) -> None:
        while self._lanes and not self._closed and len(self._under_way) < self._at_once():
            group = self._next_group()
            if group:
                task = asyncio.create_task(self._hash(group))
                self._under_way.add(task)
                task.add_done_callback(partial(self._sent, group))

    def _at_once(self) -> int:
        """Returns how many requests may be in progress."""
        return max(1, self._workers - 1) if self._torchserve.searches.busy else self._workers + 1

    def _sent(self, group: list[_Waiting], task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if task.cancelled():
            _fail(group, _stopping())  # it may not even have begun
        self._send()

    def _next_group(self) -> list[_Waiting]:
        """Takes up to 16 pictures from the queue, 2 during searches, one from each lane in turn. Drops those whose
        callers have gone."""
        most = SHORT_GROUP if self._torchserve.searches.busy else GROUP
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
                # One of the pictures may have crashed a worker: send each alone, so that the others get their codes.
                for each in group:
                    self._once_more(each)
                return
            if response.status_code != HTTPStatus.OK:
                raise RequestRefused(HTTPStatus.SERVICE_UNAVAILABLE, f"pictures cannot be hashed: {_reason(response)}")
            answer = _answer.validate_json(response.content)
            if len(answer.hashed) != len(group):
                raise RequestRefused(HTTPStatus.SERVICE_UNAVAILABLE, "the search server hashed another number")
            for each, found in zip(group, answer.hashed, strict=True):
                if each.hashed.done():
                    continue
                if found.status == HTTPStatus.SERVICE_UNAVAILABLE and not each.alone:
                    self._once_more(each)  # with the others it was too much work
                elif found.vectors is None:
                    each.hashed.set_exception(_refused(found))
                else:
                    vectors = {name: bytes.fromhex(digits) for name, digits in found.vectors.items()}
                    each.hashed.set_result(Hashed(vectors, answer.model))
        except ValidationError:
            _fail(group, RequestRefused(HTTPStatus.SERVICE_UNAVAILABLE, "the search server hashes no pictures"))
        except RequestRefused as error:
            _fail(group, error)
        except Exception as error:
            _fail(group, error)

    def _once_more(self, waiting: _Waiting) -> None:
        """Send a picture again, in a request of its own."""
        self._lanes[waiting] = deque([_Waiting(waiting.data, waiting.hashed, alone=True)])

    def _count_workers(self) -> None:
        """Start to count the workers again if the last count is old; doesn't wait for it."""
        if self._counting is not None and not self._counting.done():
            return
        if self._counted is None or time.monotonic() - self._counted > _COUNT_SECONDS:
            self._counted = time.monotonic()
            self._counting = asyncio.create_task(self._count())

    async def _count(self) -> None:
        try:
            ready = (await self._torchserve.workers()).ready
        except TorchServeError:
            return  # hashing itself will report it
        self._workers = sum(ready.values())
        self._send()


def _refused(found: _Vectors) -> PictureRefused | RequestRefused:
    if found.status is not None and found.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return RequestRefused(HTTPStatus.SERVICE_UNAVAILABLE, found.message)
    return PictureRefused(found.message)


def _stopping() -> RequestRefused:
    return RequestRefused(HTTPStatus.SERVICE_UNAVAILABLE, "the gateway is stopping")


def _fail(group: list[_Waiting], error: Exception) -> None:
    for each in group:
        if not each.hashed.done():
            each.hashed.set_exception(error)


def _reason(response: Answer) -> str:
    try:
        return str(response.json()["message"])
    except (ValueError, KeyError, TypeError):
        return f"status {response.status_code}"
