"""Measures what the cosines of a model of embeddings mean, on labelled pictures that it wasn't trained on.

embedding   pairs of pictures; a match has the same label, and pictures without a label match none
words       what a label is called, by itself and in "a photo of a …", and a picture; a match has the label

Both are shares of the pairs that were at hand: with other kinds of things, or more of them, the same distance means
another share. Their order, and where it falls, is what the curves are for.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contract.closeness import Calibration, Curve
from contract.space import EMBEDDING
from embedding.cores import usable_cores
from embedding.errors import TextError
from embedding.projection import Floats, unit
from embedding.torchscript import TorchScriptEmbedder
from pictures.errors import ImageError
from training.curves import dividing, falling_curve
from training.errors import TrainingError
from training.pictures import LabelledFile

#: Cosines are counted in steps of this.
_STEP = 1 / 512
_LEVELS = round(2 / _STEP) + 1
_BLOCK = 512
_PHRASES = ("{}", "a photo of a {}")


@dataclass(frozen=True)
class Seen:
    """``embeddings``, float32 (n, width) at length 1, of pictures with ``labels``, each empty for none."""

    embeddings: Floats
    labels: Sequence[str]


def embedded(model: TorchScriptEmbedder, files: Sequence[LabelledFile]) -> Seen:
    """Returns what ``model`` sees in those of ``files`` that can be read. Raises TrainingError if none can."""

    def seen(path: Path) -> Floats | None:
        try:
            found: Floats = model.embed(model.prepare(path.read_bytes())[None])[EMBEDDING].astype(np.float32)
        except ImageError:
            return None
        return found

    with ThreadPoolExecutor(usable_cores()) as pool:
        found = list(pool.map(seen, [file.path for file in files]))
    labelled = [(vectors, file.label) for vectors, file in zip(found, files, strict=True) if vectors is not None]
    if not labelled:
        raise TrainingError("the folder to calibrate with has no picture that can be read")
    return Seen(unit(np.concatenate([vectors for vectors, _ in labelled])), [label for _, label in labelled])


def calibrate_cosines(model: TorchScriptEmbedder, seen: Seen, *, words: bool) -> Calibration | None:
    """Returns the calibration of ``model``, of ``words`` too; None where ``seen`` has fewer than two labels, or no two
    pictures of one."""
    names = sorted({label for label in seen.labels if label})
    numbers = np.array([names.index(label) if label else -1 for label in seen.labels])
    if len(names) < 2 or np.bincount(numbers[numbers >= 0]).max() < 2:
        return None
    labelled = numbers >= 0
    pictures = _measured(seen.embeddings[labelled], numbers[labelled], seen, numbers, np.flatnonzero(labelled))
    if not labelled.all():  # what shows none of the kinds, rather than what lacks its own kind
        strangers = (1.0 - seen.embeddings[~labelled] @ seen.embeddings[labelled].T).min(axis=1)
        pictures = replace(pictures, strangers=strangers)
    said = list(_said(model, names)) if words else []
    if not said:
        return Calibration(embedding=pictures.curve, nothing_below=pictures.nothing_below)
    texts, meant = np.concatenate([vectors for vectors, _ in said]), np.array([number for _, number in said])
    of_words = _measured(texts, meant, seen, numbers)
    return Calibration(
        embedding=pictures.curve,
        nothing_below=pictures.nothing_below,
        words=of_words.curve,
        words_nothing_below=of_words.nothing_below,
    )


def _said(model: TorchScriptEmbedder, names: Sequence[str]) -> Iterator[tuple[Floats, int]]:
    """Yields the embeddings of phrases, float32 (1, width) at length 1, with the number of the name that each says; not
    of words that the model doesn't know."""
    for number, name in enumerate(names):
        for phrase in _PHRASES:
            try:
                yield unit(model.embed_text([phrase.format(name)])[EMBEDDING].astype(np.float32)), number
            except TextError:
                continue


def _measured(
    queries: Floats,
    meant: NDArray[np.int64],
    seen: Seen,
    numbers: NDArray[np.int64],
    own: NDArray[np.int64] | None = None,
) -> "_Measured":
    """Returns what was measured of ``queries``, float32 (n, width), which look for pictures numbered as ``meant``.
    ``own``: each query's own picture, left out."""
    matches, pairs = np.zeros(_LEVELS, np.int64), np.zeros(_LEVELS, np.int64)
    nearest: list[NDArray[np.float64]] = []
    for first in range(0, len(queries), _BLOCK):
        part = slice(first, first + _BLOCK)
        apart = np.clip(1.0 - queries[part].astype(np.float64) @ seen.embeddings.T, 0, 2)
        alike = meant[part, None] == numbers
        counted = np.ones_like(alike)
        if own is not None:
            counted[np.arange(len(apart)), own[part]] = False
        levels = np.rint(apart / _STEP).astype(np.int64)
        pairs += np.bincount(levels[counted], minlength=_LEVELS)
        matches += np.bincount(levels[counted & alike], minlength=_LEVELS)
        nearest.append(np.stack([np.where(kept, apart, 2).min(axis=1) for kept in (counted, counted & ~alike)]))
    kin, strangers = np.concatenate(nearest, axis=1)
    return _Measured(falling_curve(matches, pairs, _STEP), kin, strangers)


@dataclass(frozen=True)
class _Measured:
    """The ``curve`` of all pairs, and the distances of the nearest picture to queries: where those that they look for
    are there (``kin``), and where they aren't (``strangers``)."""

    curve: Curve
    kin: NDArray[np.float64]
    strangers: NDArray[np.float64]

    @property
    def nothing_below(self) -> float:
        strangers, kin = (np.array([self.curve.at(each) for each in some]) for some in (self.strangers, self.kin))
        return dividing(strangers, kin)
