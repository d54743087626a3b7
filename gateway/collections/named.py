"""What routes about one collection share: its name in the path, and the errors they may answer with."""

from http import HTTPStatus
from typing import Annotated

from fastapi import Depends, Path

from gateway.errors import refusals
from gateway.services import UsesServices
from searcher.open_collection import OpenCollection

ALWAYS = refusals(
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.CONFLICT,
    HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.SERVICE_UNAVAILABLE,
)
OF_ONE = refusals(HTTPStatus.NOT_FOUND)


async def _named(
    name: Annotated[str, Path(description="the collection's name", examples=["default"])], services: UsesServices
) -> OpenCollection:
    return await services.collections.open(name)


Named = Annotated[OpenCollection, Depends(_named)]
