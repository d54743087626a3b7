"""A batch of requests → a batch of answers.

    prepare ─┬─▶ embed all pictures at once ─┬─▶ search ─▶ JSON
             └─▶ known vectors ──────────────┘

Requests share only the forward pass. Before and after it, each has its own collection, top_k, rank, debug and error.
A request for codes ends after the forward pass. Where other workers' cores are idle, each prepares and embeds a part of
the batch (cores.py).
"""

import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.space import Vectors
from embedding.embedder import Embedder
from handler.answer import Answer, refusal, search_answer, vectors_answer
from handler.cores import ONE_CORE, Cores
from handler.cropping import NO_CROPPING, Cropping
from handler.errors import RequestError, our_fault
from handler.metrics import Metrics
from handler.mixing import mixed
from handler.preparation import Completed, Preparation, Prepared, PreparedCodes, PreparedSearch
from handler.searching import Search, search_together
from handler.served import Served
from searcher.matches import Matches
from searcher.open_collection import OpenView

logger = logging.getLogger(__name__)

#: Bytes of a request from which it may be a picture to decode: no other one gains from a thread of its own.
_PICTURE_BYTES = 2048


@dataclass(frozen=True)
class _Part:
    """Requests of a batch, embedded, in order; the ``pictures`` that were hashed for them, and the milliseconds that
    each step ``took``."""

    embedded: list[Search | list[Vectors | RequestError] | RequestError]
    pictures: int
    took: dict[str, float]


class Retrieval:
    """Answers batches with ``model`` from the ``served`` collections; ``cropping`` finds main objects, and ``cores``
    are those that it may use."""

    def __init__(
        self,
        model: Embedder,
        served: Served,
        metrics: Metrics,
        cropping: Cropping = NO_CROPPING,
        cores: Cores = ONE_CORE,
    ) -> None:
        self._model = model
        self._cropping = cropping
        self._cores = cores
        self._served = served
        self._metrics = metrics

    def answer(self, batch: Sequence[Mapping[str, Any]], from_gateway: Collection[int] = ()) -> list[Answer]:
        """Returns one answer per request, in order; ``from_gateway``: the places of those that are the gateway's own.
        Never raises: a failure is logged and answered with 500."""
        try:
            return self._answer(batch, from_gateway)
        except Exception:
            logger.exception("a batch of %d requests failed", len(batch))
            return [refusal(our_fault())] * len(batch)

    def _answer(self, batch: Sequence[Mapping[str, Any]], from_gateway: Collection[int]) -> list[Answer]:
        lock, view_of = Lock(), cache(self._served.view)  # one state of each collection for the whole batch

        def one_view_of(name: str) -> OpenView:
            with lock:
                return view_of(name)

        preparation = Preparation(self._model, one_view_of, self._cropping)

        def part(places: range) -> _Part:
            return self._part(preparation, [(batch[place], place in from_gateway) for place in places])

        pictures = sum(map(_may_be_a_picture, batch))
        with self._cores.taken(pictures) as cores:
            parts = _side_by_side(part, _shares(len(batch), cores if pictures > 1 else 1))
        embedded = [item for each in parts for item in each.embedded]
        took = {step: max(each.took[step] for each in parts) for step in ("decode", "hash")}
        with _timed("search", took):
            found = search_together([item for item in embedded if isinstance(item, Search)])
        for step in ("decode", "hash"):
            self._metrics.add(f"{step}_milliseconds", sum(each.took[step] for each in parts))
        self._metrics.add("search_milliseconds", took["search"])
        self._metrics.add("pictures", sum(each.pictures for each in parts))
        self._metrics.add("refused_requests", sum(isinstance(item, RequestError) for item in embedded))
        return [self._told(item, found, took) for item in embedded]

    def _part(self, preparation: Preparation, requests: Sequence[tuple[Mapping[str, Any], bool]]) -> _Part:
        """Prepare and embed ``requests``, each with whether it is the gateway's own."""
        took: dict[str, float] = {}
        with _timed("decode", took):
            prepared = [preparation.prepare(item, from_gateway) for item, from_gateway in requests]
        pictures = [
            picture
            for item in prepared
            if isinstance(item, PreparedSearch | PreparedCodes)
            for picture in item.pictures
        ]
        with _timed("hash", took):
            vectors = iter(self._embed(pictures))
            embedded = [_with_vectors(item, vectors, self._model) for item in prepared]
        return _Part(embedded, len(pictures), took)

    def _told(
        self,
        item: Search | list[Vectors | RequestError] | RequestError,
        found: Mapping[Search, Matches | RequestError],
        took: Mapping[str, float],
    ) -> Answer:
        try:
            if isinstance(item, RequestError):
                return refusal(item)
            if isinstance(item, list):
                return vectors_answer(self._model.identity, item)
            matches = found[item]
            return refusal(matches) if isinstance(matches, RequestError) else search_answer(item, matches, took)
        except Exception:
            logger.exception("an answer could not be written")
            return refusal(our_fault())

    def _embed(self, pictures: list[NDArray[np.uint8]]) -> list[Vectors]:
        """Returns the vectors of each picture."""
        if not pictures:
            return []
        found = self._model.embed(np.stack(pictures))
        return [{name: array[place] for name, array in found.items()} for place in range(len(pictures))]


@contextmanager
def _timed(step: str, took: dict[str, float]) -> Iterator[None]:
    """Note the block's milliseconds in ``took``."""
    started = time.perf_counter()
    yield
    took[step] = 1000 * (time.perf_counter() - started)


def _may_be_a_picture(request: Mapping[str, Any]) -> bool:
    return any(isinstance(part, bytes | bytearray | str) and len(part) > _PICTURE_BYTES for part in request.values())


def _shares(count: int, parts: int) -> list[range]:
    """The numbers below ``count`` in so many ``parts`` as equal as can be, at least one."""
    parts = max(1, min(parts, count))
    return [range(count * part // parts, count * (part + 1) // parts) for part in range(parts)]


def _side_by_side(work: Callable[[range], _Part], shares: Sequence[range]) -> list[_Part]:
    """The results of ``work`` on each of ``shares``, the first of them here and each other one in a thread, which
    doesn't outlive it."""
    if len(shares) == 1:
        return [work(shares[0])]
    with ThreadPoolExecutor(len(shares) - 1) as pool:
        others = [pool.submit(work, each) for each in shares[1:]]
        return [work(shares[0]), *(each.result() for each in others)]


def _with_vectors(
    item: Prepared | RequestError, vectors: Iterator[Vectors], model: Embedder
) -> Search | list[Vectors | RequestError] | RequestError:
    """Returns ``item`` with the vectors of its pictures, which are the next of ``vectors``."""
    if isinstance(item, RequestError):
        return item
    if isinstance(item, Completed):
        return [*item.vectors]
    if isinstance(item, PreparedCodes):
        return [each if isinstance(each, RequestError) else next(vectors) for each in item.decoded]
    positions = [next(vectors) for _ in item.pictures] if item.vectors is None else [item.vectors]
    words = item.request.words
    if words is not None:
        of_text = isinstance(item.request.subject, str)
        try:
            positions = [mixed(model, each, words, item.parts, of_text=of_text) for each in positions]
        except RequestError as error:
            return error
    return Search(item.request, item.view, positions, item.cropped)
