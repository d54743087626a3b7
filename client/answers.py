"""What the gateway is asked about and what it answers, as values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

#: What ``json.loads`` gives.
Json: TypeAlias = Any
#: A JSON object that is kept with an image, None where there is none.
Metadata: TypeAlias = Mapping[str, Any] | None


@dataclass(frozen=True)
class Model:
    """The hash model that made a collection's codes. ``detail_bits`` is None where it gives no detail codes."""

    name: str
    sha256: str
    bits: int
    detail_bits: int | None


@dataclass(frozen=True)
class Journal:
    """``changes`` that are not folded into a version yet, and the ``bytes`` that the journal takes on the disk."""

    changes: int
    bytes: int


@dataclass(frozen=True)
class CollectionInfo:
    """``version`` is the base version that is served, ``versions`` all there are; ``created`` is None for the
    collection `default`, which nobody created."""

    name: str
    count: int
    model: Model
    version: str
    versions: tuple[str, ...]
    journal: Journal
    bytes: int
    created: datetime | None


@dataclass(frozen=True)
class Folded:
    """The new base ``version``, how many images it has, and how many changes went into it."""

    version: str
    count: int
    folded: int


@dataclass(frozen=True)
class Match:
    """``similarity`` is 100 for equal codes, 0 where half of the bits differ or more: 100 · (1 − 2 distance / bits)."""

    url: str
    metadata: Metadata
    similarity: float


@dataclass(frozen=True)
class NewImage:
    """An image to add: fetched by the server from ``url``, which is its name from then on."""

    url: str
    metadata: Metadata = None


@dataclass(frozen=True)
class Failure:
    """An image that could not be added, and why."""

    url: str
    error: str


@dataclass(frozen=True)
class Added:
    """How many images were new, how many the collection had already (nothing was done to them), and those that
    failed."""

    added: int
    found: int
    failed: tuple[Failure, ...]


@dataclass(frozen=True)
class StoredImage:
    """An image as ``dump`` gives and ``restore`` takes it. ``embedding`` is the code in base64, the detail code behind
    it if the model gives one. ``restore`` takes hex too, and as many ±1 or real values as the codes have bits."""

    url: str
    embedding: str | Sequence[float]
    metadata: Metadata = None


@dataclass(frozen=True)
class Image:
    """``code`` is in hex; ``thumbnail`` is a URL below the gateway's."""

    url: str
    metadata: Metadata
    code: str
    thumbnail: str


@dataclass(frozen=True)
class Pair:
    """Two images whose codes differ in ``distance`` bits."""

    url: str
    other: str
    distance: int


@dataclass(frozen=True)
class Member:
    """An image of a group, and in how many bits its code differs from that of the group's first."""

    url: str
    distance: int


@dataclass(frozen=True)
class Group:
    """Images that are near-duplicates of each other, at least in a chain."""

    images: tuple[Member, ...]
