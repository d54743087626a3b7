"""What the store and its collections refuse, in HTTP."""

import errno
import sqlite3
from http import HTTPStatus
from pathlib import Path

from searcher.errors import (
    BadCollectionName,
    BadVersionName,
    CollectionMissing,
    FilterError,
    JournalDamaged,
    SearcherError,
    VersionMissing,
)


def status_of(error: SearcherError) -> HTTPStatus:
    """The status that says what ``error`` does."""
    if isinstance(error, (VersionMissing, CollectionMissing)):
        return HTTPStatus.NOT_FOUND
    if isinstance(error, (BadVersionName, BadCollectionName, FilterError)):
        return HTTPStatus.UNPROCESSABLE_ENTITY
    if isinstance(error, JournalDamaged):
        return HTTPStatus.INSUFFICIENT_STORAGE if _disk_is_full(error) else HTTPStatus.SERVICE_UNAVAILABLE
    return HTTPStatus.CONFLICT


def message_of(error: SearcherError, index_store: Path) -> str:
    """``error`` in words for a client. Where the store lies helps in a shell; over HTTP it is nobody's business."""
    if _disk_is_full(error):
        return "the disk is full: nothing was changed"
    return str(error).replace(str(index_store), "the index store")


def _disk_is_full(error: BaseException) -> bool:
    """Whether ``error``, or what it came from, is that the disk is full."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, sqlite3.Error) and getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
            return True
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        cause = cause.__cause__
    return False
