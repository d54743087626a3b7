"""What the gateway refuses, and the JSON that says so: TorchServe's own shape, so that clients know one.

GatewayError          the gateway cannot start, or a command cannot be carried out
RequestRefused        one HTTP request, with its status
PictureRefused        a picture that cannot be added or asked about
"""

from collections.abc import Mapping
from http import HTTPStatus

from pydantic import BaseModel, Field


class GatewayError(Exception):
    """The message says what is wrong, in one line."""


class RequestRefused(Exception):
    """A request that gets ``status`` instead of an answer; the message is for the client."""

    def __init__(self, status: HTTPStatus, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers


class PictureRefused(Exception):
    """A picture that cannot be fetched or read, or is too small; the message is for the client."""


class ErrorBody(BaseModel):
    """Every error of every route."""

    code: int = Field(description="the HTTP status", examples=[404])
    type: str = Field(description="the kind of error", examples=["NotFound"])
    message: str = Field(description="what was wrong", examples=["the index has no row 17"])


def error_body(status: int, message: str) -> ErrorBody:
    return ErrorBody(
        code=status, type=HTTPStatus(status).phrase.title().replace(" ", "").replace("-", ""), message=message
    )


def refusals(*statuses: HTTPStatus) -> dict[int | str, dict[str, object]]:
    """The ``responses`` of a route that may answer ``statuses``, for the OpenAPI document."""
    return {int(status): {"model": ErrorBody, "description": status.phrase} for status in statuses}
