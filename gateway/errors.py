"""The gateway's errors, and how the OpenAPI document describes them.

    GatewayError               the gateway cannot start, or a command cannot be carried out
    ├─ RequestRefused          one HTTP request, with its status
    │  └─ ModelGone            TorchServe has no model of the requested name
    ├─ PictureRefused          a picture that cannot be fetched, read or added
    │  ├─ NoUrl                … by a name that is no URL
    │  └─ OriginFault          … for now, through a fault of the server that its URL names
    ├─ TorchServeError         TorchServe's management refuses, or cannot be reached
    └─ CommandFailed           a child process that ended without success
       ├─ FoldFailed           … folding a collection, which is unchanged
       ├─ DuplicatesFailed     … reporting near-duplicates; the report breaks off
       └─ StepFailed           … or any other failed step of a reindexing job

gateway/statuses.py gives each its HTTP status, contract/refusal.py its JSON.
"""

import math
from collections.abc import Mapping
from http import HTTPStatus

from contract.refusal import ErrorBody, error_body

#: What is not to be had for now may be in a second: a process that died is back after some (handler/supervision.py).
RETRY_AFTER = {"Retry-After": "1"}

#: What any route for admins may answer with.
TO_ADMINS = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.SERVICE_UNAVAILABLE,
)


class GatewayError(Exception):
    """Base of the gateway's errors. The message says in one line what is wrong."""


class RequestRefused(GatewayError):
    """A request that gets ``status`` instead of an answer; the message is for the client, and so are ``headers``. 503
    says when to ask again: ``RETRY_AFTER``, unless the headers say it. ``reason``: one of contract.refusal.ADVICE, else
    what the status usually means."""

    def __init__(
        self,
        status: HTTPStatus,
        message: str,
        headers: Mapping[str, str] | None = None,
        *,
        reason: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.headers = {**RETRY_AFTER, **(headers or {})} if status == HTTPStatus.SERVICE_UNAVAILABLE else headers


class ModelGone(RequestRefused):
    """TorchServe has no model of the requested name."""

    def __init__(self, model: str) -> None:
        super().__init__(HTTPStatus.SERVICE_UNAVAILABLE, f"the search server has no model {model}")


class PictureRefused(GatewayError):
    """A picture that cannot be fetched or read; the message is for the client."""


class NoUrl(PictureRefused):
    """A picture by the name ``given``, which is no URL that begins with http:// or https://. The message is that of
    Idios; ``has_scheme``: whether the name is a URL of another kind."""

    def __init__(self, given: str) -> None:
        self.has_scheme = "://" in given
        super().__init__("URL scheme not permitted" if self.has_scheme else "invalid or missing URL scheme")


class OriginFault(PictureRefused):
    """A picture whose URL is in order, but whose server fails. As of any gateway, the status is 504 if that server is
    too slow, else 502."""

    def __init__(self, message: str, *, late: bool = False, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = HTTPStatus.GATEWAY_TIMEOUT if late else HTTPStatus.BAD_GATEWAY
        self.headers = {} if retry_after is None else {"Retry-After": f"{math.ceil(retry_after)}"}


class TorchServeError(GatewayError):
    """TorchServe cannot be reached, or refused the request; the message says which."""


class CommandFailed(GatewayError):
    """A child process that failed; the message is the last line of its standard error. ``status``: its exit status, or
    None where it isn't known."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class FoldFailed(CommandFailed):
    """A fold that failed; the collection is unchanged."""


class DuplicatesFailed(CommandFailed):
    """A near-duplicates report that broke off."""


class StepFailed(CommandFailed):
    """A step of a reindexing job that failed."""


def unreachable() -> RequestRefused:
    """Returns the refusal (503) for when TorchServe doesn't answer."""
    return RequestRefused(HTTPStatus.SERVICE_UNAVAILABLE, "the search server cannot be reached")


def busy() -> RequestRefused:
    """Returns the refusal (503) for when too many requests wait for TorchServe already."""
    return RequestRefused(HTTPStatus.SERVICE_UNAVAILABLE, "the search server is busy: try again")


def refusals(*statuses: HTTPStatus) -> dict[int | str, dict[str, object]]:
    """Returns the ``responses`` argument of a route that may answer with ``statuses``, for the OpenAPI document."""
    return {
        int(status): {
            "model": ErrorBody,
            "description": status.phrase,
            "content": {"application/json": {"example": example_of(status)}},
        }
        for status in statuses
    }


def json_refusals(*statuses: HTTPStatus) -> dict[int | str, dict[str, object]]:
    """As ``refusals``, for a route whose answers aren't JSON: FastAPI would document its errors with the route's media
    type too."""
    schema = {"$ref": f"#/components/schemas/{ErrorBody.__name__}"}
    return {
        int(status): {
            "description": status.phrase,
            "content": {"application/json": {"schema": schema, "example": example_of(status)}},
        }
        for status in statuses
    }


#: What an error of each status may say, and its reason where that isn't the usual one.
_EXAMPLES: Mapping[HTTPStatus, tuple[str, str | None]] = {
    HTTPStatus.BAD_REQUEST: ("the body is not JSON: Expecting value at character 49", None),
    HTTPStatus.UNAUTHORIZED: ("this takes an API key: send it as X-API-Key or as a bearer token", None),
    HTTPStatus.FORBIDDEN: ("this takes an admin key, and the request brings a search key", "admin_key_needed"),
    HTTPStatus.NOT_FOUND: ("there is no version 1.7.0", "no_such_version"),
    HTTPStatus.CONFLICT: ("the job 3f9c01ab is running; one runs at a time", None),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: ("the body has more than 64 MiB", None),
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: ("the image is empty (0 bytes)", None),
    HTTPStatus.UNPROCESSABLE_ENTITY: ("top_k: Input should be greater than or equal to 1", None),
    HTTPStatus.TOO_MANY_REQUESTS: ("too many wrong API keys came from this address: try again in 42 s", None),
    HTTPStatus.INTERNAL_SERVER_ERROR: ("the gateway failed to answer; its log says why", None),
    HTTPStatus.BAD_GATEWAY: ("example.org answers with status 500", None),
    HTTPStatus.SERVICE_UNAVAILABLE: ("the search server cannot be reached", None),
    HTTPStatus.GATEWAY_TIMEOUT: ("example.org was too slow", None),
    HTTPStatus.INSUFFICIENT_STORAGE: ("the disk is full: nothing was changed", None),
}


def example_of(status: HTTPStatus) -> dict[str, object]:
    """Returns what the body of an error of ``status`` may be."""
    message, reason = _EXAMPLES[status]
    return error_body(status, message, reason).model_dump()
