"""API keys: one SQLite file (``keys.db``), written by ``hashlake keys``, read for each request that has a key.

    keys(id TEXT PRIMARY KEY, name, role, hash, created, last_used, revoked)   times in ISO 8601, UTC

A key reads ``hlk_ID_SECRET``: 8 hexadecimal digits that anybody may see, and 192 random bits that only its owner
knows. The file holds only the secret's SHA-256. A slow hash (scrypt, argon2) would gain nothing: it makes guessing a
password expensive, but 192 random bits cannot be guessed at any speed, and every request would pay for it.

Each call opens and closes the file: threads and processes share nothing but SQLite's locks, and a key that one of them
revokes is at once refused by all.
"""

import hashlib
import hmac
import re
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from pydantic import AwareDatetime, TypeAdapter

from gateway.errors import GatewayError

KEYS_FILE = "keys.db"

Role = Literal["admin", "search"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS keys(
    id TEXT PRIMARY KEY, name TEXT NOT NULL, role TEXT NOT NULL, hash BLOB NOT NULL,
    created TEXT NOT NULL, last_used TEXT, revoked TEXT)
"""
_ROWS = "SELECT id, name, role, hash, created, last_used, revoked FROM keys"

_ID = re.compile("[0-9a-f]{8}")
# The secret's alphabet has "_" too: only the lengths say where the id ends.
_KEY = re.compile("hlk_([0-9a-f]{8})_([A-Za-z0-9_-]{32})")
_NO_HASH = bytes(32)  # compared with when the id is unknown; nobody knows a secret with this SHA-256

_LONGEST_NAME = 64
_LAST_USED_EVERY = timedelta(minutes=1)


@dataclass(frozen=True)
class ApiKey:
    """A key without its secret, fit to show. Times are in UTC, to the second."""

    id: str
    name: str
    role: Role
    created: AwareDatetime
    last_used: AwareDatetime | None = None
    revoked: AwareDatetime | None = None


_row_check = TypeAdapter(ApiKey)


class KeyStore:
    """The keys in the file ``path``, which the first key creates (mode 0600); without the file there are no keys.

    Every method raises GatewayError if the file is damaged, or cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def create(self, name: str, role: Role) -> tuple[ApiKey, str]:
        """Creates a key. Returns it and its text ``hlk_ID_SECRET``, which cannot be shown again.

        ``name`` has 1 to 64 printable characters. Raises GatewayError otherwise, or if a key in use has the name.
        """
        if not (1 <= len(name) <= _LONGEST_NAME and name.isprintable() and name == name.strip()):
            raise GatewayError(f"a key's name has 1 to {_LONGEST_NAME} printable characters, and no space at its ends")
        secret = secrets.token_urlsafe(24)
        with self._changed() as connection:
            if connection.execute("SELECT 1 FROM keys WHERE name = ? AND revoked IS NULL", (name,)).fetchone():
                raise GatewayError(f"a key is named {name} already: revoke it first, or choose another name")
            key_id = secrets.token_hex(4)
            while connection.execute("SELECT 1 FROM keys WHERE id = ?", (key_id,)).fetchone():
                key_id = secrets.token_hex(4)
            connection.execute(
                "INSERT INTO keys(id, name, role, hash, created) VALUES (?, ?, ?, ?, ?)",
                (key_id, name, role, _hash(secret), _text(_now())),
            )
            row = connection.execute(f"{_ROWS} WHERE id = ?", (key_id,)).fetchone()
            return _key(row), f"hlk_{key_id}_{secret}"

    def revoke(self, key_id: str) -> None:
        """Refuse the key from now on. Revoking it again keeps the first time.

        Raises GatewayError if no key has the id.
        """
        if not _ID.fullmatch(key_id):  # the message doesn't repeat it: it may be a whole key, secret included
            raise GatewayError("a key's id has 8 characters, of 0 to 9 and a to f, as `hashlake keys list` shows it")
        with self._opened() as connection:
            changed = connection.execute(
                "UPDATE keys SET revoked = coalesce(revoked, ?) WHERE id = ?", (_text(_now()), key_id)
            )
            if changed.rowcount == 0:
                raise GatewayError(f"no key has the id {key_id}")

    def find(self, text: str) -> ApiKey | None:
        """Returns the key whose text is ``text``; None if that is malformed, unknown or revoked.

        The time it takes reveals nothing about the secrets: an unknown id costs a comparison too.
        """
        parts = _KEY.fullmatch(text)
        if parts is None:
            return None
        key_id, secret = parts.groups()
        with self._opened() as connection:
            row = connection.execute(f"{_ROWS} WHERE id = ?", (key_id,)).fetchone()
            same = hmac.compare_digest(_NO_HASH if row is None else row["hash"], _hash(secret))
            if row is None or not same:
                return None
            key = _key(row)
            if key.revoked is not None:
                return None
            _note_use(connection, key)
            return key

    def has_admin(self) -> bool:
        """Whether an admin key is in use."""
        with self._opened() as connection:
            return bool(connection.execute("SELECT 1 FROM keys WHERE role = 'admin' AND revoked IS NULL").fetchone())

    def list(self) -> tuple[ApiKey, ...]:
        """Returns every key ever created, oldest first."""
        with self._opened() as connection:
            return tuple(_key(row) for row in connection.execute(f"{_ROWS} ORDER BY rowid"))

    @contextmanager
    def _changed(self) -> Iterator[sqlite3.Connection]:
        """Yields a connection inside a write transaction: all of its changes are made, or none."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.touch(mode=0o600)  # SQLite would create it readable for everybody
        except OSError as error:
            raise GatewayError(f"cannot write the API keys in {self._path}: {error.strerror}") from error
        with self._opened() as connection, connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """Yields a new connection, where each statement is its own transaction."""
        try:
            # Looking up a key never creates the file. "rw" also opens a file that it may only read, and, unlike "ro",
            # can repair what a killed process left half written.
            address = f"file:{quote(str(self._path.absolute()))}?mode=rw" if self._path.exists() else ":memory:"
            with closing(sqlite3.connect(address, uri=True, isolation_level=None)) as connection:
                connection.row_factory = sqlite3.Row
                connection.execute(_SCHEMA)
                yield connection
        except OSError as error:
            raise GatewayError(f"cannot use the API keys in {self._path}: {error.strerror}") from error
        except sqlite3.Error as error:
            reason = " ".join(str(error).split())  # it may quote several lines of a damaged schema
            raise GatewayError(f"cannot use the API keys in {self._path}: {reason}") from error
        except (ValueError, TypeError) as error:  # text that isn't UTF-8, an invalid time, a hash that is a number
            raise GatewayError(f"the API keys in {self._path} are damaged") from error


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _now() -> datetime:
    return datetime.now(UTC)


def _text(time: datetime) -> str:
    return time.isoformat(timespec="seconds")


def _key(row: sqlite3.Row) -> ApiKey:
    return _row_check.validate_python(dict(row))


def _note_use(connection: sqlite3.Connection, key: ApiKey) -> None:
    """Update ``last_used``, at most once a minute, and only if no lock is in the way: no request waits or fails for
    it."""
    now = _now()
    if key.last_used is None or abs(now - key.last_used) >= _LAST_USED_EVERY:  # abs: a clock may be set back
        with suppress(sqlite3.Error):
            connection.execute("PRAGMA busy_timeout = 0")
            connection.execute("UPDATE keys SET last_used = ? WHERE id = ?", (_text(now), key.id))
