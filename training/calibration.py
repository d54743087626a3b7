"""Measures what the distances of a model with labels and detail codes mean, on pictures that it wasn't trained on.

code     pairs of held-out pictures; a match has the same label, and photographs without labels match none
text     a label's code and a held-out picture; a match has the label
detail   a distorted copy of a held-out picture, and any picture; a match is its original
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contract.closeness import Calibration, Curve
from contract.space import CODE, DETAIL, Vectors
from embedding.cores import usable_cores
from embedding.torchscript import TorchScriptEmbedder
from training.curves import dividing, falling_curve, greatest_distance
from training.distortions import distorted
from training.signatures import Signatures, blocks
from training.split import Split

#: Of a million pairs of different pictures, so many may be called copies.
_FALSE_COPIES = 1.5e-6
#: The most held-out pictures to make copies of.
_COPIED = 200

Codes = NDArray[np.uint8]
Distances = NDArray[np.int16]


def calibrate(
    model: TorchScriptEmbedder, split: Split, photographs: Sequence[Path], labels: Sequence[str]
) -> Calibration:
    """Returns the calibration of ``model``, trained neither on the queries of ``split`` nor on ``photographs``.

    ``labels`` are classes of the model.
    """
    paths = [*(file.path for file in split.queries), *photographs]
    own = _embedded(model, [path.read_bytes for path in paths])
    others = _embedded(model, [file.path.read_bytes for file in split.database])
    label_of = np.array([labels.index(file.label) for file in split.queries] + [-1] * len(photographs))
    of_database = np.array([labels.index(file.label) for file in split.database])
    labelled = len(split.queries)
    alike = label_of[:labelled, None] == label_of
    themselves = np.eye(labelled, len(paths), dtype=bool)
    code = _curve(_distances(own[CODE][:labelled], own[CODE]), alike, ~themselves)
    text = _distances(model.embed_text(labels)[CODE], own[CODE])
    details = np.concatenate((own[DETAIL], others[DETAIL]))
    copied = np.arange(0, len(paths), -(-len(paths) // _COPIED))
    copies = np.concatenate([_embedded(model, _copies(paths[row]))[DETAIL] for row in copied])
    originals = np.repeat(copied, len(copies) // len(copied))[:, None] == np.arange(len(details))
    return Calibration(
        code=code,
        text=_curve(text, np.arange(len(labels))[:, None] == label_of),
        detail=_curve(_distances(copies, details), originals),
        copies_within=copies_within(details),
        nothing_below=_nothing_below(code, _distances(own[CODE], others[CODE]), label_of, of_database),
    )


def _embedded(model: TorchScriptEmbedder, files: Iterable[Callable[[], bytes]]) -> Vectors:
    """Returns the vectors of ``files``, each embedded alone: a picture's vectors don't depend on its batch."""
    with ThreadPoolExecutor(usable_cores()) as pool:
        found = list(pool.map(lambda read: model.embed(model.prepare(read())[None]), files))
    return {name: np.concatenate([each[name] for each in found]) for name in (CODE, DETAIL)}


def _copies(path: Path) -> list[Callable[[], bytes]]:
    return [partial(bytes, copy) for copy in distorted(path.read_bytes(), path.name)]


def _distances(ours: Codes, theirs: Codes) -> Distances:
    """int16 (n, m): differing bits of each pair."""
    rows, others = Signatures(ours), Signatures(theirs)
    return np.concatenate([rows[block].distances(others).astype(np.int16) for block in blocks(len(rows), len(others))])


def _curve(distances: Distances, matches: NDArray[np.bool_], counted: NDArray[np.bool_] | None = None) -> Curve:
    """Returns the curve of pairs (n, m) at ``distances``, or of those that are ``counted``."""
    if counted is None:
        counted = np.ones_like(matches)
    levels = int(distances.max()) + 1
    return falling_curve(
        np.bincount(distances[counted & matches], minlength=levels), np.bincount(distances[counted], minlength=levels)
    )


def copies_within(details: Codes) -> int:
    """Returns the greatest distance at which hardly any two different pictures lie, by the ``details`` of all: of the
    pairs of held-out ones alone, too few are near each other to count them."""
    distances = _distances(details, details)
    near = distances[np.triu_indices(len(details), 1)]
    return greatest_distance(np.bincount(near), len(near), _FALSE_COPIES)


def _nothing_below(
    code: Curve, distances: Distances, labels: NDArray[np.int64], of_database: NDArray[np.int64]
) -> float:
    """Returns what divides the best closeness of queries whose label the database has from that of the others'."""
    best = np.array([code.at(away) for away in distances.min(axis=1)])
    known = np.isin(labels, of_database)
    return dividing(best[~known], best[known])
