"""A batch of requests → a batch of answers.

    parse → decode → hash all pictures at once → search → JSON

Every request goes its own way until the forward pass and again after it: its own top_k and debug, its own error.
"""

import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handler.errors import RequestError
from handler.follower import VersionFollower
from handler.metrics import Metrics
from handler.request import Query, parse
from hashing.errors import ImageTooLarge, UnreadableImage
from hashing.model import HashModel
from hashing.picture import decode
from searcher.version import IndexVersion, Matches

logger = logging.getLogger(__name__)

_OUR_FAULT = "the server failed to answer; its log says why"


@dataclass(frozen=True)
class Answer:
    """One request's HTTP status and JSON body."""

    status: HTTPStatus
    body: bytes


@dataclass(frozen=True)
class _Decoded:
    query: Query
    picture: NDArray[np.uint8]


class Retrieval:
    """Answers batches with ``model`` from the version that ``follower`` serves."""

    def __init__(self, model: HashModel, follower: VersionFollower, metrics: Metrics) -> None:
        self._model = model
        self._follower = follower
        self._metrics = metrics

    def answer(self, batch: Sequence[Mapping[str, Any]]) -> list[Answer]:
        """One answer for each request, in order. Never raises: what fails is answered with 500 and logged."""
        try:
            return self._answer(batch)
        except Exception:
            logger.exception("a batch of %d requests failed", len(batch))
            error = RequestError(HTTPStatus.INTERNAL_SERVER_ERROR, _OUR_FAULT)
            return [_refusal(error)] * len(batch)

    def _answer(self, batch: Sequence[Mapping[str, Any]]) -> list[Answer]:
        version = self._follower.version()
        with self._timed("decode"):
            prepared = [self._prepare(item) for item in batch]
        decoded = [item for item in prepared if isinstance(item, _Decoded)]
        answers: Iterator[Answer] = iter(())
        if decoded and version is None:
            unavailable = RequestError(HTTPStatus.SERVICE_UNAVAILABLE, self._follower.reason)
            answers = iter([_refusal(unavailable)] * len(decoded))
        elif decoded and version is not None:
            with self._timed("hash"):
                codes = self._model.codes(np.stack([item.picture for item in decoded]))
            with self._timed("search"):
                queries = [item.query for item in decoded]
                found = version.search(
                    codes, [query.top_k for query in queries], [query.max_distance for query in queries]
                )
            answers = iter(
                [_success(version, matches, item.query) for item, matches in zip(decoded, found, strict=True)]
            )
        answered = len(decoded) if version else 0
        self._metrics.add("pictures", answered)
        self._metrics.add("refused_requests", len(prepared) - answered)
        return [next(answers) if isinstance(item, _Decoded) else _refusal(item) for item in prepared]

    def _prepare(self, item: Mapping[str, Any]) -> _Decoded | RequestError:
        try:
            query = parse(item)
            return _Decoded(query, decode(query.image, self._model.card.preprocessing))
        except RequestError as error:
            return error
        except ImageTooLarge as error:
            return RequestError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, str(error))
        except UnreadableImage as error:
            return RequestError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, str(error))
        except Exception:
            logger.exception("a request could not be prepared")
            return RequestError(HTTPStatus.INTERNAL_SERVER_ERROR, _OUR_FAULT)

    @contextmanager
    def _timed(self, step: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self._metrics.add(f"{step}_milliseconds", 1000 * (time.perf_counter() - started))


def _success(version: IndexVersion, matches: Matches, query: Query) -> Answer:
    body: dict[str, Any] = {"index_database_version": version.name, "relevant": matches.paths}
    if query.debug:
        body["distances"] = matches.distances
    return Answer(HTTPStatus.OK, json.dumps(body, ensure_ascii=False).encode())


def _refusal(error: RequestError) -> Answer:
    return Answer(error.status, json.dumps(error.body(), ensure_ascii=False).encode())
