"""The handler's errors.

RequestError          one request of a batch failed; becomes its HTTP status and body
HandlerError          packing the archive or starting the server failed
"""

from collections.abc import Mapping
from http import HTTPStatus

from contract.refusal import error_body

#: TorchServe's names for these errors; clients see them as "type".
_TYPES = {
    HTTPStatus.BAD_REQUEST: "BadRequestException",
    HTTPStatus.FORBIDDEN: "ForbiddenException",
    HTTPStatus.NOT_FOUND: "ResourceNotFoundException",
    HTTPStatus.CONFLICT: "ConflictStatusException",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "RequestEntityTooLargeException",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "UnsupportedMediaTypeException",
    HTTPStatus.INTERNAL_SERVER_ERROR: "InternalServerException",
    HTTPStatus.SERVICE_UNAVAILABLE: "ServiceUnavailableException",
}


class RequestError(Exception):
    """One request gets ``status`` instead of an answer; the message and ``headers`` are for the client."""

    def __init__(self, status: HTTPStatus, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}

    def body(self) -> dict[str, str | int]:
        """Returns the JSON body: TorchServe's own fields, and what our errors have besides."""
        body: dict[str, str | int] = error_body(self.status, str(self), kind=_TYPES[self.status]).model_dump()
        return body


def bad_request(message: str) -> RequestError:
    """Returns the error of a malformed request: 400."""
    return RequestError(HTTPStatus.BAD_REQUEST, message)


def unavailable(reason: Exception) -> RequestError:
    """Returns the error of a request that may be answered in a while: 503. ``reason`` is told to the client."""
    return RequestError(HTTPStatus.SERVICE_UNAVAILABLE, str(reason), {"Retry-After": "1"})


def our_fault() -> RequestError:
    """Returns the error of a request that failed through no fault of its own: 500."""
    return RequestError(HTTPStatus.INTERNAL_SERVER_ERROR, "the server failed to answer; its log says why")


class HandlerError(Exception):
    """The archive cannot be built or the server cannot be started; the message says why."""
