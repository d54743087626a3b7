"""What clients of the extraction API may name: documents, detectors and callbacks, checked at the door."""

import re
from http import HTTPStatus
from typing import Annotated

from fastapi import Depends

from contract.image_names import is_url
from gateway.errors import RequestRefused
from gateway.extractor.extraction import Extraction
from gateway.operations.reindex_source import admitted_source
from gateway.services import UsesServices
from gateway.settings import GatewaySettings
from sources.errors import FetchRefused
from sources.fetching.fetcher import allowed

#: A detector is named, never a path.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_IMAGES = "images:"


def _extraction(services: UsesServices) -> Extraction:
    assert services.extraction is not None  # there is a port for these routes
    return services.extraction


UsesExtraction = Annotated[Extraction, Depends(_extraction)]


def document(given: str, settings: GatewaySettings) -> str:
    """Returns the address of the document ``given``, whose host may be asked, or whose folder or file lies below the
    datalake's root. Raises RequestRefused (422)."""
    given = given.strip()
    if is_url(given.removeprefix(_IMAGES)):
        _check_url(given.removeprefix(_IMAGES), settings)
        return given
    return admitted_source(given, settings)


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
