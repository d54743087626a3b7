"""``GET /api/words``: what can be searched for by words, for whoever types them."""

from http import HTTPStatus

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from gateway.access.guards import require_search
from gateway.errors import RequestRefused, TorchServeError, refusals
from gateway.services import UsesServices

router = APIRouter(prefix="/api", tags=["search"], dependencies=[Depends(require_search)])


class KnownWords(BaseModel):
    """What the datalake's model takes as `text`."""

    any_words: bool = Field(description="whether it takes any words, also beside a picture", examples=[False])
    suggestions: list[str] = Field(
        description="the names of its classes: what it takes if not any words, else what it surely knows",
        examples=[["Dress", "Hat"]],
    )


@router.get(
    "/words",
    summary="What can be searched for by words",
    operation_id="listWords",
    responses=refusals(
        HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE
    ),
)
async def words(services: UsesServices) -> KnownWords:
    try:
        card = (await services.torchserve.served_model())["model"]
    except TorchServeError as error:
        raise RequestRefused(HTTPStatus.SERVICE_UNAVAILABLE, str(error)) from error
    return KnownWords(any_words=bool(card.get("text")), suggestions=list(card.get("classes", ())))
