"""What the Idios routes share: the collection in the path, pictures in forms, and the errors they may answer with."""

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Annotated

from fastapi import Depends, Path
from pydantic import JsonValue

from gateway import errors
from gateway.collections.adding import upload_name
from gateway.errors import OriginFault, PictureRefused
from gateway.idios.bodies import RequestFields
from gateway.idios.errors import refusals, refused_picture
from gateway.services import UsesServices
from searcher.filters import Filter, parse_filter
from searcher.open_collection import OpenCollection

PREFIX = "/models/{model_name}"
ALWAYS = refusals(
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.CONFLICT,
    HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
) | errors.refusals(
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE
)  # WholeBodies answers it in the gateway's shape, before routing
QUERY_FILE = {"image": "the picture itself, instead of a URL"}


ModelName = Annotated[
    str, Path(description="a collection's name, or that of its model if no other has it", examples=["default"])
]


async def _named(
    model_name: ModelName,
    services: UsesServices,
) -> OpenCollection:
    return await services.collections.named(model_name)


Named = Annotated[OpenCollection, Depends(_named)]


def name_of_upload(asked: RequestFields, file: str = "image", name: str = "url") -> dict[str, str]:
    """Returns a default for the field ``name``: the name of the picture in the part ``file``, if there is one."""
    data = asked.files.get(file)
    return {} if data is None else {name: upload_name(data)}


@contextmanager
def about(asked: RequestFields, file: str = "image", name: str = "url") -> Iterator[None]:
    """Turns PictureRefused in the block into Unprocessable, at the field that the picture came in. OriginFault, which
    is no fault of a field, stays."""
    try:
        yield
    except OriginFault:
        raise
    except PictureRefused as error:
        raise refused_picture(error, "body", file if file in asked.files else name) from error


def condition_of(given: dict[str, JsonValue] | None) -> Filter | None:
    """Returns the filter ``given``, parsed. Raises FilterError."""
    return None if given is None else parse_filter(given)
