"""What a request can be refused for, and what keeps the handler's tools from working.

RequestError          one request of a batch; becomes its HTTP status and body
HandlerError          packing or starting the server failed
"""

from collections.abc import Mapping
from http import HTTPStatus

#: TorchServe's names of these errors, which clients see as "type".
_TYPES = {
    HTTPStatus.BAD_REQUEST: "BadRequestException",
    HTTPStatus.NOT_FOUND: "ResourceNotFoundException",
    HTTPStatus.CONFLICT: "ConflictStatusException",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "RequestEntityTooLargeException",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "UnsupportedMediaTypeException",
    HTTPStatus.INTERNAL_SERVER_ERROR: "InternalServerException",
    HTTPStatus.SERVICE_UNAVAILABLE: "ServiceUnavailableException",
}


class RequestError(Exception):
    """One request that gets ``status`` instead of an answer; the message and ``headers`` are for the client."""

    def __init__(self, status: HTTPStatus, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}

    def body(self) -> dict[str, str | int]:
        """The JSON that TorchServe's own errors have."""
        return {"code": int(self.status), "type": _TYPES[self.status], "message": str(self)}


class HandlerError(Exception):
    """The archive cannot be built or the server cannot be started; the message says why."""
