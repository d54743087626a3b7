"""A batch of requests → a batch of answers.

    parse ─┬─▶ decode ─▶ hash all pictures at once ──┬─▶ search ─▶ JSON
           └─▶ the code that is given, or the class's ┘

Every request goes its own way until the forward pass and again after it: its own top_k, rank and debug, its own error.
"""

import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handler.errors import RequestError
from handler.follower import VersionFollower
from handler.metrics import Metrics
from handler.request import GivenCode, Request, parse
from hashing.errors import ImageTooLarge, UnknownClass, UnreadableImage
from hashing.model import HashModel
from hashing.picture import decode
from searcher.search import Query
from searcher.version import IndexVersion, Matches

logger = logging.getLogger(__name__)

#: Of an answer in debug mode: the query's codes, in hex. Asked with these as ``code`` and ``detail_code``, the same
#: images come again without the picture.
CODE_HEADER = "X-Hashlake-Code"
DETAIL_HEADER = "X-Hashlake-Detail-Code"

_OUR_FAULT = "the server failed to answer; its log says why"


@dataclass(frozen=True)
class Answer:
    """One request's HTTP status, JSON body and, in debug mode, headers."""

    status: HTTPStatus
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Prepared:
    """A good request: ``picture`` is yet to be hashed, or ``code`` is known, given or that of the class named."""

    request: Request
    picture: NDArray[np.uint8] | None = None
    code: NDArray[np.uint8] | None = None
    detail: NDArray[np.uint8] | None = None


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
        took: dict[str, float] = {}
        with self._timed("decode", took):
            prepared = [self._prepare(item, version) for item in batch]
        good = [item for item in prepared if isinstance(item, _Prepared)]
        answers: Iterator[Answer] = iter(())
        if good and version is None:
            unavailable = RequestError(HTTPStatus.SERVICE_UNAVAILABLE, self._follower.reason)
            answers = iter([_refusal(unavailable)] * len(good))
        elif good and version is not None:
            with self._timed("hash", took):
                queries = self._queries(good)
            with self._timed("search", took):
                found = version.search(queries)
            answers = iter(
                [
                    _success(version, matches, item.request, query, took)
                    for item, query, matches in zip(good, queries, found, strict=True)
                ]
            )
        answered = good if version else []
        self._metrics.add("pictures", sum(item.picture is not None for item in answered))
        self._metrics.add("refused_requests", len(prepared) - len(answered))
        return [next(answers) if isinstance(item, _Prepared) else _refusal(item) for item in prepared]

    def _prepare(self, item: Mapping[str, Any], version: IndexVersion | None) -> _Prepared | RequestError:
        try:
            request = parse(item)
            if request.rank == "detail" and not (self._model.card.detail_bits and (not version or version.has_details)):
                return RequestError(HTTPStatus.BAD_REQUEST, "rank: the served model gives no detail codes")
            if isinstance(request.subject, str):
                return _Prepared(request, code=self._model.class_code(request.subject))
            if isinstance(request.subject, GivenCode):
                card, given = self._model.card, request.subject
                detail = None if given.detail is None else _code(given.detail, card.detail_bits or 0, "detail_code")
                return _Prepared(request, code=_code(given.code, card.bits, "code"), detail=detail)
            return _Prepared(request, picture=decode(request.subject, self._model.card.preprocessing))
        except RequestError as error:
            return error
        except UnknownClass as error:
            return RequestError(HTTPStatus.BAD_REQUEST, f"text: {error}")
        except ImageTooLarge as error:
            return RequestError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, str(error))
        except UnreadableImage as error:
            return RequestError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, str(error))
        except Exception:
            logger.exception("a request could not be prepared")
            return RequestError(HTTPStatus.INTERNAL_SERVER_ERROR, _OUR_FAULT)

    def _queries(self, good: list[_Prepared]) -> list[Query]:
        """What to search for, in the order of ``good``."""
        pictures = [item.picture for item in good if item.picture is not None]
        hashed = self._model.hash(np.stack(pictures)) if pictures else None
        queries, row = [], 0
        for item in good:
            code, detail = item.code, item.detail
            if code is None:
                assert hashed is not None
                code, detail = hashed.codes[row], None if hashed.details is None else hashed.details[row]
                row += 1
            asked = item.request
            queries.append(Query(code, detail, asked.top_k, asked.max_distance, asked.rank))
        return queries

    @contextmanager
    def _timed(self, step: str, took: dict[str, float]) -> Iterator[None]:
        """Count the block's milliseconds, and note them in ``took``."""
        started = time.perf_counter()
        yield
        took[step] = 1000 * (time.perf_counter() - started)
        self._metrics.add(f"{step}_milliseconds", took[step])


def _code(given: bytes, bits: int, name: str) -> NDArray[np.uint8]:
    if 8 * len(given) != bits:
        wanted = f"has {bits // 4} hex digits" if bits else "is not known to the served model"
        raise RequestError(HTTPStatus.BAD_REQUEST, f"{name} {wanted}, and {2 * len(given)} are given")
    return np.frombuffer(given, np.uint8)


def _success(
    version: IndexVersion, matches: Matches, request: Request, query: Query, took: Mapping[str, float]
) -> Answer:
    body: dict[str, Any] = {"index_database_version": version.name, "relevant": matches.paths}
    headers = {}
    if request.debug:
        body["distances"] = matches.distances
        headers[CODE_HEADER] = query.code.tobytes().hex()
        if query.detail is not None:
            headers[DETAIL_HEADER] = query.detail.tobytes().hex()
        # Of the whole batch: its requests went through these steps together.
        headers["Server-Timing"] = ", ".join(f"{step};dur={time:.2f}" for step, time in took.items())
    return Answer(HTTPStatus.OK, json.dumps(body, ensure_ascii=False).encode(), headers)


def _refusal(error: RequestError) -> Answer:
    return Answer(error.status, json.dumps(error.body(), ensure_ascii=False).encode())
