"""Errors of the Idios routes, in FastAPI's shape and pydantic 1's words, the only ones that Idios' clients know.

422  {"detail": [{"loc": ["body", "url"], "msg": "…", "type": "…"}]}        anything else  {"detail": "…"}

At the gateway's own address the fields of all its errors (contract/refusal.py) stand beside ``detail``; at the address
that Idios' clients use, nothing does.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field, JsonValue
from pydantic.json_schema import SkipJsonSchema
from starlette.exceptions import HTTPException

from contract.refusal import ADVICE, error_body
from gateway.errors import RETRY_AFTER, NoUrl, OriginFault, PictureRefused, example_of
from gateway.idios.old_words import in_old_words
from gateway.services import services_of
from gateway.statuses import REFUSED, UNFORESEEN, refusal_of
from searcher.errors import CollectionMissing, FilterError, ModelMismatch

_log = logging.getLogger(__name__)
#: How many problems are reported: of a body with thousands, the first ones are enough.
_MAX_PROBLEMS = 20
#: The name of the state that an application for Idios' clients has.
DETAIL_ALONE = "detail_alone"
_STOPPING = "the gateway is stopping; a part of this may have been done"


class Problem(BaseModel):
    """One thing that is wrong with a request."""

    loc: list[str | int] = Field(description="where it is", examples=[["body", "url"]])
    msg: str = Field(description="what it is", examples=["the image is empty (0 bytes)"])
    type: str = Field(description="the kind of problem", examples=["parameter_error"])
    ctx: dict[str, JsonValue] | SkipJsonSchema[None] = Field(
        default=None, description="figures of some kinds", examples=[{"limit_value": 1}]
    )


class _Refused(BaseModel):
    """The fields of every error; those of Idios' own port lack them."""

    code: int | SkipJsonSchema[None] = Field(default=None, description="the HTTP status", examples=[422])
    type: str | SkipJsonSchema[None] = Field(
        default=None, description="the status in words", examples=["UnprocessableEntity"]
    )
    reason: str | SkipJsonSchema[None] = Field(
        default=None, description="the kind of error, for programs", examples=["invalid"]
    )
    message: str | SkipJsonSchema[None] = Field(
        default=None, description="what was wrong", examples=["url: the image is empty (0 bytes)"]
    )
    advice: str | SkipJsonSchema[None] = Field(
        default=None, description="what to do next", examples=[ADVICE["invalid"]]
    )


class Problems(_Refused):
    """A request that cannot be understood, or a picture that cannot be used."""

    detail: list[Problem] | str = Field(
        description="what is wrong, in the order of the request; in words for a search that asks about nothing"
    )


class Detail(_Refused):
    """Any other error."""

    detail: str = Field(description="what was wrong", examples=["Image already inserted"])


class Unprocessable(Exception):
    """A request with these ``problems``."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(problems)
        self.problems = problems


def refusals(*statuses: HTTPStatus) -> dict[int | str, dict[str, Any]]:
    """Returns the ``responses`` argument of a route that may answer with ``statuses``, for the OpenAPI document."""
    return {
        int(status): {
            "model": Problems if status == HTTPStatus.UNPROCESSABLE_ENTITY else Detail,
            "description": status.phrase,
            "content": {"application/json": {"example": _example(status)}},
        }
        for status in statuses
    }


def _example(status: HTTPStatus) -> dict[str, object]:
    body = example_of(status)
    problem = Problem(loc=["body", "url"], msg="the image is empty (0 bytes)", type="parameter_error")
    if status == HTTPStatus.UNPROCESSABLE_ENTITY:
        return {"detail": [problem.model_dump(exclude_none=True)]} | body | {"message": f"url: {problem.msg}"}
    return {"detail": body["message"]} | body


def unprocessable(message: str, *loc: str | int, kind: str = "parameter_error") -> Unprocessable:
    """Returns Unprocessable with one problem, at ``loc``."""
    return Unprocessable([Problem(loc=list(loc), msg=message, type=kind)])


def refused_picture(error: PictureRefused, *loc: str | int) -> Unprocessable:
    """Returns Unprocessable for the picture at ``loc``."""
    if not isinstance(error, NoUrl):
        return unprocessable(str(error), *loc)
    context: dict[str, JsonValue] | None = {"allowed_schemes": ["http", "https"]} if error.has_scheme else None
    return Unprocessable([Problem(loc=list(loc), msg=str(error), type="value_error.url.scheme", ctx=context)])


def invalid(found: Sequence[Mapping[str, Any]], *loc: str | int) -> Unprocessable:
    """Returns Unprocessable with the problems that pydantic ``found`` below ``loc``, 20 at most."""
    return Unprocessable([Problem(loc=[*loc, *each["loc"]], **in_old_words(each)) for each in found[:_MAX_PROBLEMS]])


class IdiosRoute(APIRoute):
    """A route that answers errors in FastAPI's shape."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handler(request)
            except asyncio.CancelledError:  # by the server, which is stopping and has waited long enough
                return _response(request, _Answer(HTTPStatus.SERVICE_UNAVAILABLE, _STOPPING, headers=RETRY_AFTER))
            except Exception as error:
                return _response(request, _answer(request, error))

        return answer


@dataclass(frozen=True)
class _Answer:
    """An error's status, what is wrong, its reason (one of ADVICE) and its headers."""

    status: int
    detail: str | Sequence[Problem]
    reason: str | None = None
    headers: Mapping[str, str] | None = None

    @property
    def message(self) -> str:
        """What is wrong, in one line."""
        if isinstance(self.detail, str):
            return self.detail
        first, *others = self.detail
        where = ".".join(str(part) for part in first.loc[1:])
        return ": ".join(filter(None, (where, first.msg))) + (f" (and {len(others)} more)" if others else "")


def _answer(request: Request, error: Exception) -> _Answer:
    if isinstance(error, Unprocessable):
        return _Answer(HTTPStatus.UNPROCESSABLE_ENTITY, error.problems)
    if isinstance(error, RequestValidationError):
        return _answer(request, invalid(error.errors()))
    if isinstance(error, HTTPException):
        return _Answer(error.status_code, str(error.detail), headers=error.headers)
    if isinstance(error, PictureRefused) and not isinstance(error, OriginFault):
        return _answer(request, refused_picture(error, "body", "url"))
    if isinstance(error, FilterError):
        return _answer(request, unprocessable(str(error), "body", "filter", kind="value_error.filter"))
    if isinstance(error, CollectionMissing):
        missing = unprocessable(str(error), "path", "model_name", kind="type_error.enum")
        return _Answer(HTTPStatus.UNPROCESSABLE_ENTITY, missing.problems, "no_such_collection")
    if isinstance(error, ModelMismatch):
        return _answer(request, unprocessable(str(error), "path", "model_name", kind="value_error.model"))
    if isinstance(error, REFUSED):
        refused = refusal_of(error, services_of(request).settings.index_store)
        return _Answer(refused.status, str(refused), refused.reason, refused.headers)
    _log.error("a request failed", exc_info=error)
    return _Answer(HTTPStatus.INTERNAL_SERVER_ERROR, UNFORESEEN)


def _response(request: Request, found: _Answer) -> Response:
    detail = found.detail
    body: dict[str, object] = {
        "detail": detail if isinstance(detail, str) else [each.model_dump(exclude_none=True) for each in detail]
    }
    if not getattr(request.app.state, DETAIL_ALONE, False):
        body |= error_body(found.status, found.message, found.reason).model_dump()
    return JSONResponse(body, found.status, found.headers)
