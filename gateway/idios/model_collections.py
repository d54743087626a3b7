"""On the Idios port, each model has a collection: ``vit_b32`` is there once a model that answers to that name is.

It is made with the first request about it.
"""

from contextlib import suppress

from anyio import to_thread

from gateway.collections.making import make_collection
from gateway.idios.named import ModelName
from gateway.services import Services, UsesServices
from searcher.errors import CollectionExists, CollectionMissing


async def made_when_asked(model_name: ModelName, services: UsesServices) -> None:
    """Make the collection ``model_name`` if there is none, if one model is called so, and if no other collection has
    it. Raises RequestRefused (503) if that model cannot be served."""
    if services.settings.collections_read_only:
        return
    try:
        await services.collections.named(model_name)
    except CollectionMissing:
        if await to_thread.run_sync(_lacks_one, services, model_name):
            model = await services.model_servers.identity_of(model_name)
            with suppress(CollectionExists):  # another request was faster
                await to_thread.run_sync(make_collection, services.collections.collections, model_name, model)


def _lacks_one(services: Services, name: str) -> bool:
    called = {model.sha256 for model in services.models.called(name)}
    return len(called) == 1 and not called & {identity.sha256 for _, identity in services.collections.with_models()}
