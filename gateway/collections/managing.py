"""``/api/collections``: making, folding and deleting them."""

from http import HTTPStatus
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Depends, Path

from contract.names import DEFAULT_COLLECTION
from gateway.access.guards import require_admin, require_changeable
from gateway.collections.bodies import (
    CollectionInfo,
    CopiedCollection,
    FoldedCollection,
    NewCollection,
    WantedCopy,
    WantedIndex,
    info_of,
)
from gateway.collections.making import make_collection
from gateway.collections.named import ALWAYS, OF_ONE, Named
from gateway.errors import FoldFailed, RequestRefused, refusals
from gateway.services import Services, UsesServices
from gateway.torchserve.model_folder import only_model_called
from searcher.collections import Collections
from searcher.copying import copy
from searcher.engines.foreign import ForeignCollection
from searcher.engines.recall import with_index
from searcher.errors import CollectionInUse, CollectionMissing, SearcherError
from searcher.live.collection import Collection
from searcher.open_collection import OpenCollection

router = APIRouter(
    prefix="/api/collections",
    tags=["collections"],
    dependencies=[Depends(require_admin), Depends(require_changeable)],
    responses=ALWAYS | refusals(HTTPStatus.FORBIDDEN, HTTPStatus.INSUFFICIENT_STORAGE),
)


@router.post(
    "",
    summary="Make a collection",
    operation_id="createCollection",
    status_code=HTTPStatus.CREATED,
    responses=refusals(HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
)
async def create_collection(asked: NewCollection, services: UsesServices) -> CollectionInfo:
    """Empty, for codes of one model, or with what its engine has already. 409 if there is one of that name."""
    model_path = asked.model_path
    if model_path is None and await to_thread.run_sync(only_model_called, services.settings.models, asked.name):
        model_path = asked.name
    model = await services.model_servers.identity_of(model_path)

    def create() -> CollectionInfo:
        collections = services.collections.collections
        return info_of(collections, make_collection(collections, asked.name, model, asked.engine, asked.place))

    try:
        return await to_thread.run_sync(create)
    except SearcherError:
        await _retire(services)  # a model may have been loaded for it
        raise


@router.delete(
    "/{name}",
    summary="Delete a collection with all its images",
    operation_id="deleteCollection",
    status_code=HTTPStatus.NO_CONTENT,
    responses=OF_ONE,
)
async def delete_collection(
    name: Annotated[str, Path(description="the collection's name", examples=["shoes"])],
    services: UsesServices,
) -> None:
    """409 for `default`, which is the datalake's. A model that no other collection has is served no longer."""
    await services.collections.delete(name)
    await _retire(services)


@router.post(
    "/{name}/index",
    summary="Have an engine search by an approximate index, or by comparing every vector",
    operation_id="indexCollection",
    responses=OF_ONE,
)
async def index_collection(asked: WantedIndex, collection: Named, services: UsesServices) -> CollectionInfo:
    """The answer comes when it is built, and says what share of the nearest it finds, measured with images of the
    collection. Searches with `exact` still compare every vector. A collection in the index store is searched exactly
    as it is: 409 for any `kind` but null."""
    if not isinstance(collection, ForeignCollection):
        if asked.kind is None:
            return await to_thread.run_sync(info_of, services.collections.collections, collection)
        raise RequestRefused(HTTPStatus.CONFLICT, f"the collection {collection.name} is searched exactly as it is")

    def build() -> CollectionInfo:
        with_index(collection, asked.kind).write(collection.folder)
        collections = services.collections.collections
        return info_of(collections, collections.open(collection.name))

    return await to_thread.run_sync(build)


@router.post(
    "/{name}/copy",
    summary="Copy a collection, to another engine too",
    operation_id="copyCollection",
    responses=OF_ONE,
)
async def copy_collection(asked: WantedCopy, collection: Named, services: UsesServices) -> CopiedCollection:
    """The answer comes when both were read and found equal, in the order of adding too. Asked again after an
    interruption, it goes on with what is missing. 409, and nothing touched, if the other collection has images that
    this one lacks or is of another model; 409 too if this one changes all the while."""
    collections = services.collections.collections

    def copied() -> CopiedCollection:
        if asked.to in (DEFAULT_COLLECTION, collection.name):
            raise CollectionInUse(f"the collection {asked.to} cannot become a copy")
        try:
            target: OpenCollection = collections.open(asked.to)
        except CollectionMissing:
            target = make_collection(collections, asked.to, collection.identity(), asked.engine, asked.place)
        try:
            return CopiedCollection.model_validate(copy(collection, target), from_attributes=True)
        except ValueError as error:
            raise RequestRefused(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from error

    return await to_thread.run_sync(copied)


@router.post(
    "/{name}/fold",
    summary="Make a collection's changes part of a new version",
    operation_id="foldCollection",
    responses=OF_ONE,
)
async def fold_collection(collection: Named, services: UsesServices) -> FoldedCollection:
    """The collection stays what it is. 409 while an indexer or another fold is at work on it, and for a collection that
    another engine keeps."""
    if not isinstance(collection, Collection):
        raise RequestRefused(HTTPStatus.CONFLICT, f"the collection {collection.name} has no journal to fold")
    try:
        folded = await services.collections.folding.fold(collection)
    except FoldFailed as error:
        raise RequestRefused(HTTPStatus.CONFLICT, f"the collection {collection.name} is as it was: {error}") from error
    return FoldedCollection(version=folded.version, count=folded.count, folded=folded.changes)


async def _retire(services: Services) -> None:
    """Unload the models that no collection uses, once it is known which ones are used."""
    needed = await to_thread.run_sync(_served_names, services.collections.collections)
    if needed is not None:
        await services.model_servers.retire(needed)


def _served_names(collections: Collections) -> set[str] | None:
    """Returns the names by which TorchServe serves the collections' models beside the datalake's; None while a
    collection cannot be read, so that nobody knows its model."""
    names = set()
    for name in collections.names():
        try:
            collection = collections.open(name)
        except CollectionMissing:
            continue  # deleted just now
        try:
            names.add(collection.identity().served_name)
        except SearcherError:
            if isinstance(collection, ForeignCollection):
                names.add(collection.configuration.model.served_name)
                continue
            manifests = collection.store.manifests()
            if not manifests and name != DEFAULT_COLLECTION and collection.folder.is_dir():
                return None
            names |= {manifest.model.served_name for manifest in manifests}
    return names
