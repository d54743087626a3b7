"""Outcomes that came before their turn: a file for each block of items, named by their numbers in the source.

    .building/.1.5.0.000000002048-000000003072    the outcomes of items 2048 to 3071, one JSON object a line

A block is written whole or not at all, so what a killed run still has to do is what has no file. The coordinator gives
the images of a block their rows when the block's turn has come, and drops the file after the next checkpoint. The files
lie beside the vectors of the unfinished build (raw_vectors.py), and are removed with them.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from indexer.outcome import Embedded, Outcome, Skipped
from searcher.versions.images import ImageFile, Sourced
from sources.source import Item


class Blocks:
    """The blocks of the build in ``folder``. One process writes them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, start: int, outcomes: Sequence[Outcome]) -> None:
        """Write the outcomes of the items from number ``start`` on. Raises OSError."""
        path = self._path(start, len(outcomes))
        unfinished = path.with_suffix(".block")
        with unfinished.open("w", encoding="ascii") as lines:
            for outcome in outcomes:
                lines.write(json.dumps(_written(outcome)) + "\n")
            lines.flush()
            os.fsync(lines.fileno())
        os.replace(unfinished, path)

    def has(self, start: int, items: Sequence[Item]) -> bool:
        return self._path(start, len(items)).exists()

    def read(self, start: int, items: Sequence[Item]) -> list[Outcome]:
        """Returns the outcomes of ``items``. Raises OSError, and ValueError if they are of other items."""
        with self._path(start, len(items)).open(encoding="ascii") as lines:
            outcomes = [_read(json.loads(line)) for line in lines]
        if [outcome.item.name for outcome in outcomes] != [item.name for item in items]:
            raise ValueError("they are of other items")
        return outcomes

    def drop(self, before: int) -> None:
        """Remove the blocks of items whose numbers are below ``before``."""
        for path in self._folder.parent.glob(f".{self._folder.name}.*-*"):
            if path.stem == f".{self._folder.name}" and int(path.suffix.partition("-")[2]) <= before:
                path.unlink()

    def _path(self, start: int, count: int) -> Path:
        return self._folder.parent / f".{self._folder.name}.{start:012}-{start + count:012}"


def _written(outcome: Outcome) -> dict[str, Any]:
    item = outcome.item
    return {
        "item": [item.name, item.kind, item.version, item.parent, item.metadata],
        "images": [_written_image(image) for image in outcome.images],
    }


def _written_image(image: Embedded | Skipped) -> dict[str, Any]:
    if isinstance(image, Skipped):
        return {"path": image.path, "reason": image.reason}
    file, sourced = image.file, image.sourced
    return {
        "file": [file.path, file.size, file.mtime_ns, file.digest.hex()],
        "vectors": {name: vector.hex() for name, vector in image.vectors.items()},
        "reused": image.reused,
        "sourced": [sourced.version, sourced.metadata],
    }


def _read(written: dict[str, Any]) -> Outcome:
    return Outcome(Item(*written["item"]), [_read_image(image) for image in written["images"]])


def _read_image(written: dict[str, Any]) -> Embedded | Skipped:
    if "reason" in written:
        return Skipped(written["path"], written["reason"])
    path, size, mtime_ns, digest = written["file"]
    vectors = {name: bytes.fromhex(digits) for name, digits in written["vectors"].items()}
    file = ImageFile(path, size, mtime_ns, bytes.fromhex(digest))
    return Embedded(file, vectors, written["reused"], Sourced(*written["sourced"]))
