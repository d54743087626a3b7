"""A client of the gateway's collections, for Python programs.

>>> from client import Client
>>> with Client("http://127.0.0.1:8000", key="hlk_…") as client:
...     shoes = client.collection("shoes")
...     matches = shoes.search("https://example.org/boot.jpg", limit=3)
"""

from client.answers import (
    Added,
    CollectionInfo,
    Failure,
    Folded,
    Group,
    Image,
    Journal,
    Match,
    Member,
    Model,
    NewImage,
    Pair,
    StoredImage,
)  # fmt: skip
from client.client import Client
from client.collection import Collection
from client.errors import AlreadyInserted, BadLine, ClientError, NotUnderstood, Refused, Unreachable

__all__ = [
    "Added", "AlreadyInserted", "BadLine", "Client", "ClientError", "Collection", "CollectionInfo", "Failure", "Folded",
    "Group", "Image", "Journal", "Match", "Member", "Model", "NewImage", "NotUnderstood", "Pair", "Refused",
    "StoredImage", "Unreachable",
]  # fmt: skip
