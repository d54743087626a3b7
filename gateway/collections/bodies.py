"""Requests and answers of the routes of ``/api/collections``."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import AwareDatetime, BaseModel, Field, JsonValue

from contract.copies import CopyRule
from searcher.collections import Collections
from searcher.engines.configuration import ApproximateIndex
from searcher.engines.foreign import ForeignCollection
from searcher.live.collection import Collection
from searcher.open_collection import OpenCollection
from searcher.versions.journal import JOURNAL_FILE

#: Holds the time when a collection was created.
BIRTH_FILE = "collection.json"


class CollectionModel(BaseModel):
    """The model that made a collection's codes."""

    name: str = Field(description="as its card says", examples=["relahash-small-64bits"])
    sha256: str = Field(description="of the model's file, hex", examples=["9f86d081884c7d65…"])
    bits: int = Field(description="width of the codes", examples=[64])
    detail_bits: int | None = Field(description="width of the detail codes; null where there are none", examples=[256])


class JournalSize(BaseModel):
    """What is not part of a version yet."""

    changes: int = Field(description="images added, replaced or removed", examples=[12])
    bytes: int = Field(description="its size on the disk", examples=[4096])


class KeepingEngine(BaseModel):
    """Where a collection lives that isn't kept in the index store."""

    name: str = Field(description="the engine", examples=["postgresql"])
    address: str = Field(description="of its server, without credentials", examples=["postgresql://db:5432/pictures"])
    place: str = Field(description="what holds the images there", examples=["shoes"])
    made: bool = Field(description="whether it was made for this collection, and is deleted with it")
    index: ApproximateIndex | None = Field(description="what searches ask; null where they compare every vector")


class CollectionInfo(BaseModel):
    """One collection."""

    name: str = Field(description="its name", examples=["shoes"])
    aliases: list[str] = Field(description="further names by which it is found (`listAliases`)", examples=[["live"]])
    count: int = Field(description="images in it", examples=[4320])
    model: CollectionModel
    copies: CopyRule = Field(
        description="when two of its images are reported as near-duplicates, unless asked otherwise"
    )
    engine: KeepingEngine | None = Field(
        description="what keeps it, in place of versions and journal; null for the index store", examples=[None]
    )
    version: str | None = Field(
        description="the version that changes are laid over; null in another engine", examples=["0-f3"]
    )
    versions: list[str] = Field(description="all versions on the disk, by name", examples=[["0-f2", "0-f3"]])
    journal: JournalSize | None = Field(description="null in another engine")
    bytes: int | None = Field(
        description="versions and journal together, on the disk; null in another engine", examples=[1234567]
    )
    created: AwareDatetime | None = Field(
        description="UTC; null for `default`, which nobody makes", examples=["2020-05-02T12:00:00Z"]
    )


class DamagedCollection(BaseModel):
    """A collection that cannot be read."""

    name: str = Field(description="its name", examples=["hats"])
    message: str = Field(description="what is wrong", examples=["journal.db cannot be read or written (…)"])


class CollectionList(BaseModel):
    """All collections."""

    collections: list[CollectionInfo] = Field(description="`default` first, once it has a version; then by name")
    damaged: list[DamagedCollection] = Field(default=[], description="those that cannot be read, by name")


class NewCollection(BaseModel):
    """A collection to make."""

    name: str = Field(
        description="up to 64 letters, digits, dots, dashes and underscores, with a letter or digit first",
        examples=["shoes"],
    )
    model_path: str | None = Field(
        default=None,
        description="whose codes it will hold: a .pt file below the models folder, a folder holding one, or a name of "
        "a model there; unless given, the model that answers to the collection's name, or else the datalake's",
        examples=[None],
    )
    engine: str | None = Field(
        default=None,
        description="what keeps it, by its address: postgresql://USER:PASSWORD@HOST/DATABASE, or postgresql:// alone "
        "for the one in the gateway's variable PG_SERVICE_URI; or milvus://TOKEN@HOST:PORT/DATABASE, or milvus:// "
        "alone for the one in MILVUS_URI; the index store unless given",
        examples=[None],
    )
    place: str | None = Field(
        default=None,
        min_length=1,
        max_length=127,
        description="beside `engine`: the table; one that is there already is adopted, with its images. What the "
        "collection is called unless given",
        examples=[None],
    )


class WantedCopy(BaseModel):
    """Where to copy a collection."""

    to: str = Field(description="the copy's name; made if there is none", examples=["shoes-pg"])
    engine: str | None = Field(default=None, description="what keeps it if it is made, as in `createCollection`")
    place: str | None = Field(
        default=None, min_length=1, max_length=127, description="beside `engine`, as in `createCollection`"
    )


class CopiedCollection(BaseModel):
    """A collection that is equal to another one."""

    count: int = Field(description="images in each of them", examples=[4320])
    added: int = Field(description="images that were missing or differed", examples=[4320])
    removed: int = Field(description="images that the other one hasn't", examples=[0])
    checksum: str = Field(
        description="of names, vectors and metadata in the order of adding, hex: of both the same",
        examples=["0e5751c026e543b2…"],
    )


class Alias(BaseModel):
    """A further name of a collection."""

    name: str = Field(description="by which the collection is found too", examples=["live"])
    collection: str = Field(description="what the collection is called", examples=["shoes-pg"])


class AliasList(BaseModel):
    """All further names of collections."""

    aliases: list[Alias] = Field(description="by name")


class WantedAlias(BaseModel):
    """What a name should mean."""

    collection: str = Field(description="the collection that the name means from then on", examples=["shoes-pg"])
    keep: str | None = Field(
        default=None,
        description="where a collection is called by the name: what that is called from then on; it keeps its images",
        examples=["shoes-before"],
    )
    catch_up: bool = Field(
        default=False,
        description="first make the collection a copy of what the name means now (`copyCollection`); additions and "
        "removals that come meanwhile wait, and are made to the collection",
    )


class CollectionProperties(BaseModel):
    """What a collection's engine says of itself and of the collection."""

    properties: dict[str, JsonValue] = Field(
        description="by names for people to read; each engine has its own",
        examples=[{"server": "PostgreSQL 18.4", "images": 4320, "on disk": "12 MB"}],
    )


class WantedIndex(BaseModel):
    """How a collection's engine should search."""

    kind: str | None = Field(
        default=None,
        description="an approximate index that the engine has: `hnsw` for PostgreSQL, `ivf` for Milvus; null to "
        "compare every vector",
        examples=["hnsw"],
    )


class FoldedCollection(BaseModel):
    """What became of a collection's changes."""

    version: str = Field(description="the version that is current now", examples=["0-f4"])
    count: int = Field(description="images in it", examples=[4332])
    folded: int = Field(description="changes that became part of it; 0 if there were none", examples=[12])


class CollectionImage(BaseModel):
    """One image."""

    url: str = Field(description="its name", examples=["https://iiif.example.org/letters/001.jpg"])
    spelled: str | None = Field(
        description="its URL as it was added, where that is not `url`, its normal form",
        examples=["https://iiif.example.org/letters/001.jpg#top"],
    )
    metadata: dict[str, JsonValue] | None = Field(description="as it was added", examples=[{"language": "ja"}])
    code: str = Field(description="hex; empty where embeddings alone are kept", examples=["9f3a00c1d2e4f505"])
    thumbnail: str = Field(
        description="URL of a small picture", examples=["/api/collections/shoes/thumbnail?url=https%3A%2F%2F…"]
    )


class ImagePage(BaseModel):
    """A part of a collection's images."""

    images: list[CollectionImage] = Field(description="sorted by URL, by code points")
    cursor: str | None = Field(
        description="what to ask for the next part with; null after the last",
        examples=["https://iiif.example.org/letters/001.jpg"],
    )
    count: int = Field(description="how many images there are on all pages", examples=[4320])


def info_of(collections: Collections, collection: OpenCollection) -> CollectionInfo:
    """Returns the description of ``collection``, one of ``collections``: images, model, and versions and sizes or what
    keeps it."""
    view = collection.view()
    model = view.model
    about: dict[str, Any] = {
        "name": collection.name,
        "aliases": sorted(name for name, called in collections.aliases().items() if called == collection.name),
        "count": view.count,
        "model": CollectionModel(name=model.name, sha256=model.sha256, bits=model.bits, detail_bits=model.detail_bits),
        "copies": CopyRule.of(model),
        "created": _created(collection.folder),
    }
    if isinstance(collection, ForeignCollection):
        kept = collection.configuration
        engine = KeepingEngine(
            name=kept.engine, address=collection.shown, place=kept.place, made=kept.made, index=kept.index
        )
        return CollectionInfo(engine=engine, version=None, versions=[], journal=None, bytes=None, **about)
    assert isinstance(collection, Collection)
    manifests = collection.store.manifests()
    journal = sum(_size(collection.folder / f"{JOURNAL_FILE}{suffix}") for suffix in ("", "-wal", "-shm"))
    return CollectionInfo(
        engine=None,
        version=view.name,
        versions=collection.store.names(),
        journal=JournalSize(changes=collection.unfolded(), bytes=journal),
        bytes=journal + sum(entry.size for manifest in manifests for entry in manifest.files.values()),
        **about,
    )


def _created(folder: Path) -> datetime | None:
    try:
        return datetime.fromisoformat(json.loads((folder / BIRTH_FILE).read_text(encoding="utf-8"))["created"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
