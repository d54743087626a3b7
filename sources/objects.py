"""Objects in a store as a source: S3 and what speaks its protocol, Google Cloud Storage, Azure Blob Storage.

    s3://bucket/prefix ─▶ pages of 1,000 keys ─▶ pictures, by their keys ─▶ a file of items ─▶ many GETs at once
                                                 the ETag is the version: what has the same needn't be read again

Keys are names, and kept to the byte: where an account's key is known, those that are no clean paths, and listings, take
another way (s3_requests.py) than the client that reads all others.

What the store refuses for one object is that object's reason. A store that fails after all tries ends the run, which
the same command continues; else an hour without a network would publish a version without pictures.
"""

import configparser
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any, cast

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import AzureStore, GCSStore, S3Store, from_url

from contract.amounts import bytes_beyond
from pictures.formats import HEAD, recognised
from pictures.limits import DEFAULT_LIMITS
from sources.errors import SourceError, Unreadable
from sources.kinds import kind_by_name, suffix_of
from sources.left_out import LeftOut
from sources.s3_requests import S3Requests, StoreFailed
from sources.selection import PICTURES, Selection
from sources.source import Item
from sources.spool import Spool, Spooled, spooled

_log = logging.getLogger(__name__)

#: Stores by the schemes of their addresses.
SCHEMES = ("s3", "gs", "az")
#: GETs that are under way at once.
_AT_ONCE = 32
#: Keys to a page, the most that S3 gives.
_PAGE = 1000
#: 5xx, 429 and broken connections are tried again, after 0.1 s, 0.2 s, … with jitter.
_RETRIES: Any = {
    "max_retries": 6,
    "retry_timeout": timedelta(seconds=60),
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=10), "base": 2},
}
_NO_PATH = "its key is no clean path; such keys are read with an account's key, S3_ACCESS_KEY, alone"
#: What users of S3-compatible stores set, beside the variables of AWS itself (AWS_ACCESS_KEY_ID and so on).
_VARIABLES = {
    "endpoint": "S3_ENDPOINT",
    "access_key_id": "S3_ACCESS_KEY",
    "secret_access_key": "S3_SECRET_KEY",
    "region": "S3_REGION",
}


class Bucket:
    """Reads objects of one bucket, by their names, ``s3://bucket/key``. Threads may share it."""

    def __init__(self, scheme: str, bucket: str) -> None:
        """Raises SourceError for settings that the store's client doesn't take."""
        self.root = f"{scheme}://{bucket}/"
        config: Any = _config() if scheme == "s3" else {}
        plain = config.get("endpoint", os.environ.get("AWS_ENDPOINT_URL", "")).startswith("http://")
        try:
            opened = from_url(
                self.root,
                config=config,
                client_options={"allow_http": plain, "timeout": "60s", "connect_timeout": "5s"},
                retry_config=_RETRIES,
            )
        except (BaseError, ValueError) as error:
            raise SourceError(f"{self.root} cannot be opened: {_first_line(error)}") from error
        self._store = cast("S3Store | GCSStore | AzureStore", opened)
        self._exact = _exact_requests(bucket, config) if scheme == "s3" else None

    def __reduce__(self) -> tuple[type["Bucket"], tuple[str, str]]:
        """Elsewhere it is opened anew, with the settings there: secrets stay here."""
        scheme, _, bucket = self.root.rstrip("/").partition("://")
        return Bucket, (scheme, bucket)

    def names(self, prefix: str) -> Iterator[tuple[str, str]]:
        """Yields key and version of every object below ``prefix``, in the store's order, but for empty ones without a
        suffix: consoles make those for folders. Raises SourceError."""
        if self._exact is not None:
            yield from self._exact_names(self._exact, prefix)
            return
        pages = obstore.list(self._store, prefix=prefix or None, chunk_size=_PAGE)
        try:
            for page in pages:
                for meta in page:
                    if meta["size"] == 0 and not suffix_of(meta["path"].encode()):
                        continue
                    yield meta["path"], meta["e_tag"] or f"{meta['size']} bytes, {meta['last_modified']:%FT%T.%fZ}"
        except (BaseError, OSError) as error:
            raise SourceError(f"{self.root}{prefix} cannot be listed: {_first_line(error)}") from error

    def _exact_names(self, store: S3Requests, prefix: str) -> Iterator[tuple[str, str]]:
        try:
            for key, version, size in store.names(f"{prefix}/" if prefix else "", _PAGE):
                if size or suffix_of(key.encode()):
                    yield key, version
        except StoreFailed as error:
            raise SourceError(f"{self.root}{prefix} cannot be listed: {error}") from error

    def read(self, item: Item) -> tuple[Item, bytes]:
        """Returns the item with its ETag, and its content. Raises Unreadable, and SourceError if the store fails."""
        key = item.name.removeprefix(self.root)
        if not _is_path(key):
            return self._read_exactly(item, key)
        try:
            if kind_by_name(key.encode()) is None:
                self._require_picture(key)
            found = obstore.get(self._store, key)
            size = found.meta["size"]
            if size > DEFAULT_LIMITS.max_bytes:
                raise Unreadable(f"the image has {bytes_beyond(size, DEFAULT_LIMITS.max_bytes)}")
            return replace(item, version=found.meta["e_tag"] or item.version), bytes(found.bytes())
        except FileNotFoundError as error:
            raise Unreadable("there is no such object") from error
        except (PermissionDeniedError, UnauthenticatedError) as error:
            raise Unreadable("the store refuses to give it: its credentials don't allow it") from error
        except (BaseError, OSError) as error:
            raise SourceError(f"{item.name} cannot be read: {_first_line(error)}") from error

    def _read_exactly(self, item: Item, key: str) -> tuple[Item, bytes]:
        store, most = self._exact, DEFAULT_LIMITS.max_bytes
        if store is None:
            raise Unreadable(_NO_PATH)
        try:
            if kind_by_name(key.encode()) is None and recognised(store.get(key, most, HEAD).content) is None:
                raise Unreadable("not an image, by its name and its first bytes")
            found = store.get(key, most)
        except StoreFailed as error:
            if error.status == HTTPStatus.NOT_FOUND:
                raise Unreadable("there is no such object") from error
            if error.status in (HTTPStatus.FORBIDDEN, HTTPStatus.UNAUTHORIZED):
                raise Unreadable("the store refuses to give it: its credentials don't allow it") from error
            raise SourceError(f"{item.name} cannot be read: {error}") from error
        if found.size > most:
            raise Unreadable(f"the image has {bytes_beyond(found.size, most)}")
        return replace(item, version=found.etag or item.version), found.content

    def link(self, name: str, seconds: int) -> str | None:
        """Returns a URL at which everybody can read the object called ``name`` for so long; None for a key that is no
        clean path, and that browsers wouldn't ask for as it is. Raises SourceError."""
        key = name.removeprefix(self.root)
        if not _is_path(key):
            steps = {".", ".."} & {*key.split("/")}
            return None if self._exact is None or steps else self._exact.link(key, seconds)
        try:
            return obstore.sign(self._store, "GET", key, timedelta(seconds=seconds))
        except (BaseError, ValueError, OSError) as error:
            raise SourceError(f"{self.root} gives no links: {_first_line(error)}") from error

    def _require_picture(self, key: str) -> None:
        """Raises Unreadable unless the object, whose name doesn't tell, begins like a picture."""
        head = bytes(obstore.get_range(self._store, key, start=0, end=HEAD))
        if recognised(head) is None:
            raise Unreadable("not an image, by its name and its first bytes")


class ObjectSource(Spooled):
    """The objects of ``bucket`` that ``spool`` lists."""

    ahead = _AT_ONCE

    def __init__(self, bucket: Bucket, spool: Spool) -> None:
        super().__init__(spool)
        self._bucket = bucket

    def with_version(self, item: Item) -> Item:
        """Returns ``item`` as it is: listing has told its version."""
        return item

    def read(self, item: Item) -> tuple[Item, bytes]:
        return self._bucket.read(item)


@contextmanager
def open_objects(address: str, selection: Selection = PICTURES) -> Iterator[ObjectSource]:
    """Yields a source of the pictures below ``address``: ``s3://bucket/prefix``; ``s3://`` alone means the bucket
    S3_BUCKET_NAME. Raises SourceError."""
    scheme, bucket, prefix = parts_of(address)
    opened = Bucket(scheme, bucket)
    left_out = LeftOut()

    def items() -> Iterator[Item]:
        for key, version in opened.names(prefix):
            if selection.has(key.removeprefix(prefix), left_out):
                yield Item(opened.root + key, version=version)

    with spooled(items(), opened.root + prefix) as spool:
        if left_out.total():
            _log.warning("%s", left_out)
        if not spool.count:
            raise SourceError("; ".join(filter(None, [f"no image below {address}", str(left_out)])))
        yield ObjectSource(opened, spool)


def parts_of(address: str) -> tuple[str, str, str]:
    """Returns scheme, bucket and prefix of ``address``. Raises SourceError."""
    scheme, _, rest = address.partition(":")
    bucket, _, prefix = rest.removeprefix("//").partition("/")
    if not bucket and scheme == "s3":
        bucket = os.environ.get("S3_BUCKET_NAME", "")
    if not bucket:
        wanted = " or set S3_BUCKET_NAME" if scheme == "s3" else ""
        raise SourceError(f"{address} names no bucket: write {scheme}://bucket/prefix{wanted}")
    return scheme, bucket, prefix.rstrip("/")


def _is_path(key: str) -> bool:
    """Whether ``key`` means the same as a path: it has no empty step, none that is a dot or two, no control
    characters."""
    return not any(step in ("", ".", "..") for step in key.split("/")) and key.isprintable()


def _exact_requests(bucket: str, config: Mapping[str, str]) -> S3Requests | None:
    """Returns what reads ``bucket`` by keys as they are; None where nobody has told an account's key, or where the
    bucket has a host of its own."""
    own = os.environ
    ours = "access_key_id" in config
    key, secret, token = (
        config.get(name) if ours else own.get(f"AWS_{name.upper()}")
        for name in ("access_key_id", "secret_access_key", "session_token")
    )
    if not key or not secret or own.get("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "").lower() == "true":
        return None
    region = config.get("region") or own.get("AWS_REGION") or own.get("AWS_DEFAULT_REGION") or "us-east-1"
    told = config.get("endpoint") or own.get("AWS_ENDPOINT_URL") or own.get("AWS_ENDPOINT")
    return S3Requests(told or f"https://s3.{region}.amazonaws.com", bucket, region, key, secret, token)


def _config() -> dict[str, str]:
    config = {key: text for key, variable in _VARIABLES.items() if (text := os.environ.get(variable))}
    if "access_key_id" not in config and "AWS_ACCESS_KEY_ID" not in os.environ:
        config |= _shared_credentials()
    return config


def _shared_credentials() -> dict[str, str]:
    """Returns the keys in AWS's file of credentials, if there is one."""
    path = Path(os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials").expanduser()
    profiles = configparser.RawConfigParser()
    try:
        profiles.read(path, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError) as error:
        raise SourceError(f"{path} is no file of credentials") from error  # never the line: it may hold a key
    name = os.environ.get("AWS_PROFILE") or "default"
    given = profiles[name] if profiles.has_section(name) else {}
    known = {"aws_access_key_id": "access_key_id", "aws_secret_access_key": "secret_access_key",
             "aws_session_token": "session_token"}  # fmt: skip
    return {key: given[spelled] for spelled, key in known.items() if spelled in given}


def _first_line(error: Exception) -> str:
    """Returns the error's first line without what follows a question mark, where signatures are."""
    first = str(error).strip().partition("\n")[0]
    return first.partition("?")[0] + (first[first.find(" in ") :] if "?" in first and " in " in first else "")
