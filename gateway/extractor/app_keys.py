"""Who may use the extraction API: apps with an admin key of ours, in the words that extractorAPI's clients know.

400 {"message": "Please provide an API key", …}      403 {"message": "The provided API key is not valid", …}
"""

from http import HTTPStatus
from typing import Annotated

from fastapi import Depends, Request
from fastapi.responses import JSONResponse

from contract.refusal import error_body
from gateway.access.guards import presented_key, require_admin
from gateway.access.keys import ApiKey
from gateway.errors import RequestRefused

_MISSING, _WRONG = "Please provide an API key", "The provided API key is not valid"


class NoAppKey(Exception):
    """A request without a key that counts."""

    def __init__(self, status: HTTPStatus, message: str, reason: str | None) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


def _app_key(request: Request) -> ApiKey:
    if presented_key(request) is None:  # another Authorization is for a proxy in front
        raise NoAppKey(HTTPStatus.BAD_REQUEST, _MISSING, "key_missing")
    try:
        return require_admin(request, None, None)
    except RequestRefused as error:
        if error.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise NoAppKey(HTTPStatus.FORBIDDEN, _WRONG, error.reason) from error
        raise


def answer(_request: Request, error: Exception) -> JSONResponse:
    """Returns the answer to a request without a key that counts."""
    assert isinstance(error, NoAppKey)
    body = error_body(error.status, str(error), error.reason)
    return JSONResponse(body.model_dump(), error.status)


AppKey = Annotated[ApiKey, Depends(_app_key)]
