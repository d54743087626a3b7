"""The figures by their closed forms over a table of every distance and every class: slow, and without a shortcut."""

import numpy as np
from numpy.typing import NDArray

from training.quality import _gain, _hypergeometric
from training.signatures import Signatures
from training.vote import chance_of_majority

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


def measure(
    queries: Signatures, query_labels: Counts, database: Signatures, database_labels: Counts, classes: int
) -> tuple[Floats, Counts, Counts]:
    """Figures (queries, 4), and pairs of one class and of two at each distance."""
    figures = []
    same, other = np.zeros((2, database.levels), np.int64)
    for distances, label in zip(queries.distances(database), query_labels, strict=True):
        table = np.zeros((database.levels, classes), np.int64)
        np.add.at(table, (distances, database_labels), 1)
        everything, hits = table.sum(axis=1), table[:, label]
        figures.append(
            (
                average_precision(everything, hits, len(database)),
                average_precision(everything, hits, 100),
                precision(everything, hits, 10),
                chance_of_majority(table[table.any(axis=1)], int(label), 10),
            )
        )
        same += hits
        other += everything - hits
    return np.array(figures), same, other


def average_precision(everything: Counts, hits: Counts, within: int) -> float:
    """``everything`` and ``hits``, int64 (levels,)."""
    ends, found = everything.cumsum(), hits.cumsum() - hits
    starts = ends - everything
    harmonic = np.concatenate([[0.0], (1.0 / np.arange(1, int(ends[-1]) + 1)).cumsum()])
    whole = ends <= within
    gains = np.where(whole, _gain(hits, everything, starts, found, harmonic[ends] - harmonic[starts]), 0.0)
    total, inside = gains.sum(), int(hits[whole].sum())
    for level in np.flatnonzero((starts < within) & (ends > within)):  # at most one
        start, before = starts[level], found[level]
        seats = within - start
        drawn = np.arange(within + 1)
        chance = _hypergeometric(drawn, seats, hits[level], everything[level])
        gains = total + _gain(drawn, seats, start, before, harmonic[within] - harmonic[start])
        return float((chance * gains / np.maximum(before + drawn, 1)).sum())
    return float(total / inside) if inside else 0.0


def precision(everything: Counts, hits: Counts, places: int) -> float:
    starts = everything.cumsum() - everything
    inside = np.clip(places - starts, 0, everything)
    return float((hits * inside / np.maximum(everything, 1)).sum() / inside.sum())
