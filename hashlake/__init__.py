"""hashlake for Python programs: a client for a gateway's datalake and collections.

>>> from hashlake import Client
>>> with Client("http://127.0.0.1:8000", key="hlk_…") as client:
...     shoes = client.collection("shoes")
...     matches = shoes.search("https://example.org/boot.jpg", limit=3)

``AsyncClient`` has the same methods, to be awaited. Names are imported on first use, so the command line and the
server start without the client.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hashlake.client.answers import (
        Added,
        CollectionInfo,
        Copied,
        Engine,
        Failure,
        Folded,
        Group,
        Image,
        Index,
        Job,
        Journal,
        Machine,
        Match,
        Member,
        Model,
        NewImage,
        Pair,
        Reindexed,
        Result,
        Results,
        StoredImage,
        Version,
    )
    from hashlake.client.async_client import AsyncClient, AsyncCollection
    from hashlake.client.client import Client
    from hashlake.client.collection import Collection
    from hashlake.client.errors import AlreadyInserted, BadLine, ClientError, NotUnderstood, Refused, Unreachable

__all__ = [
    "Added", "AlreadyInserted", "AsyncClient", "AsyncCollection", "BadLine", "Client", "ClientError", "Collection",
    "CollectionInfo", "Copied", "Engine", "Failure", "Folded", "Group", "Image", "Index", "Job", "Journal", "Machine",
    "Match", "Member", "Model", "NewImage", "NotUnderstood", "Pair", "Refused", "Reindexed", "Result", "Results",
    "StoredImage", "Unreachable", "Version",
]  # fmt: skip

_HOMES = (
    "hashlake.client.client", "hashlake.client.collection", "hashlake.client.async_client", "hashlake.client.answers",
    "hashlake.client.errors",
)  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in __all__:
        for home in map(import_module, _HOMES):
            if hasattr(home, name):
                return getattr(home, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
