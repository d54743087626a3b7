"""Errors as HTTP answers: the status and message of each kind, for all routes of the gateway.

The gateway's and the searcher's errors keep their messages, without the path of the index store.
"""

import errno
import logging
import sqlite3
from http import HTTPStatus
from pathlib import Path

from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contract.refusal import error_body
from gateway.errors import OriginFault, PictureRefused, RequestRefused, TorchServeError
from searcher.errors import (
    AliasesDamaged,
    BadCollectionName,
    BadVersionName,
    CollectionMissing,
    EngineRefused,
    EngineUnavailable,
    FilterError,
    JournalDamaged,
    SearcherError,
    StoreUnwritable,
    VersionDamaged,
    VersionMissing,
)

#: The message for unexpected errors.
UNFORESEEN = "the gateway failed to answer; its log says why"
#: The kinds of errors that ``refusal_of`` takes.
REFUSED = (RequestRefused, PictureRefused, TorchServeError, SearcherError)


_log = logging.getLogger(__name__)


class Unforeseen:
    """ASGI middleware: of an unexpected error the client learns nothing, and the log has it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def note(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, note)
        except Exception as error:
            if begun or scope["type"] != "http":
                raise  # the server logs it, and breaks the answer off
            _log.error("a request failed", exc_info=error)
            refused = RequestRefused(HTTPStatus.INTERNAL_SERVER_ERROR, UNFORESEEN)
            await error_response(refused)(scope, receive, send)


def refusal_of(error: Exception, index_store: Path) -> RequestRefused:
    """Returns the HTTP refusal for ``error``, one of REFUSED."""
    if isinstance(error, RequestRefused):
        return error
    if isinstance(error, OriginFault):
        return RequestRefused(error.status, str(error), error.headers)
    if isinstance(error, PictureRefused):
        return RequestRefused(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))
    if isinstance(error, TorchServeError):
        return RequestRefused(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
    assert isinstance(error, SearcherError)
    return RequestRefused(_status_of(error), _message_of(error, index_store), reason=_reason_of(error))


def error_response(refused: RequestRefused) -> Response:
    """Returns ``refused`` as JSON in the gateway's shape, which all routes but Idios' use."""
    body = error_body(refused.status, str(refused), refused.reason)
    return JSONResponse(body.model_dump(), refused.status, refused.headers)


def _status_of(error: SearcherError) -> HTTPStatus:
    if isinstance(error, (VersionMissing, CollectionMissing)):
        return HTTPStatus.NOT_FOUND
    if isinstance(error, (EngineUnavailable, AliasesDamaged)):
        return HTTPStatus.SERVICE_UNAVAILABLE
    if isinstance(error, (BadVersionName, BadCollectionName, EngineRefused, FilterError)):
        return HTTPStatus.UNPROCESSABLE_ENTITY
    if isinstance(error, (JournalDamaged, StoreUnwritable, VersionDamaged)):  # ours, never the client's
        return HTTPStatus.INSUFFICIENT_STORAGE if _disk_is_full(error) else HTTPStatus.SERVICE_UNAVAILABLE
    return HTTPStatus.CONFLICT


def _reason_of(error: SearcherError) -> str | None:
    if isinstance(error, VersionMissing):
        return "no_such_version"
    return "no_such_collection" if isinstance(error, CollectionMissing) else None


def _message_of(error: SearcherError, index_store: Path) -> str:
    # The store's path helps in a shell, but is no business of HTTP clients.
    if _disk_is_full(error):
        return "the disk is full: nothing was changed"
    return str(error).replace(str(index_store), "the index store")


def _disk_is_full(error: BaseException) -> bool:
    """Whether ``error``, or one of its causes, says that the disk is full."""
    cause: BaseException | None = error
    seen: set[int] = set()  # some libraries raise errors that are their own cause
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        if isinstance(cause, sqlite3.Error) and getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
            return True
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        cause = cause.__cause__
    return False
