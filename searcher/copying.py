"""Makes one collection a copy of another, wherever the two live.

    images of another collection? ─▶ nothing is touched
    what the copy has ─▶ fingerprints ┐
    the original, in order of adding ─┴─▶ add what is missing or differs ─▶ remove what is gone ─▶ both read: the same?

A copy that was interrupted goes on with what is missing. Images that change in the original meanwhile are noticed at
the end, and a few rounds follow them.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from typing import Any

from contract.model import ModelIdentity
from searcher.entry import Entry
from searcher.errors import CopyDiffers, ModelMismatch
from searcher.open_collection import OpenCollection

_BATCH = 2000
#: Rounds that follow an original which changes.
_ROUNDS = 3


@dataclass(frozen=True)
class Copied:
    """The copy has ``count`` images, of which ``added`` and so many ``removed`` made it one; ``checksum``, hex, is of
    all names, vectors and metadata, in the order of adding, and equals the original's."""

    count: int
    added: int
    removed: int
    checksum: str


def copy(original: OpenCollection, target: OpenCollection) -> Copied:
    """Make ``target`` a copy of ``original``. Raises ModelMismatch for vectors of another model, ValueError for what
    the target cannot keep, and CopyDiffers if it has other images, or the two don't become equal."""
    ours, theirs = original.identity(), target.identity()
    if ours.spaces != theirs.spaces:
        raise ModelMismatch(f"{target.name} keeps {_names(theirs)}, and {original.name} {_names(ours)}")
    target.require_model(ours)
    _require_nothing_else(original, target)
    added = removed = 0
    for _ in range(_ROUNDS):
        more, gone = _round(original, target)
        added, removed = added + more, removed + gone
        one, other = _summed(original), _summed(target)
        if one == other:
            return Copied(one[0], added, removed, one[1])
    raise CopyDiffers(
        f"{target.name} is no copy of {original.name} yet, which changes or has images in another order: "
        f"{other[0]:,} and {one[0]:,} images, checksums {other[1][:12]} and {one[1][:12]}"
    )


def _require_nothing_else(original: OpenCollection, target: OpenCollection) -> None:
    """Raises CopyDiffers if ``target`` has images that ``original`` lacks: it may be no copy at all."""
    names = {entry.path for entry in original.view().entries()}
    beyond = [entry.path for entry in target.view().entries() if entry.path not in names]
    if beyond:
        raise CopyDiffers(
            f"{target.name} has {len(beyond):,} images that {original.name} lacks, such as {beyond[0]}: remove them, "
            "or copy into a new collection"
        )


def _round(original: OpenCollection, target: OpenCollection) -> tuple[int, int]:
    """Returns how many images were added, or replaced, and removed."""
    there = {entry.path: _fingerprint(entry) for entry in target.view().entries()}
    names = set[str]()
    differing = _noting(original, names, there)
    added = 0
    while batch := list(islice(differing, _BATCH)):
        target.add(batch)
        added += len(batch)
    gone = [path for path in there if path not in names]
    return added, target.remove(gone) if gone else 0


def _noting(original: OpenCollection, names: set[str], there: dict[str, bytes]) -> Iterator[Entry]:
    for entry in original.view().entries():
        names.add(entry.path)
        if there.get(entry.path) != _fingerprint(entry):
            yield entry


def _summed(collection: OpenCollection) -> tuple[int, str]:
    count, digest = 0, blake2b(digest_size=32)
    for entry in collection.view().entries():
        digest.update(_fingerprint(entry))
        count += 1
    return count, digest.hexdigest()


def _names(model: ModelIdentity) -> str:
    return ", ".join(f"{space.name} ({space.width})" for space in model.spaces)


def _fingerprint(entry: Entry) -> bytes:
    metadata = None if entry.metadata is None else json.loads(entry.metadata, parse_float=_number)
    said = [entry.path, {name: vector.hex() for name, vector in entry.vectors.items()}, metadata]
    return blake2b(json.dumps(said, sort_keys=True).encode(), digest_size=16).digest()


def _number(text: str) -> Any:
    """1e2 and 100.0 as 100: an engine may spell a number as it likes."""
    value = float(text)
    return int(value) if value.is_integer() else value
