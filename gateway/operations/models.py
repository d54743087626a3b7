"""``/api/models``: the model files that versions can be made with."""

from http import HTTPStatus

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from gateway.access.guards import require_admin
from gateway.errors import refusals
from gateway.services import UsesServices
from gateway.torchserve.model_folder import Model
from searcher.errors import SearcherError


class ModelList(BaseModel):
    """All model files."""

    models: list[Model] = Field(description="by path")


router = APIRouter(
    prefix="/api/models",
    tags=["models"],
    dependencies=[Depends(require_admin)],
    responses=refusals(
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.SERVICE_UNAVAILABLE,
    ),
)


@router.get("", summary="List the model files", operation_id="listModels")
def list_models(services: UsesServices) -> ModelList:
    versions = services.versions
    try:
        current = versions.current()
        made_with = versions.store.manifest(current).model.sha256 if current else None
    except SearcherError:  # /api/versions reports the damage
        made_with = None
    return ModelList(models=services.models.models(made_with))
