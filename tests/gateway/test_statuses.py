"""Each kind of error has one status, at every door."""

import errno
from http import HTTPStatus
from pathlib import Path

import pytest

from gateway.errors import ModelGone, OriginFault, PictureRefused, RequestRefused, TorchServeError, unreachable
from gateway.statuses import REFUSED, refusal_of
from searcher.errors import (
    BadCollectionName,
    BadVersionName,
    CollectionMissing,
    FilterError,
    JournalDamaged,
    ModelMismatch,
    SearcherError,
    StoreBusy,
    StoreUnwritable,
    VersionDamaged,
    VersionMissing,
)

STORE = Path("/srv/index_store")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RequestRefused(HTTPStatus.FORBIDDEN, "no"), 403),
        (ModelGone("m"), 503),
        (PictureRefused("no"), 422),
        (OriginFault("no"), 502),
        (OriginFault("no", late=True), 504),
        (TorchServeError("no"), 503),
        (VersionMissing("no"), 404),
        (CollectionMissing("no"), 404),
        (BadVersionName("no"), 422),
        (BadCollectionName("no"), 422),
        (FilterError("no"), 422),
        (VersionDamaged("no"), 503),
        (ModelMismatch("no"), 409),
        (StoreBusy("no"), 409),
        (JournalDamaged("no"), 503),
        (StoreUnwritable("no"), 503),
    ],
    ids=lambda value: type(value).__name__,
)
def test_its_status(error: Exception, status: int) -> None:
    assert isinstance(error, REFUSED)
    refused = refusal_of(error, STORE)
    assert (refused.status, str(refused)) == (status, str(error))
    assert (refused.headers == {"Retry-After": "1"}) == (status == 503)


def test_503_says_when_to_ask_again() -> None:
    assert unreachable().headers == {"Retry-After": "1"}
    refused = RequestRefused(HTTPStatus.SERVICE_UNAVAILABLE, "full", {"Retry-After": "7", "Connection": "close"})
    assert refused.headers == {"Retry-After": "7", "Connection": "close"}
    assert RequestRefused(HTTPStatus.CONFLICT, "no").headers is None


def test_how_long_an_origin_asks_to_wait_is_passed_on() -> None:
    assert refusal_of(OriginFault("no", retry_after=29.2), STORE).headers == {"Retry-After": "30"}


def test_where_the_store_lies_is_nobodys_business() -> None:
    assert str(refusal_of(VersionDamaged(f"{STORE}/1 is torn"), STORE)) == "the index store/1 is torn"


@pytest.mark.parametrize("error", [JournalDamaged("no"), StoreUnwritable("no")])
def test_a_full_disk(error: SearcherError) -> None:
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    refused = refusal_of(error, STORE)
    assert (refused.status, str(refused)) == (507, "the disk is full: nothing was changed")


def test_an_error_that_is_its_own_cause() -> None:
    """As pymilvus raises them: whoever follows causes comes to an end."""
    error, cause = JournalDamaged("no"), RuntimeError("lost")
    error.__cause__, cause.__cause__ = cause, cause
    assert refusal_of(error, STORE).status == 503
