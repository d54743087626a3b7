"""``POST /predictions/image-retrieval-v1.0``: passed to TorchServe and back as it comes, so that one door suffices.

A request about a collection of another model than the datalake's is passed on to that one.
"""

from collections.abc import AsyncIterator
from http import HTTPStatus

import httpx
from fastapi import APIRouter, Depends, Request
from starlette.background import BackgroundTask
from starlette.requests import ClientDisconnect
from starlette.responses import Response, StreamingResponse

from gateway.access import require_search
from gateway.errors import RequestRefused, refusals
from gateway.model_servers import OTHER_MODEL_HEADER, ModelServers
from gateway.torchserve import PREDICTIONS, TorchServe, unreachable

#: About one connection, not about the message (RFC 9110, 7.6.1), and what belongs to the gateway's own door.
_NOT_PASSED = {
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding",
    "upgrade", "host", "expect", "x-api-key", "authorization",
}  # fmt: skip
#: What TorchServe itself answers, with 500, to a form that is none, or has a part without a name.
_FORM_ERROR = b"ErrorDataDecoderException"

router = APIRouter(tags=["search"], dependencies=[Depends(require_search)])

_FIELDS = {
    "image": {"type": "string", "description": "an image file, in base64"},
    "text": {"type": "string", "description": "instead of image: the name of a class that the model knows"},
    "code": {"type": "string", "description": "instead of image: the code of an earlier query, in hex"},
    "detail_code": {"type": "string", "description": "beside code: the detail code of that query, in hex"},
    "top_k": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 10},
    "max_distance": {"type": "integer", "minimum": 0, "maximum": 1024},
    "rank": {"type": "string", "enum": ["distance", "detail"], "default": "distance"},
    "debug": {"type": "boolean", "default": False},
    "collection": {"type": "string", "default": "default"},
    "filter": {"type": "object", "description": "only images whose metadata meet it"},
    "metadata": {"type": "boolean", "default": False, "description": "whether the answer has metadata"},
}
_ANSWER = {
    "type": "object",
    "required": ["index_database_version", "relevant"],
    "properties": {
        "index_database_version": {"type": "string"},
        "relevant": {"type": "array", "items": {"type": "string"}},
        "distances": {"type": "array", "items": {"type": "integer"}, "description": "with debug: true"},
        "metadata": {
            "type": "array",
            "items": {"type": ["object", "null"]},
            "description": "with metadata: true",
        },
    },
    "example": {"index_database_version": "1.2.0", "relevant": ["data/abc.com/69_abc_com.jpg"], "distances": [2]},
}


@router.post(
    PREDICTIONS,
    summary="The images most like a picture (TorchServe's own answer)",
    operation_id="predict",
    responses={
        200: {"description": "paths, best first", "content": {"application/json": {"schema": _ANSWER}}},
        **refusals(
            HTTPStatus.BAD_REQUEST,
            HTTPStatus.UNAUTHORIZED,
            HTTPStatus.NOT_FOUND,
            HTTPStatus.CONFLICT,
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            HTTPStatus.TOO_MANY_REQUESTS,
            HTTPStatus.SERVICE_UNAVAILABLE,
        ),
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"type": "object", "properties": _FIELDS}},
                "multipart/form-data": {
                    "schema": {
                        "type": "object",
                        "properties": {**_FIELDS, "image": {"type": "string", "format": "binary"}},
                    }
                },
            },
        }
    },
)
async def predict(request: Request) -> Response:
    """Streamed both ways; status, body and type are TorchServe's, but for a form that it cannot read: 400."""
    passed = [(name, value) for name, value in request.headers.raw if name.decode("latin-1") not in _NOT_PASSED]
    sent: list[bytes] = []

    async def body() -> AsyncIterator[bytes]:
        async for chunk in request.stream():
            sent.append(chunk)
            yield chunk

    try:
        answer = await _ask(request, PREDICTIONS, passed, body())
        collection = answer.headers.get(OTHER_MODEL_HEADER)
        if collection is not None and answer.status_code == HTTPStatus.CONFLICT:
            await answer.aclose()
            servers: ModelServers = request.app.state.model_servers
            name = await servers.name_for(collection)
            whole = [(name, value) for name, value in passed if name != b"content-length"]
            answer = await _ask(request, f"/predictions/{name}", whole, b"".join(sent))
    except httpx.TransportError as error:
        raise unreachable() from error
    except ClientDisconnect:
        return Response(status_code=HTTPStatus.BAD_REQUEST)  # nobody reads it
    headers = {name: value for name, value in answer.headers.items() if name not in _NOT_PASSED}
    if answer.is_server_error:
        if _FORM_ERROR in answer.content:
            raise RequestRefused(HTTPStatus.BAD_REQUEST, "the form cannot be read: it is malformed")
        return Response(answer.content, answer.status_code, headers)
    return StreamingResponse(answer.aiter_raw(), answer.status_code, headers, background=BackgroundTask(answer.aclose))


async def _ask(
    request: Request, path: str, headers: list[tuple[bytes, bytes]], content: AsyncIterator[bytes] | bytes
) -> httpx.Response:
    """TorchServe's answer, not read yet, but for its errors."""
    torchserve: TorchServe = request.app.state.torchserve
    outgoing = torchserve.client.build_request("POST", path, headers=headers, content=content)
    answer = await torchserve.client.send(outgoing, stream=True)
    if answer.is_server_error:
        await answer.aread()
    return answer
