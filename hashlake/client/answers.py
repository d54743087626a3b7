"""The values that requests to the gateway and its answers consist of."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from hashlake.client.pictures_shown import row_of

#: A value from ``json.loads``.
Json: TypeAlias = Any
#: A JSON object stored with an image, or None.
Metadata: TypeAlias = Mapping[str, Any] | None


@dataclass(frozen=True)
class Model:
    """The hash model that made a collection's codes. ``detail_bits`` is None if it gives no detail codes."""

    name: str
    sha256: str
    bits: int
    detail_bits: int | None


@dataclass(frozen=True)
class CopyRule:
    """Two images are called copies if their vectors of the kind ``space``, which have ``bits`` bits, differ in at most
    ``max_distance`` of them."""

    space: str
    bits: int
    max_distance: int


@dataclass(frozen=True)
class Journal:
    """The number of ``changes`` not yet folded into a version, and the ``bytes`` of the journal on disk."""

    changes: int
    bytes: int


@dataclass(frozen=True)
class Index:
    """An approximate index: ``recall`` is the share of the nearest ten that it found of ``queries`` images, when there
    were ``images``."""

    kind: str
    recall: float
    queries: int
    images: int
    measured: datetime


@dataclass(frozen=True)
class Engine:
    """Another engine than the index store: its ``name``, the ``address`` without credentials, and the ``place`` there.
    ``made``: whether it is deleted with the collection. ``index`` is None where every vector is compared."""

    name: str
    address: str
    place: str
    made: bool
    index: Index | None = None


@dataclass(frozen=True)
class CollectionInfo:
    """``version`` is the served base version, ``versions`` are all versions; where another ``engine`` keeps the
    collection there are none, and ``version``, ``journal`` and ``bytes`` are None. ``created`` is None for the
    collection `default`, which nobody created; ``copies`` is None from an older gateway. ``aliases`` are further names
    of it."""

    name: str
    count: int
    model: Model
    version: str | None
    versions: tuple[str, ...]
    journal: Journal | None
    bytes: int | None
    created: datetime | None
    copies: CopyRule | None = None
    engine: Engine | None = None
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Folded:
    """The new base ``version``, its number of images, and the number of changes folded into it."""

    version: str
    count: int
    folded: int


@dataclass(frozen=True)
class Reindexed:
    """The version that every worker serves now, and the one before; None if there was none."""

    index_database_version: str
    previous_index_database_version: str | None


@dataclass(frozen=True)
class Copied:
    """A copy with ``count`` images, of which ``added`` were missing; ``removed`` were beyond them. ``checksum`` is of
    both the same."""

    count: int
    added: int
    removed: int
    checksum: str


@dataclass(frozen=True)
class Match:
    """``similarity`` is 100 for equal codes, 0 if half of the bits or more differ: 100 · (1 − 2 distance / bits); where
    the model makes embeddings, 100 times their cosine. ``closeness``, from 0 to 1, is the share of pictures so far
    apart that show the same kind of thing or, by detail, are the very same picture; None where that wasn't measured
    for the model. ``differing_bits`` are those of the codes, or the detail codes by rank, where a picture was looked
    for in all positions."""

    url: str
    metadata: Metadata
    similarity: float
    closeness: float | None = None
    differing_bits: int | None = None


class Matches(list[Match]):
    """The images found, best first. ``nothing_like_it``: whether even the best is hardly like the query; None where
    closeness is. A notebook shows their pictures."""

    nothing_like_it: bool | None = None
    #: Asks for the thumbnail of an image by its URL.
    _thumbnail: Callable[[str], bytes] | None = None

    def _repr_html_(self) -> str:
        return row_of(
            ((match.url, _caption(match.closeness, f"{match.similarity:g}")) for match in self), self._thumbnail
        )


@dataclass(frozen=True)
class Result:
    """An image of the datalake. ``row`` is its number in the version, None if it was added since; ``distance`` is in
    bits of the codes or, with the rank "detail", of the detail codes, or 1 − cos of embeddings; ``closeness`` as in
    Match; ``code`` in hex, as a search takes it; ``image`` and ``thumbnail`` are URLs relative to the gateway's.
    Where some images are regions, ``parent`` is the picture that this one is on, and ``box`` its left, top, width and
    height there."""

    row: int | None
    path: str
    distance: float
    closeness: float | None
    code: str
    image: str
    thumbnail: str
    parent: str | None = None
    box: tuple[int, int, int, int] | None = None


@dataclass(frozen=True)
class CroppedBox:
    """Where the main object of a query is, in pixels of the upright picture."""

    x: int
    y: int
    width: int
    height: int
    score: float
    label: str


class Results(list[Result]):
    """The images found, best first, in the index ``version``. ``code`` and ``detail_code`` are the query's, in hex:
    sent again, they find the same. With ``crop``, ``cropped_image`` is what was looked for, a JPEG, and ``cropped_box``
    where it is, None if no object was found. A notebook shows their pictures."""

    version: str
    code: str
    detail_code: str | None = None
    nothing_like_it: bool | None = None
    cropped_image: bytes | None = None
    cropped_box: CroppedBox | None = None
    #: Asks for what is at a URL relative to the gateway's.
    _asked: Callable[[str], bytes] | None = None

    def _repr_html_(self) -> str:
        places = {each.path: each.thumbnail for each in self}
        asked = self._asked
        thumbnail = None if asked is None else lambda path: asked(places[path])
        return row_of(((each.path, _caption(each.closeness, f"{each.distance:g}")) for each in self), thumbnail)


def _caption(closeness: float | None, otherwise: str) -> str:
    return otherwise if closeness is None else f"{closeness:.0%}"


@dataclass(frozen=True)
class Version:
    """An index version of ``count`` images; ``skipped``: those of the listing that it lacks. ``damaged``: the file that
    isn't what was published, None if none is known of."""

    version: str
    created: datetime
    count: int
    skipped: int
    mode: str
    model: Model
    bytes: int
    current: bool
    damaged: str | None = None


@dataclass(frozen=True)
class Job:
    """A job: "running", or how it ended; ``done`` of ``total`` images; ``message``: why it failed. ``kind``: "reindex",
    or "promote" for one that switches to a version of another model."""

    id: str
    state: str
    phase: str
    done: int
    total: int
    message: str
    created: datetime
    finished: datetime | None = None
    kind: str = "reindex"


@dataclass(frozen=True)
class Disk:
    """A folder of the server, the ``bytes`` that its files take, and what is ``free`` of the ``total`` on its disk."""

    folder: str
    bytes: int
    free: int
    total: int


@dataclass(frozen=True)
class Memory:
    """Bytes of the machine's memory: all of it, what a new program could take, and what the gateway's process and the
    workers with their models take; ``models`` is None if these don't say."""

    total: int
    available: int
    gateway: int
    models: int | None


@dataclass(frozen=True)
class Damage:
    """A ``file`` of a version that isn't what was published."""

    collection: str
    version: str
    file: str


@dataclass(frozen=True)
class Checksums:
    """How many index versions are ``whole``, how many ``unread`` as yet, and the ``damaged`` ones. ``oldest``: when the
    one was read that was read longest ago."""

    whole: int
    unread: int
    damaged: list[Damage]
    oldest: datetime | None


@dataclass(frozen=True)
class Machine:
    """The gateway's machine at a glance."""

    cores: int
    disks: list[Disk]
    memory: Memory
    checksums: Checksums


@dataclass(frozen=True)
class NewImage:
    """An image to add. The server fetches it from ``url``, which becomes its name."""

    url: str
    metadata: Metadata = None


@dataclass(frozen=True)
class Failure:
    """An image that could not be added, and why."""

    url: str
    error: str


@dataclass(frozen=True)
class Added:
    """How many images were ``added``, how many the collection already had (they are unchanged), and which failed."""

    added: int
    found: int
    failed: tuple[Failure, ...]


@dataclass(frozen=True)
class StoredImage:
    """An image as ``dump`` gives it and ``restore`` takes it. ``embedding`` is the code in base64, followed by the
    detail code if the model gives one. ``restore`` also takes hex, or as many ±1 or real values as the codes have
    bits. Where the model makes embeddings, they are numbers, and ``code`` is the code; one that isn't given is made of
    the embedding. ``model`` is the model that made it, in full or in short; None in older dumps."""

    url: str
    embedding: str | Sequence[float]
    metadata: Metadata = None
    model: str | Mapping[str, Any] | None = None
    code: str | None = None


@dataclass(frozen=True)
class Image:
    """``code`` is in hex; ``thumbnail`` is a URL relative to the gateway's."""

    url: str
    metadata: Metadata
    code: str
    thumbnail: str


@dataclass(frozen=True)
class Pair:
    """Two images whose detail codes differ in ``distance`` bits, or whose codes do where the model gives no others.
    ``same_file``: their files are the same byte for byte; equal codes alone don't say so."""

    url: str
    other: str
    distance: int
    same_file: bool = False


@dataclass(frozen=True)
class Member:
    """An image of a group. ``distance`` and ``same_file`` are to the group's first image, as in ``Pair``."""

    url: str
    distance: int
    same_file: bool = False
    metadata: Metadata = None


@dataclass(frozen=True)
class Group:
    """Near-duplicates: the first image, which would be kept, and its copies."""

    images: tuple[Member, ...]
