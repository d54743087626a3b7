"""``/api/models``: the model files that versions can be made with."""

from contextlib import suppress

from anyio import to_thread
from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from gateway.access.guards import require_admin
from gateway.errors import TO_ADMINS, TorchServeError, refusals
from gateway.services import UsesServices
from gateway.torchserve.model_folder import Model, ModelInMemory
from searcher.errors import SearcherError


class ModelList(BaseModel):
    """All model files."""

    models: list[Model] = Field(description="by path")


router = APIRouter(
    prefix="/api/models",
    tags=["models"],
    dependencies=[Depends(require_admin)],
    responses=refusals(*TO_ADMINS),
)


@router.get("", summary="List the model files", operation_id="listModels")
async def list_models(services: UsesServices) -> ModelList:
    """Those that are served come with the memory that they take."""
    versions = services.versions

    def in_folder() -> list[Model]:
        try:
            current = versions.current()
            made_with = versions.store.manifest(current).model.sha256 if current else None
        except SearcherError:  # /api/versions reports the damage
            made_with = None
        return services.models.models(made_with)

    models = await to_thread.run_sync(in_folder)
    with suppress(TorchServeError):  # /readyz reports that nothing is served
        served = {each.sha256: each for each in await services.model_servers.loaded()}
        for model in models:
            if (each := served.get(model.sha256)) is not None:
                model.served = ModelInMemory(name=each.name, workers=each.workers, memory_bytes=each.memory_bytes)
    return ModelList(models=models)
