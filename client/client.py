"""``Client``: the collections of one gateway, from Python.

Client ─▶ collection("shoes") ─▶ add, search, dump, …
└─ create, list, fold and delete collections
"""

from dataclasses import dataclass
from types import TracebackType
from typing import Self

from pydantic import TypeAdapter

from client.answers import CollectionInfo, Folded
from client.collection import Collection
from client.connection import Connection, quoted

URL = "http://127.0.0.1:8000"
#: A gateway that adds hundreds of images from a slow server may say nothing for minutes.
SECONDS = 600.0


@dataclass(frozen=True)
class _Infos:
    collections: list[CollectionInfo]


_infos = TypeAdapter(_Infos)
_info = TypeAdapter(CollectionInfo)
_folded = TypeAdapter(Folded)


class Client:
    """The gateway at ``url``.

    ``key`` is an API key: an admin key to change something, a search key to look, none where the gateway asks for none.
    ``timeout`` is how many seconds the server may say nothing, None for any time. What only reads, and adding and
    restoring, which may happen twice, are tried up to three times when a connection breaks. Threads may share a client.

    Raises ValueError for a URL or a key that cannot be one. Every method raises Unreachable when no answer comes,
    Refused when the answer is an error, and NotUnderstood when it isn't a gateway's.

    >>> with Client(url, key=key) as client:
    ...     client.collection("shoes").count()
    3
    """

    def __init__(self, url: str = URL, key: str | None = None, timeout: float | None = SECONDS) -> None:
        self._connection = Connection(url, key, timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections. Not needed with ``with``.

        >>> client.close()
        """
        self._connection.close()

    def ping(self) -> None:
        """Return if the gateway answers.

        >>> client.ping()
        """
        self._connection.get("/ping")

    def collections(self) -> list[CollectionInfo]:
        """Every collection, `default` first.

        >>> [info.name for info in client.collections()]
        ['default', 'shoes']
        """
        answer = self._connection.get("/api/collections")
        return self._connection.understood(_infos, answer.content).collections

    def create(self, name: str, model_path: str | None = None) -> CollectionInfo:
        """Make an empty collection, with the model that is served, or with that in the file ``model_path`` below the
        server's models folder. Refused (409) if there is one of that name, and (422) for a path that is no model's.

        >>> client.create("hats").count
        0
        """
        answer = self._connection.post("/api/collections", {"name": name, "model_path": model_path})
        return self._connection.understood(_info, answer.content)

    def info(self, name: str) -> CollectionInfo:
        """What there is to know of a collection. Refused (404) if there is none of that name.

        >>> client.info("shoes").model.bits
        64
        """
        answer = self._connection.get(f"/api/collections/{quoted(name)}")
        return self._connection.understood(_info, answer.content)

    def delete(self, name: str) -> None:
        """Delete a collection and all that is in it, for good. Refused (404, and 409 for `default`).

        >>> client.delete("shoes")
        """
        self._connection.require_done(self._connection.delete(f"/api/collections/{quoted(name)}"))

    def fold(self, name: str) -> Folded:
        """Write a collection's changes into a new base version, however long that takes; searching goes on meanwhile.
        Refused (409) while another fold or an indexer works on it.

        >>> client.fold("shoes").folded
        3
        """
        answer = self._connection.post(f"/api/collections/{quoted(name)}/fold", waits=True)
        return self._connection.understood(_folded, answer.content)

    def collection(self, name: str) -> Collection:
        """A handle on a collection. Nothing is asked yet. ValueError for a name that no collection can have.

        >>> shoes = client.collection("shoes")
        >>> shoes.count()
        3
        """
        return Collection(self._connection, name)
