"""What a collection must be, by a dict and brute force; and versions that a collection may be laid over."""

import json
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import count
from operator import itemgetter

import numpy as np

from contract.model import ModelIdentity
from searcher.entry import Entry
from searcher.filters import Filter, parse_filter
from searcher.live.view import View
from searcher.scan.ranking import Query
from searcher.scan.tables import Mode
from searcher.versions.images import IMAGES_FILE, ImageTable
from searcher.versions.manifest import Manifest
from searcher.versions.store import IndexStore
from searcher.versions.vectors import write_vectors
from tests.vectors import entry_of, query_of, spaces_of

MODEL = ModelIdentity(name="grid", sha256="a" * 64, bits=16, precision="float32", preprocessing={"image_size": 16})
DETAILED = MODEL.model_copy(update={"name": "grid with details", "sha256": "d" * 64, "spaces": spaces_of(16, 8)})

#: Filters, and what they mean.
FILTERS: list[tuple[Filter | None, Callable[[object], bool]]] = [
    (None, lambda _: True),
    (parse_filter({"size": {"$gt": 1}}), lambda given: isinstance(given, dict) and given.get("size", 0) > 1),
    (parse_filter({"kind": {"$exists": True}}), lambda given: isinstance(given, dict) and "kind" in given),
    (parse_filter({"$not": {"size": 1}}), lambda given: not (isinstance(given, dict) and given.get("size") == 1)),
]


def addition(
    path: str, code: int, detail: int | None = None, metadata: str | None = None, digest: bytes | None = None
) -> Entry:
    """An image with a code of 16 bits and, if it has one, a detail code of 8."""
    return entry_of(
        path,
        code.to_bytes(2, "big"),
        None if detail is None else bytes([detail]),
        metadata,
        digest,
        None if digest is None else json.dumps({"etag": digest.hex()}),
    )


def publish(
    store: IndexStore,
    name: str,
    rows: Sequence[Entry] = (),
    *,
    model: ModelIdentity = MODEL,
    mode: Mode = "default",
    folded: int = 0,
    keep_current: bool = False,
    before: bool = False,
) -> Manifest:
    """Publish version ``name`` of ``rows``; ``before``: with a table as it was before collections could be changed."""
    folder = store.building(name)
    folder.mkdir(parents=True)
    vectors = {space.name: space.array([row.vectors[space.name] for row in rows]) for space in model.spaces}
    files = [*write_vectors(folder, model.spaces, vectors, mode).files, IMAGES_FILE]
    ImageTable(folder / IMAGES_FILE, writable=True).close()
    with closing(sqlite3.connect(folder / IMAGES_FILE)) as connection, connection:
        connection.executemany(
            "INSERT INTO images(row, path, size, mtime_ns, digest, metadata, fetched) VALUES (?, ?, 1, 2, ?, ?, ?)",
            ((place, row.path, row.digest or b"", row.metadata, row.fetched) for place, row in enumerate(rows)),
        )
        if before:
            for column in ("metadata", "added", "fetched"):
                connection.execute(f"ALTER TABLE images DROP COLUMN {column}")
    return store.publish(
        name, model=model, count=len(rows), skipped=0, files=files, mode=mode, folded=folded,
        keep_current=keep_current,
    )  # fmt: skip


@dataclass
class Model:
    """A collection as a dict: of each path the latest change, and what every version contains."""

    last: int = 0
    changes: dict[str, tuple[int, Entry | None]] = field(default_factory=dict)
    versions: dict[str, tuple[list[Entry], int]] = field(default_factory=dict)
    current: str = ""

    def add(self, additions: Sequence[Entry]) -> None:
        for each in additions:
            self._change(each.path, each)

    def remove(self, paths: Sequence[str]) -> int:
        there = {image.path for image in self.images()}
        doomed = [path for path in dict.fromkeys(paths) if path in there]
        for path in doomed:
            self._change(path, None)
        return len(doomed)

    def _change(self, path: str, to: Entry | None) -> None:
        self.last += 1
        self.changes[path] = (self.last, to)

    def unfolded(self) -> int:
        _, folded = self.versions[self.current]
        return sum(seq > folded for seq, _ in self.changes.values())

    def images(self) -> list[Entry]:
        """All images, in the order of answers: the version's, then what was added, in the order of adding."""
        rows, folded = self.versions[self.current]
        later = {path: change for path, change in self.changes.items() if change[0] > folded}
        added = sorted((seq, image) for seq, image in later.values() if image is not None)
        return [row for row in rows if row.path not in later] + [image for _, image in added]


def apart(one: bytes, other: bytes | None) -> int:
    return (int.from_bytes(one, "big") ^ int.from_bytes(other or b"", "big")).bit_count()


def query(code: int, detail: int | None, top_k: int, max_distance: int | None = None, rank: str = "distance") -> Query:
    return query_of(
        np.frombuffer(code.to_bytes(2, "big"), np.uint8),
        None if detail is None else np.array([detail], np.uint8),
        top_k,
        max_distance,
        rank,
    )


def right_answer(images: Sequence[Entry], asked: Query) -> list[tuple[str, int, str | None]]:
    """Path, distance of the order and metadata of the nearest of ``images``, every distance counted."""
    ranked = []
    for place, image in enumerate(images):
        distance = apart(image.vectors["code"], asked.vectors["code"].tobytes())
        second = 0
        if "detail" in asked.vectors:
            second = apart(asked.vectors["detail"].tobytes(), image.vectors.get("detail"))
        if asked.max_distance is None or distance <= asked.max_distance:
            key = (second, distance, place) if asked.rank == "detail" else (distance, second, place)
            ranked.append((key, (image.path, key[0], image.metadata)))
    return [answer for _, answer in sorted(ranked)[: asked.top_k]]


def assert_is(view: View, images: Sequence[Entry], paths: Sequence[str], queries: Sequence[Query]) -> None:
    """``view`` holds just ``images``; ``paths`` are all that may be looked up."""
    assert view.count == len(images)
    by_path = {image.path: image for image in images}
    assert {path: found for path in paths if (found := view.image(path))} == by_path
    codes, named = view.all_of()
    places = range(len(codes))
    assert sorted(
        ((*each, bytes(code)) for each, code in zip(named(places), codes, strict=True)), key=itemgetter(0)
    ) == [(image.path, image.digest, image.metadata, image.vectors["code"]) for _, image in sorted(by_path.items())]
    for (condition, meets), limit in zip(FILTERS, (3, 1, 2, 50), strict=True):
        meeting = [image for image in images if meets(image.metadata and json.loads(image.metadata))]
        assert pages(view, limit, condition) == sorted(meeting, key=lambda image: image.path)
        if condition is not None:
            assert view.number(condition) == len(meeting)
        answers = [
            list(zip(each.paths, each.distances, each.metadata, strict=True))
            for each in view.search(queries, condition)
        ]
        assert answers == [right_answer(meeting, asked) for asked in queries]


def pages(view: View, limit: int, condition: Filter | None = None) -> list[Entry]:
    """All images, page by page."""
    found: list[Entry] = []
    for _ in count():
        page = view.images(found[-1].path if found else "", limit, condition)
        assert len(page) <= limit
        found += page
        if len(page) < limit:
            return found
    raise AssertionError


def contents(view: View) -> dict[str, bytes]:
    return {image.path: image.vectors["code"] for image in view.images(limit=1 << 30)}
