"""What clients of the extraction API may name: documents, detectors and callbacks, checked at the door."""

import os
import re
from contextlib import suppress
from http import HTTPStatus
from typing import Annotated

from fastapi import Depends

from contract.image_names import is_url
from gateway.errors import RequestRefused
from gateway.extractor.extraction import Extraction
from gateway.extractor.kinds import COLLECTION
from gateway.operations.reindex_source import admitted_source
from gateway.services import Services, UsesServices
from gateway.settings import GatewaySettings
from gateway.torchserve.model_folder import find_model
from searcher.errors import CollectionMissing, SearcherError
from sources.errors import FetchRefused
from sources.fetching.fetcher import allowed

#: A detector is named, never a path.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DOCUMENT = re.compile(r"[A-Za-z0-9._-]{1,128}")
_MOST_DOCUMENTS = 1000
IMAGES = "images:"


def _extraction(services: UsesServices) -> Extraction:
    assert services.extraction is not None  # there is a port for these routes
    return services.extraction


UsesExtraction = Annotated[Extraction, Depends(_extraction)]


def document(given: str, services: Services) -> str:
    """Returns the address of the document ``given``, whose host may be asked, or whose folder or file lies below the
    datalake's root, or which is one of the gateway's own collections. Blocks. Raises RequestRefused (422)."""
    given, settings = given.strip(), services.settings
    if given.startswith(COLLECTION):
        return _collection(given, services)
    if is_url(given.removeprefix(IMAGES)):
        _check_url(given.removeprefix(IMAGES), settings)
        return given
    return admitted_source(given, settings)


def _collection(given: str, services: Services) -> str:
    name = given.removeprefix(COLLECTION)
    try:
        services.collections.collections.open(name)
    except CollectionMissing as error:
        raise RequestRefused(HTTPStatus.UNPROCESSABLE_ENTITY, f"source: {error}") from error
    if services.settings.search_needs_key and not os.environ.get("HASHLAKE_KEY"):
        raise RequestRefused(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "source: searching needs a key here, and reading a collection does: start the gateway with one in "
            "HASHLAKE_KEY",
        )
    return given


def manifest(given: str, settings: GatewaySettings) -> str:
    """Returns the URL ``given``, whose host may be asked. Raises RequestRefused (422)."""
    given = given.strip()
    _check_url(given, settings)
    return given


def detector(given: str | None, settings: GatewaySettings) -> str:
    """Returns the name of the detector ``given``, or of the one that is used without a name. Raises RequestRefused
    (422)."""
    name = (given or "").strip().removesuffix(".pt") or settings.extractor_detector
    if not _NAME.fullmatch(name):
        raise RequestRefused(HTTPStatus.UNPROCESSABLE_ENTITY, "a detector's name has letters, digits, dots and dashes")
    return name


def backbone(given: str | None, services: Services) -> tuple[str, str]:
    """Returns the name, and the path below the models folder, of the model ``given``, by its path or a name that it
    answers to; without one, of the datalake's. Blocks. Raises RequestRefused (422, 409)."""
    folder = services.settings.models
    if given and given.strip():
        path = find_model(folder, given.strip())
        return given.strip(), path.relative_to(folder.resolve()).as_posix()
    versions = services.versions
    with suppress(SearcherError):
        current = versions.current()
        made_with = versions.store.manifest(current).model.sha256 if current else None
        for model in services.models.models(made_with):
            if model.current:
                return model.model_path.removesuffix(".pt"), model.model_path
    raise RequestRefused(HTTPStatus.CONFLICT, "there is no datalake whose model could be used: name one")


def documents(given: dict[str, str]) -> dict[str, str]:
    """Returns ``given``, documents by name. Raises RequestRefused (422) for names that files cannot have."""
    if not given or len(given) > _MOST_DOCUMENTS:
        raise RequestRefused(HTTPStatus.UNPROCESSABLE_ENTITY, f"documents: name 1 to {_MOST_DOCUMENTS}")
    if not all(_DOCUMENT.fullmatch(name) for name in given):
        raise RequestRefused(
            HTTPStatus.UNPROCESSABLE_ENTITY, "documents: a name has letters, digits, dots, dashes and underscores"
        )
    return given


def callback(given: str | None, settings: GatewaySettings, usual: str) -> str | None:
    """Returns where results go: to ``given``, or to the ``usual`` route of the operator's client; None if there is
    neither. Raises RequestRefused (422)."""
    url = (given or "").strip()
    if not url and settings.extractor_client:
        url = f"{settings.extractor_client.rstrip('/')}/{usual}"
    if not url:
        return None
    _check_url(url, settings)
    return url


def _check_url(url: str, settings: GatewaySettings) -> None:
    try:
        allowed(url, settings.fetching.reach)
    except FetchRefused as error:
        raise RequestRefused(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from error
