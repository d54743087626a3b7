"""``/models/{model}/search`` and ``compare``: ask TorchServe, which doesn't hash the collection's own images again."""

import json
from http import HTTPStatus
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Request, Response
from pydantic import Field, JsonValue

from contract.answer import QueryAnswer
from contract.names import NOTHING_LIKE_IT_HEADER
from contract.query import Rank
from contract.space import CODE, DETAIL, EMBEDDING
from gateway.collections.adding import checked
from gateway.collections.asking import ask
from gateway.collections.dump_format import similarity
from gateway.errors import RequestRefused
from gateway.idios import bodies
from gateway.idios.answers import Found, json_answer
from gateway.idios.bodies import documented, read_body
from gateway.idios.errors import IdiosRoute, unprocessable
from gateway.idios.named import ALWAYS, PREFIX, QUERY_FILE, Named, about, name_of_upload
from gateway.services import UsesServices
from gateway.torchserve.http import Answer
from searcher.filters import parse_filter
from searcher.open_collection import OpenCollection
from searcher.scan.distance import distances

router = APIRouter(prefix=PREFIX, tags=["idios"], route_class=IdiosRoute, responses=ALWAYS)


@router.post(
    "/search",
    summary="The images most like one",
    operation_id="searchImages",
    response_model=list[Found],
    responses={
        200: {
            "headers": {
                NOTHING_LIKE_IT_HEADER: {
                    "description": "where images have `closeness`: whether even the best is hardly like the query",
                    "schema": {"type": "boolean"},
                }
            }
        }
    },
    openapi_extra=documented(
        bodies.question, {"url": "https://iiif.example.org/letters/001.jpg", "limit": 5}, files=QUERY_FILE
    ),
)
async def search(request: Request, collection: Named, services: UsesServices) -> Response:
    """Best first. An image of the collection is looked for by the code that is kept of it; any other URL is fetched."""
    asked = await read_body(request, "image")
    question = asked.understood(bodies.question)
    fields: dict[str, JsonValue] = {
        "collection": collection.name, "top_k": question.limit, "rank": question.rank, "debug": True, "metadata": True,
        "turned": question.turned, "exact": question.exact,
    }  # fmt: skip
    if question.max_distance is not None:
        fields["max_distance"] = question.max_distance
    if question.filter is not None:
        parse_filter(question.filter)
        fields["filter"] = question.filter
    data, url, text = asked.files.get("image"), question.url, question.text or None
    embedding = question.embedding
    if embedding is not None and (data is not None or url is not None):
        raise unprocessable("stands instead of a picture", "body", "embedding")
    words = {"text": text, "text_weight": question.text_weight, "negative_text": question.negative_text}
    alone = data is None and url is None and embedding is None
    if not alone and not await to_thread.run_sync(_takes_words, collection):
        del words["text"]  # the picture counts, as ever
    fields |= {name: value for name, value in words.items() if value is not None}
    subject = "url" if data is None else "image"
    if embedding is not None:
        subject, fields["embedding"] = "embedding", [*embedding]
    answer: Answer | None = None
    if data is None and url is not None and question.turned:  # codes cannot be turned
        with about(asked):
            data = await services.adding.picture(collection, url)
    elif data is None and url is not None:
        answer = await ask(services, collection, fields | {"path": url}, None)
        if answer.status_code == HTTPStatus.NOT_FOUND:  # it isn't in the collection
            answer = None
            with about(asked):
                data = await services.adding.picture(collection, url)
    elif alone and text is None:
        raise RequestRefused(HTTPStatus.UNPROCESSABLE_ENTITY, "Either 'text' or 'url' must be provided.")
    elif alone:
        subject = "text"
    if answer is None:
        if data is not None:
            with about(asked):
                await to_thread.run_sync(checked, data)
        answer = await ask(services, collection, fields, data)
    found = QueryAnswer.model_validate(_parsed(answer, subject))
    response = json_answer(_found(found, question.rank, turned=question.turned))
    if found.nothing_like_it is not None:
        response.headers[NOTHING_LIKE_IT_HEADER] = json.dumps(found.nothing_like_it)
    return response


@router.post(
    "/compare",
    summary="How much two images are alike",
    operation_id="compareImages",
    response_model=Annotated[float, Field(ge=0, le=100)],
    openapi_extra=documented(
        bodies.image_pair,
        {"url": "https://iiif.example.org/letters/001.jpg", "other": "https://iiif.example.org/letters/002.jpg"},
        files={**QUERY_FILE, "other_image": "the other picture itself, instead of `other`"},
    ),
)
async def compare(request: Request, collection: Named, services: UsesServices) -> Response:
    """How much they are the very same picture, from 0 to 100: by their detail codes, as a search by `rank` `detail`
    answers. Where the model gives none, by their embeddings or else their codes. Images of the collection aren't
    fetched."""
    asked = await read_body(request, "image", "other_image")
    pair = asked.understood(bodies.image_pair, name_of_upload(asked) | name_of_upload(asked, "other_image", "other"))
    with about(asked):
        subject = await services.adding.subject(collection, pair.url, asked.files.get("image"))
        one = await services.adding.vectors(collection, subject)
    with about(asked, "other_image", "other"):
        subject = await services.adding.subject(collection, pair.other, asked.files.get("other_image"))
        other = await services.adding.vectors(collection, subject)
    model = await to_thread.run_sync(collection.identity)
    space = next(each for name in (DETAIL, EMBEDDING, CODE) if (each := model.space(name)) is not None)
    (distance,) = distances(space, space.array([one[space.name]])[0], space.array([other[space.name]]))
    return json_answer(similarity(distance, space))


def _takes_words(collection: OpenCollection) -> bool:
    """Whether its model takes any words, also beside a picture."""
    model = collection.identity()
    return model.text and model.space(EMBEDDING) is not None


def _found(answer: QueryAnswer, rank: Rank, *, turned: bool) -> list[dict[str, Any]]:
    """Returns the images of ``answer``, which are in the order of ``rank``; with their differing bits if the picture
    was looked for ``turned``, since copies are told by these."""
    ordered_by = answer.ordered_by or (DETAIL if rank == "detail" else CODE)
    space = answer.model and answer.model.space(ordered_by)
    assert space  # debug asks for it
    images = [
        {"url": path, "metadata": metadata, "similarity": similarity(distance, space)}
        for path, metadata, distance in zip(answer.relevant, answer.metadata or [], answer.distances or [], strict=True)
    ]
    if answer.closeness is not None:
        images = [image | {"closeness": close} for image, close in zip(images, answer.closeness, strict=True)]
    if turned:
        bits = (answer.distances_by_space or {})[DETAIL if rank == "detail" else CODE]
        images = [image | {"differing_bits": each} for image, each in zip(images, bits, strict=True)]
    return images


def _parsed(answer: Answer, subject: str) -> dict[str, Any]:
    """Returns TorchServe's answer to a question about ``subject``, parsed. Raises Unprocessable or RequestRefused if
    TorchServe refused."""
    try:
        body: dict[str, Any] = answer.json()
    except ValueError:
        body = {}
    if answer.status_code == HTTPStatus.OK:
        return body
    message = str(body.get("message", "the search server failed")).removeprefix(f"{subject}: ")
    if answer.status_code in (
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    ):
        raise unprocessable(message, "body", subject)
    known = (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT)
    raise RequestRefused(
        HTTPStatus(answer.status_code) if answer.status_code in known else HTTPStatus.SERVICE_UNAVAILABLE,
        message,
        answer.retry_after,
    )
