"""``POST /predictions/image-retrieval-v1.0``: passed to TorchServe and back unchanged, so clients need one address.

A request about a collection of another model than the datalake's is passed on to that model.
"""

from http import HTTPStatus

from fastapi import APIRouter, Depends, Request
from multidict import CIMultiDict
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from contract.answer import QueryAnswer
from contract.names import OTHER_MODEL_HEADER, PREDICTIONS, SECRET_HEADER, WORKER_HEADER
from contract.query import request_schema
from gateway.access.guards import check_search_key, require_search
from gateway.errors import RequestRefused, refusals, unreachable
from gateway.services import services_of
from gateway.statuses import REFUSED, error_response, refusal_of
from gateway.torchserve.second_try import worker_died

#: Headers that are not passed on: those about one connection (RFC 9110, 7.6.1), those meant for the gateway itself, the
#: length, which is set anew, and the secret, which a stranger cannot have.
_NOT_PASSED = {
    b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"te", b"trailer",
    b"transfer-encoding", b"upgrade", b"host", b"expect", b"x-api-key", b"authorization", b"content-length",
    SECRET_HEADER.lower().encode(),
}  # fmt: skip
_FORMS = ("multipart/", "application/x-www-form-urlencoded")
#: What TorchServe itself, and no worker, answers to a form that it cannot read, with the name of one of many Java
#: exceptions: a boundary or a name is missing, a charset is unknown, a part says that it has parts.
_FORM_ERRORS = {HTTPStatus.INTERNAL_SERVER_ERROR, HTTPStatus.FORBIDDEN}

router = APIRouter(tags=["search"], dependencies=[Depends(require_search)])


@router.post(
    PREDICTIONS,
    summary="The images most like a picture (TorchServe's own answer)",
    operation_id="predict",
    responses={
        200: {"description": "paths, best first", "model": QueryAnswer},
        **refusals(
            HTTPStatus.BAD_REQUEST,
            HTTPStatus.UNAUTHORIZED,
            HTTPStatus.FORBIDDEN,
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
                "application/json": {"schema": request_schema(as_form=False)},
                "multipart/form-data": {"schema": request_schema(as_form=True)},
            },
        }
    },
)
async def predict(request: Request) -> Response:
    """Status, body and type are TorchServe's, but for a form that it cannot read: 400."""
    services = services_of(request)
    body = [piece async for piece in request.stream() if piece]
    headers = CIMultiDict(
        (name.decode(), value.decode(errors="replace"))
        for name, value in request.scope["headers"]
        if name not in _NOT_PASSED
    )
    if services.shards is not None:
        status, content, told = await services.shards.search(headers.get("Content-Type", ""), b"".join(body))
        return Response(content, status, told, "application/json")
    answer = await services.torchserve.pass_on(headers, body)
    collection = answer.headers.get(OTHER_MODEL_HEADER)
    if collection is not None and answer.status_code == HTTPStatus.CONFLICT:
        async with services.model_servers.serving_anew(collection) as model:
            answer = await services.torchserve.pass_on(headers, body, model)
    if WORKER_HEADER not in answer.headers and not worker_died(answer):
        if answer.status_code in _FORM_ERRORS and headers.get("Content-Type", "").strip().lower().startswith(_FORMS):
            raise RequestRefused(HTTPStatus.BAD_REQUEST, "the form cannot be read: it is malformed")
        if answer.status_code == HTTPStatus.INSUFFICIENT_STORAGE:  # its memory is full of other bodies
            raise unreachable()
    passed = Response(answer.content, answer.status_code)
    passed.raw_headers = [
        (name, value)
        for name, value in ((name.lower(), value) for name, value in answer.raw_headers)
        if name not in _NOT_PASSED
    ]
    passed.raw_headers.append((b"content-length", b"%d" % len(answer.content)))
    passed.headers.update(answer.retry_after)
    return passed


class PredictionsFirst:
    """ASGI middleware: calls ``predict`` without FastAPI's routing and dependency injection, which take as long as
    passing a picture on. Everything else goes to ``app``, including other methods of the same path."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        (self._route,) = router.routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != PREDICTIONS or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        scope["route"] = self._route  # for Measure
        request = Request(scope, receive)
        try:
            await check_search_key(request)
            response = await predict(request)
        except REFUSED as error:
            response = error_response(refusal_of(error, services_of(request).settings.index_store))
        await response(scope, receive, send)
