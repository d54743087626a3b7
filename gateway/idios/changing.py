"""``/models/{model}/add``, ``search_add``, ``add_bulk``, ``restore``, ``remove``: one writer per collection."""

import json
from dataclasses import replace
from functools import cache
from http import HTTPStatus
from typing import Annotated, Literal

from anyio import to_thread
from fastapi import APIRouter, Depends, Query, Request, Response

from contract.image_names import normalised
from contract.space import EMBEDDING
from gateway.access.guards import require_changeable
from gateway.collections.adding import Subject
from gateway.collections.dump_format import BadEmbedding, Embeddings
from gateway.collections.dump_model import OtherModel, label_of, require_assumed, require_same
from gateway.collections.writer import require_model
from gateway.errors import RequestRefused
from gateway.idios import bodies
from gateway.idios.answers import Bulk, json_answer
from gateway.idios.bodies import RequestFields, documented, read_body
from gateway.idios.errors import IdiosRoute, refusals, unprocessable
from gateway.idios.named import ALWAYS, PREFIX, QUERY_FILE, Named, about, name_of_upload
from gateway.services import UsesServices
from gateway.statuses import refusal_of
from searcher.entry import Entry
from searcher.open_collection import OpenCollection

#: A header of the answer to a removal: whether there was an image to remove. As in Idios, the status is 204 either way.
REMOVED_HEADER = "X-Hashlake-Removed"

router = APIRouter(
    prefix=PREFIX,
    tags=["idios"],
    route_class=IdiosRoute,
    dependencies=[Depends(require_changeable)],
    responses=ALWAYS | refusals(HTTPStatus.FORBIDDEN, HTTPStatus.INSUFFICIENT_STORAGE),
)

_FILE = {"image": "the picture itself, instead of a URL; with a URL beside it, that is its name"}


@router.post(
    "/add",
    summary="Add an image, or look at one again",
    operation_id="addImage",
    status_code=HTTPStatus.NO_CONTENT,
    openapi_extra=documented(
        bodies.new_image,
        {"url": "https://iiif.example.org/letters/001.jpg", "metadata": {"language": "ja"}},
        files=_FILE,
    ),
)
async def add(request: Request, collection: Named, services: UsesServices) -> None:
    """The answer comes when the image is on the disk and in every search. Of a URL that is there already the picture is
    fetched again: if it has changed, so does its code. Its metadata are replaced, by nothing unless they are given."""
    asked = await read_body(request, "image")
    image = asked.understood(bodies.new_image, name_of_upload(asked))
    data = asked.files.get("image")
    subject = await services.adding.subject(collection, image.url, data)
    with about(asked):
        replaced = await services.adding.add(collection, subject, image.metadata)
    if replaced is not None:
        await services.collection_thumbnails.forget(collection, replaced)
    if data is not None:
        services.collection_thumbnails.keep(collection, subject.name, data)


@router.post(
    "/search_add",
    summary="Add an image that isn't there yet",
    operation_id="searchAddImage",
    status_code=HTTPStatus.NO_CONTENT,
    openapi_extra=documented(
        bodies.new_image,
        {"url": "https://iiif.example.org/letters/001.jpg", "metadata": {"language": "ja"}},
        files=_FILE,
    ),
)
async def search_add(request: Request, collection: Named, services: UsesServices) -> None:
    """409 `{"detail": "Image already inserted"}` for a URL that is there; nothing is fetched then."""
    asked = await read_body(request, "image")
    image = asked.understood(bodies.new_image, name_of_upload(asked))
    data = asked.files.get("image")
    subject = await services.adding.subject(collection, image.url, data)
    with about(asked):
        added = await services.adding.add_new(collection, subject, image.metadata)
    if not added:
        raise RequestRefused(HTTPStatus.CONFLICT, "Image already inserted")
    if data is not None:
        services.collection_thumbnails.keep(collection, subject.name, data)


@router.post(
    "/add_bulk",
    summary="Add many images, or look at them again",
    operation_id="addImages",
    response_model=Bulk,
    openapi_extra=documented(
        bodies.bulk,
        [{"url": "https://iiif.example.org/letters/001.jpg"}, {"url": "https://iiif.example.org/letters/002.jpg"}],
    ),
)
async def add_bulk(
    request: Request,
    collection: Named,
    services: UsesServices,
    known: Annotated[
        Literal["replace", "keep"],
        Query(
            description="what becomes of images that are there already: they are fetched again and their metadata "
            "replaced, as by `add`; or nothing is done to them, and the answer has them as `found`"
        ),
    ] = "replace",
) -> Response:
    """They are fetched and hashed side by side, and each is in every search as soon as it is added. One that cannot be
    fetched or read doesn't keep the others."""
    images = await to_thread.run_sync(RequestFields(json=await request.body()).understood, bodies.bulk)
    outcome = await services.adding.add_all(
        collection, [(image["url"], image.get("metadata")) for image in images], keep_known=known == "keep"
    )
    for replaced in outcome.replaced:
        await services.collection_thumbnails.forget(collection, replaced)
    store = services.settings.index_store
    failed = [
        {"url": url, "error": str(error), "status": refusal_of(error, store).status} for url, error in outcome.failed
    ]
    return json_answer({"added": outcome.added, "found": outcome.found, "failed": failed})


@router.post(
    "/restore",
    summary="Add images with their embeddings, as dump gives them",
    operation_id="restoreImages",
    status_code=HTTPStatus.NO_CONTENT,
    openapi_extra=documented(
        bodies.stored,
        [
            {
                "url": "https://iiif.example.org/letters/001.jpg",
                "metadata": {"language": "ja"},
                "embedding": "nzoAwdLk9Qc=",
            }
        ],
    ),
)
async def restore(
    request: Request,
    collection: Named,
    services: UsesServices,
    assume_model: Annotated[
        str | None,
        Query(
            description="the model, by name or sha256, that made the embeddings of images that don't say which, as "
            "those of older dumps",
            examples=["relahash-small-64bits"],
        ),
    ] = None,
) -> None:
    """All of them or, where one is wrong, none. Those that are there already are replaced. Embeddings of another model
    than the collection's are refused. Of an embedding without its code, as in dumps of Idios, the model makes one."""
    additions = await to_thread.run_sync(_additions, await request.body(), collection, assume_model)
    bare = [place for place, each in enumerate(additions) if each.vectors.keys() == {EMBEDDING}]
    if bare:
        model = await to_thread.run_sync(collection.identity)
        whole = await services.hashing.complete([additions[place].vectors[EMBEDDING] for place in bare], model)
        for place, each in zip(bare, whole, strict=True):
            require_model(collection.name, model, each.model)
            additions[place] = replace(additions[place], vectors=each.vectors)
    if additions:
        await services.collections.writer(collection).add(additions, None)


@router.post(
    "/remove",
    summary="Remove an image",
    operation_id="removeImage",
    status_code=HTTPStatus.NO_CONTENT,
    response_class=Response,
    responses={
        204: {"headers": {REMOVED_HEADER: {"description": "whether it was there", "schema": {"type": "boolean"}}}}
    },
    openapi_extra=documented(bodies.removal, {"url": "https://iiif.example.org/letters/001.jpg"}, files=QUERY_FILE),
)
async def remove(request: Request, collection: Named, services: UsesServices) -> Response:
    """The answer comes when it is in no search any more; what isn't there is removed already."""
    asked = await read_body(request, "image")
    url = asked.understood(bodies.removal, name_of_upload(asked)).url
    image = await services.collections.read(collection, lambda view: view.image(view.name_of(url)))
    if image is None:
        with about(asked):
            services.adding.require_name(collection, url)
    removed = image is not None and await services.collections.writer(collection).remove(image.path)
    if image is not None and removed:
        await services.collection_thumbnails.forget(collection, image)
    return Response(status_code=HTTPStatus.NO_CONTENT, headers={REMOVED_HEADER: json.dumps(removed)})


def _additions(body: bytes, collection: OpenCollection, assume_model: str | None) -> list[Entry]:
    model = collection.identity()
    embeddings, label = Embeddings(model), label_of(model)
    images = RequestFields(json=body).understood(bodies.stored)
    if assume_model is not None:
        try:
            require_assumed(assume_model, model)
        except OtherModel as error:
            raise unprocessable(str(error), "query", "assume_model", kind="value_error.model") from error
    view = cache(collection.view)  # which reads all that was restored before: only for a name that needs it
    additions = []
    for place, image in enumerate(images):
        url, said = image["url"], image.get("model")
        if said != label:
            try:
                require_same(said, model, assumed=assume_model is not None)
            except OtherModel as error:
                raise unprocessable(str(error), "body", place, "model", kind="value_error.model") from error
        try:
            vectors = embeddings.decode(image["embedding"], image.get("code"))
        except BadEmbedding as error:
            raise unprocessable(str(error), "body", place, "embedding", kind="value_error.embedding") from error
        if normalised(url) == url:
            additions.append(Entry(url, vectors, image.get("metadata")))
        else:
            subject = Subject.of(url, view().name_of(url))
            additions.append(Entry(subject.name, vectors, image.get("metadata"), fetched=subject.fetched()))
    return additions
