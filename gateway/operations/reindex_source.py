"""Which sources a request may name, and how the indexer is told of them.

    s3://bucket/prefix, gs://…, az://…     with the gateway's own credentials
    iiif:https://host/manifest.json        if that host may be asked (HASHLAKE_FETCH_…)
    a folder, an archive, urls:FILE, …     below the datalake's root, once links are resolved
    what HASHLAKE_SOURCE says              always

Refusals never repeat the address: it may hold what should not have been sent.
"""

import re
from http import HTTPStatus
from pathlib import Path

from contract.image_names import is_url
from contract.registry import NotRegistered
from gateway.errors import RequestRefused
from gateway.settings import GatewaySettings
from sources.errors import SourceError
from sources.fetching.web_address import parse_link
from sources.registry import SOURCES, name_of

_STORES = ("s3", "gs", "az")
_FILES = ("folder", "zip", "tar", "urls", "iiif")
#: user:password@host, and the parameters by which signed addresses and the like give access.
_CREDENTIALS = re.compile(r"//[^/?#]*@|[?&][^=&#]*(?:key|token|secret|passw|signature|credential|sig=)", re.IGNORECASE)


def admitted_source(source: str, settings: GatewaySettings) -> str:
    """Returns the address of ``source`` for the indexer, its path absolute. Raises RequestRefused (422)."""
    if source == settings.source:
        return source
    if not source.strip() or any(ord(character) < 32 or 127 <= ord(character) < 160 for character in source):
        raise _refused("is empty, or has control characters")
    if _CREDENTIALS.search(source):
        raise _refused("holds credentials: those of the gateway's environment are used")
    kind = name_of(source)
    rest = source.removeprefix(f"{kind}:")
    if kind not in (*_STORES, *_FILES):
        raise _refused(f"is none of {', '.join(_STORES + _FILES)}: HASHLAKE_SOURCE alone may name another one")
    try:
        SOURCES.get(kind)
    except NotRegistered as error:
        raise _refused(f"cannot be opened here: {error}") from error
    if kind in _STORES:
        _check_bucket(source)
    elif kind == "iiif" and is_url(rest):
        _check_host(rest, settings)
    else:
        return f"{kind}:{_path_below_root(rest, settings)}"
    return source


def _check_bucket(source: str) -> None:
    from sources.objects import parts_of

    if not re.fullmatch(r"[a-z0-9]+:(//[^?#]*)?", source):
        raise _refused("is no address of a bucket: write s3://bucket/prefix")
    try:
        parts_of(source)
    except SourceError as error:
        raise _refused("names no bucket") from error


def _check_host(url: str, settings: GatewaySettings) -> None:
    try:
        host = parse_link(url).host
    except ValueError as error:
        raise _refused(f"is no address of a manifest: {error}") from error
    if not settings.fetching.reach.host(host):
        raise _refused("names a host that may not be asked")


def _path_below_root(given: str, settings: GatewaySettings) -> Path:
    """Returns the path, which isn't resolved: names of pictures begin with it."""
    path = (settings.datalake_root / given).absolute()
    try:
        if path.resolve(strict=True).is_relative_to(settings.datalake_root.resolve()):
            return path
    except (OSError, RuntimeError, ValueError):  # RuntimeError: links that lead round
        pass
    raise _refused("names nothing below the datalake's root")


def _refused(why: str) -> RequestRefused:
    return RequestRefused(HTTPStatus.UNPROCESSABLE_ENTITY, f"source {why}")
