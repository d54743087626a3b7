"""A batch of requests → a batch of answers.

    prepare ─┬─▶ embed all pictures at once ─┬─▶ search ─▶ JSON
             └─▶ known vectors ──────────────┘

Requests share only the forward pass. Before and after it, each has its own collection, top_k, rank, debug and error.
A request for codes ends after the forward pass.
"""

import logging
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.space import Vectors
from embedding.embedder import Embedder
from handler.answer import Answer, refusal, search_answer, vectors_answer
from handler.cropping import NO_CROPPING, Cropping
from handler.errors import RequestError, our_fault
from handler.metrics import Metrics
from handler.mixing import mixed
from handler.preparation import Completed, Preparation, Prepared, PreparedCodes, PreparedSearch
from handler.searching import Search, search_together
from handler.served import Served
from searcher.matches import Matches

logger = logging.getLogger(__name__)


class Retrieval:
    """Answers batches with ``model`` from the ``served`` collections; ``cropping`` finds main objects."""

    def __init__(self, model: Embedder, served: Served, metrics: Metrics, cropping: Cropping = NO_CROPPING) -> None:
        self._model = model
        self._cropping = cropping
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
        took: dict[str, float] = {}
        with self._timed("decode", took):
            view_of = cache(self._served.view)  # one state for the whole batch
            preparation = Preparation(self._model, view_of, self._cropping)
            prepared = [preparation.prepare(item, place in from_gateway) for place, item in enumerate(batch)]
        pictures = [
            picture
            for item in prepared
            if isinstance(item, PreparedSearch | PreparedCodes)
            for picture in item.pictures
        ]
        with self._timed("hash", took):
            vectors = iter(self._embed(pictures))
            embedded = [_with_vectors(item, vectors, self._model) for item in prepared]
        with self._timed("search", took):
            found = search_together([item for item in embedded if isinstance(item, Search)])
        self._metrics.add("pictures", len(pictures))
        self._metrics.add("refused_requests", sum(isinstance(item, RequestError) for item in prepared))
        return [self._told(item, found, took) for item in embedded]

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
    def _timed(self, step: str, took: dict[str, float]) -> Iterator[None]:
        """Add the block's milliseconds to the metrics and to ``took``."""
        started = time.perf_counter()
        yield
        took[step] = 1000 * (time.perf_counter() - started)
        self._metrics.add(f"{step}_milliseconds", took[step])


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
