"""A batch of requests → a batch of answers.

    parse ─┬─▶ decode ─▶ hash all pictures at once ──┬─▶ search ─▶ JSON
           └─▶ the code that is given, or the class's ┘

Every request goes its own way until the forward pass and again after it: its own collection, top_k, rank and debug, its
own error. A request for codes ends after the forward pass.
"""

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http import HTTPStatus
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handler.errors import RequestError
from handler.metrics import Metrics
from handler.request import GivenCode, HashRequest, Request, parse
from handler.served import Served
from hashing.errors import ImageTooLarge, UnknownClass, UnreadableImage
from hashing.model import HashModel
from hashing.picture import decode
from searcher.overlay import View
from searcher.search import Query
from searcher.version import Matches

logger = logging.getLogger(__name__)

#: Of an answer in debug mode: the query's codes, in hex. Asked with these as ``code`` and ``detail_code``, the same
#: images come again without the picture.
CODE_HEADER = "X-Hashlake-Code"
DETAIL_HEADER = "X-Hashlake-Detail-Code"


@dataclass(frozen=True)
class Answer:
    """One request's HTTP status, JSON body and, in debug mode, headers."""

    status: HTTPStatus
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


_Codes = tuple[NDArray[np.uint8], NDArray[np.uint8] | None]


@dataclass(frozen=True)
class _Prepared:
    """A good request: ``picture`` is yet to be hashed, or ``code`` is known, given or that of the class named."""

    request: Request
    view: View
    picture: NDArray[np.uint8] | None
    code: NDArray[np.uint8] | None
    detail: NDArray[np.uint8] | None


@dataclass(frozen=True)
class _Hashing:
    """A request for codes: its pictures, or what is wrong with them."""

    pictures: list[NDArray[np.uint8] | RequestError]


@dataclass(frozen=True)
class _Asked:
    """A request whose ``query`` is known."""

    request: Request
    view: View
    query: Query


@dataclass(frozen=True)
class _CodesAsked:
    """The codes of a request for them, or what is wrong with its pictures."""

    codes: list[_Codes | RequestError]


class Retrieval:
    """Answers batches with ``model`` from the collections that are ``served``."""

    def __init__(self, model: HashModel, served: Served, metrics: Metrics) -> None:
        self._model = model
        self._served = served
        self._metrics = metrics

    def answer(self, batch: Sequence[Mapping[str, Any]]) -> list[Answer]:
        """One answer for each request, in order. Never raises: what fails is answered with 500 and logged."""
        try:
            return self._answer(batch)
        except Exception:
            logger.exception("a batch of %d requests failed", len(batch))
            return [_refusal(_our_fault())] * len(batch)

    def _answer(self, batch: Sequence[Mapping[str, Any]]) -> list[Answer]:
        took: dict[str, float] = {}
        with self._timed("decode", took):
            views = cache(self._served.view)  # one state of a collection for the whole batch
            prepared = [self._prepare(item, views) for item in batch]
        pictures = [picture for item in prepared for picture in _pictures(item)]
        with self._timed("hash", took):
            codes = self._codes(pictures)
            asked = [_query(item, codes) for item in prepared]
        with self._timed("search", took):
            found = _search(asked)
        self._metrics.add("pictures", len(pictures))
        self._metrics.add("refused_requests", sum(isinstance(item, RequestError) for item in prepared))
        answers = []
        for item in asked:
            if isinstance(item, _Asked):
                answers.append(_found(item, next(found), took))
            else:
                answers.append(_refusal(item) if isinstance(item, RequestError) else self._hashed(item))
        return answers

    def _prepare(self, item: Mapping[str, Any], views: Callable[[str], View]) -> "_Prepared | _Hashing | RequestError":
        card = self._model.card
        try:
            request = parse(item)
            if isinstance(request, HashRequest):
                return _Hashing([self._decode(image) for image in request.images])
            no_details = RequestError(HTTPStatus.BAD_REQUEST, "rank: the served model gives no detail codes")
            if request.rank == "detail" and card.detail_bits is None:
                raise no_details
            picture: NDArray[np.uint8] | None = None
            code = detail = None
            if isinstance(request.subject, str):
                code = self._model.class_code(request.subject)
            elif isinstance(request.subject, GivenCode):
                code = _code(request.subject.code, card.bits, "code")
                if request.subject.detail is not None:
                    detail = _code(request.subject.detail, card.detail_bits or 0, "detail_code")
            else:
                decoded = self._decode(request.subject)
                if isinstance(decoded, RequestError):
                    return decoded
                picture = decoded
            view = views(request.collection)
            if request.rank == "detail" and not view.version.has_details:
                raise no_details
            return _Prepared(request, view, picture, code, detail)
        except RequestError as error:
            return error
        except UnknownClass as error:
            return RequestError(HTTPStatus.BAD_REQUEST, f"text: {error}")
        except Exception:
            logger.exception("a request could not be prepared")
            return _our_fault()

    def _decode(self, image: bytes | RequestError) -> NDArray[np.uint8] | RequestError:
        """The picture in the file ``image``, or what is wrong with it."""
        if isinstance(image, RequestError):
            return image
        try:
            return decode(image, self._model.card.preprocessing)
        except ImageTooLarge as error:
            return RequestError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, str(error))
        except UnreadableImage as error:
            return RequestError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, str(error))

    def _codes(self, pictures: list[NDArray[np.uint8]]) -> Iterator[_Codes]:
        """Code and detail code of each picture."""
        if not pictures:
            return iter(())
        hashed = self._model.hash(np.stack(pictures))
        details = [None] * len(pictures) if hashed.details is None else hashed.details
        return zip(hashed.codes, details, strict=True)

    def _hashed(self, item: "_CodesAsked") -> Answer:
        card = self._model.card
        body = {
            "model": {
                "name": card.name,
                "sha256": self._model.sha256,
                "bits": card.bits,
                "detail_bits": card.detail_bits,
            },
            "hashed": [
                {"status": int(each.status), "message": str(each)}
                if isinstance(each, RequestError)
                else {"code": _hex(each[0]), "detail_code": None if each[1] is None else _hex(each[1])}
                for each in item.codes
            ],
        }
        return Answer(HTTPStatus.OK, json.dumps(body, ensure_ascii=False).encode())

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


def _pictures(item: _Prepared | _Hashing | RequestError) -> list[NDArray[np.uint8]]:
    """What of ``item`` is to be hashed."""
    if isinstance(item, _Hashing):
        return [picture for picture in item.pictures if not isinstance(picture, RequestError)]
    return [item.picture] if isinstance(item, _Prepared) and item.picture is not None else []


def _query(item: _Prepared | _Hashing | RequestError, codes: Iterator[_Codes]) -> _Asked | _CodesAsked | RequestError:
    """``item`` with the codes of its pictures, the next of ``codes``."""
    if isinstance(item, RequestError):
        return item
    if isinstance(item, _Hashing):
        return _CodesAsked([each if isinstance(each, RequestError) else next(codes) for each in item.pictures])
    code, detail = (item.code, item.detail) if item.code is not None else next(codes)
    asked = item.request
    return _Asked(asked, item.view, Query(code, detail, asked.top_k, asked.max_distance, asked.rank))


def _search(asked: Sequence[_Asked | _CodesAsked | RequestError]) -> Iterator[Matches | RequestError]:
    """What is found for each query, in order, or its error. Those about the same images share the reading of their
    codes."""
    groups: dict[tuple[str, str | None], list[_Asked]] = {}
    queries = [item for item in asked if isinstance(item, _Asked)]
    for item in queries:
        condition = item.request.condition
        groups.setdefault((item.request.collection, condition.text if condition else None), []).append(item)
    found: dict[int, Matches | RequestError] = {}
    for group in groups.values():
        try:
            matches = group[0].view.search([item.query for item in group], group[0].request.condition)
        except Exception:
            logger.exception("the collection %s could not be searched", group[0].request.collection)
            found.update((id(item), _our_fault()) for item in group)
        else:
            found.update(zip(map(id, group), matches, strict=True))
    return iter([found[id(item)] for item in queries])


def _found(item: _Asked, matches: Matches | RequestError, took: Mapping[str, float]) -> Answer:
    if isinstance(matches, RequestError):
        return _refusal(matches)
    try:
        return _success(item, matches, took)
    except Exception:  # metadata that cannot be told in JSON
        logger.exception("an answer could not be written")
        return _refusal(_our_fault())


def _success(item: _Asked, matches: Matches, took: Mapping[str, float]) -> Answer:
    body: dict[str, Any] = {"index_database_version": item.view.version.name, "relevant": matches.paths}
    headers = {}
    if item.request.metadata:
        body["metadata"] = [text and json.loads(text) for text in matches.metadata]
    if item.request.debug:
        body["distances"] = matches.distances
        headers[CODE_HEADER] = _hex(item.query.code)
        if item.query.detail is not None:
            headers[DETAIL_HEADER] = _hex(item.query.detail)
        # Of the whole batch: its requests went through these steps together.
        headers["Server-Timing"] = ", ".join(f"{step};dur={time:.2f}" for step, time in took.items())
    return Answer(HTTPStatus.OK, json.dumps(body, ensure_ascii=False).encode(), headers)


def _hex(code: NDArray[np.uint8]) -> str:
    return code.tobytes().hex()


def _our_fault() -> RequestError:
    return RequestError(HTTPStatus.INTERNAL_SERVER_ERROR, "the server failed to answer; its log says why")


def _refusal(error: RequestError) -> Answer:
    return Answer(error.status, json.dumps(error.body(), ensure_ascii=False).encode(), error.headers)
