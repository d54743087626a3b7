"""What a collection must be, by a dict and brute force; and versions that a collection may be laid over."""

import json
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import count

import numpy as np

from searcher.codes import DETAILS_FILE, INDEX_FILE, write_codes
from searcher.filters import Condition, parse_filter
from searcher.images import IMAGES_FILE, ImageTable
from searcher.journal import Addition
from searcher.manifest import Manifest, Mode, ModelIdentity
from searcher.overlay import Image, View
from searcher.search import Query, Rank
from searcher.store import IndexStore
from searcher.table_builder import build_tables
from searcher.tables import TABLE_FILES, write_tables

MODEL = ModelIdentity(name="grid", sha256="a" * 64, bits=16, precision="float32", preprocessing={"image_size": 16})
DETAILED = MODEL.model_copy(update={"name": "grid with details", "sha256": "d" * 64, "detail_bits": 8})

#: Filters, and what they mean.
FILTERS: list[tuple[Condition | None, Callable[[object], bool]]] = [
    (None, lambda _: True),
    (parse_filter({"size": {"$gt": 1}}), lambda given: isinstance(given, dict) and given.get("size", 0) > 1),
    (parse_filter({"kind": {"$exists": True}}), lambda given: isinstance(given, dict) and "kind" in given),
    (parse_filter({"$not": {"size": 1}}), lambda given: not (isinstance(given, dict) and given.get("size") == 1)),
]


def addition(
    path: str, code: int, detail: int | None = None, metadata: str | None = None, digest: bytes | None = None
) -> Addition:
    """An image with a code of 16 bits and, if it has one, a detail code of 8."""
    return Addition(
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
    rows: Sequence[Addition] = (),
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
    codes = np.frombuffer(b"".join(row.code for row in rows), np.uint8).reshape(len(rows), model.bits // 8)
    write_codes(codes, folder / INDEX_FILE)
    files = [INDEX_FILE, IMAGES_FILE]
    if model.detail_bits is not None:
        details = np.frombuffer(b"".join(row.detail or b"" for row in rows), np.uint8).reshape(len(rows), 1)
        write_codes(details, folder / DETAILS_FILE)
        files.append(DETAILS_FILE)
    if mode == "unnecessary fast":
        write_tables(build_tables(codes), folder)
        files += TABLE_FILES
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
    changes: dict[str, tuple[int, Addition | None]] = field(default_factory=dict)
    versions: dict[str, tuple[list[Addition], int]] = field(default_factory=dict)
    current: str = ""

    def add(self, additions: Sequence[Addition]) -> None:
        for each in additions:
            self._change(each.path, each)

    def remove(self, paths: Sequence[str]) -> int:
        there = {image.path for image in self.images()}
        doomed = [path for path in dict.fromkeys(paths) if path in there]
        for path in doomed:
            self._change(path, None)
        return len(doomed)

    def _change(self, path: str, to: Addition | None) -> None:
        self.last += 1
        self.changes[path] = (self.last, to)

    def unfolded(self) -> int:
        _, folded = self.versions[self.current]
        return sum(seq > folded for seq, _ in self.changes.values())

    def images(self) -> list[Addition]:
        """All images, in the order of answers: the version's, then what was added, in the order of adding."""
        rows, folded = self.versions[self.current]
        later = {path: change for path, change in self.changes.items() if change[0] > folded}
        added = sorted((seq, image) for seq, image in later.values() if image is not None)
        return [row for row in rows if row.path not in later] + [image for _, image in added]


def as_image(given: Addition) -> Image:
    return Image(given.path, given.code, given.detail, given.metadata, given.digest, given.fetched)


def apart(one: bytes, other: bytes | None) -> int:
    return (int.from_bytes(one, "big") ^ int.from_bytes(other or b"", "big")).bit_count()


def query(code: int, detail: int | None, top_k: int, max_distance: int | None = None, rank: Rank = "distance") -> Query:
    return Query(
        np.frombuffer(code.to_bytes(2, "big"), np.uint8),
        None if detail is None else np.array([detail], np.uint8),
        top_k,
        max_distance,
        rank,
    )


def right_answer(images: Sequence[Addition], asked: Query) -> list[tuple[str, int, str | None]]:
    """Path, distance and metadata of the nearest of ``images``, every distance counted."""
    ranked = []
    for place, image in enumerate(images):
        distance = apart(image.code, asked.code.tobytes())
        second = 0 if asked.detail is None else apart(asked.detail.tobytes(), image.detail)
        if asked.max_distance is None or distance <= asked.max_distance:
            key = (second, distance, place) if asked.rank == "detail" else (distance, second, place)
            ranked.append((key, (image.path, distance, image.metadata)))
    return [answer for _, answer in sorted(ranked)[: asked.top_k]]


def assert_is(view: View, images: Sequence[Addition], paths: Sequence[str], queries: Sequence[Query]) -> None:
    """``view`` holds just ``images``; ``paths`` are all that may be looked up."""
    assert view.count == len(images)
    by_path = {image.path: as_image(image) for image in images}
    assert {path: found for path in paths if (found := view.image(path))} == by_path
    codes, named = view.all_codes()
    places = range(len(codes))
    assert sorted(zip(named(places), map(bytes, codes), strict=True)) == sorted(
        (image.path, image.code) for image in images
    )
    for (condition, meets), limit in zip(FILTERS, (3, 1, 2, 50), strict=True):
        meeting = [image for image in images if meets(image.metadata and json.loads(image.metadata))]
        assert pages(view, limit, condition) == sorted(map(as_image, meeting), key=lambda image: image.path)
        if condition is not None:
            assert view.number(condition) == len(meeting)
        answers = [
            list(zip(each.paths, each.distances, each.metadata, strict=True))
            for each in view.search(queries, condition)
        ]
        assert answers == [right_answer(meeting, asked) for asked in queries]


def pages(view: View, limit: int, condition: Condition | None = None) -> list[Image]:
    """All images, page by page."""
    found: list[Image] = []
    for _ in count():
        page = view.images(found[-1].path if found else "", limit, condition)
        assert len(page) <= limit
        found += page
        if len(page) < limit:
            return found
    raise AssertionError


def contents(view: View) -> dict[str, bytes]:
    return {image.path: image.code for image in view.images(limit=1 << 30)}
