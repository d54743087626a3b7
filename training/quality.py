"""Measures how good a ranking by distance is: the figures and their intervals.

    count pictures by distance and class, for each query → expected figures of the query → mean, bootstrap interval

Ties. Many pictures share a distance, and their order is the listing's, which says nothing about the model. So a figure
is its expected value over all orders of the pictures at equal distance, each equally likely. Breaking ties by row, as a
server does, would give one sample of it; with a listing sorted by class it would even be biased, because rows then
reveal labels. All values are exact, in closed form, from counts (F. McSherry, M. Najork, "Computing
Information Retrieval Performance Measures Efficiently in the Presence of Tied Scores", ECIR 2008).

A query's average precision within R is that of the hashing papers: the mean, over its hits within the first R places,
of the share of hits up to there; 0 if there is no hit. Hits after R cost nothing.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.errors import TrainingError
from training.signatures import Signatures, blocks
from training.vote import chance_of_majority

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]

TIES = "expected values over all orders of the pictures at equal distance"

#: The columns of ``Ranking.figures``.
FIGURES = ("mAP@all", "mAP@100", "precision@10", "kNN@10")


@dataclass(frozen=True)
class Ranking:
    """``figures``: float64 (queries, 4), in the order of FIGURES, each in 0…1. ``same`` and ``other``: int64 (levels,),
    the pairs of a query and a picture of its class, or of another class, at each distance."""

    figures: Floats
    same: Counts
    other: Counts


def measure(queries: Signatures, query_labels: Counts, database: Signatures, database_labels: Counts) -> Ranking:
    """Rank ``database`` by distance from each of ``queries``; a hit has the query's label, int64 from 0.

    Every query's label must occur in the database (see ``answerable``).
    """
    classes = int(max(query_labels.max(), database_labels.max())) + 1
    levels = database.levels
    figures = np.empty((len(queries), len(FIGURES)))
    same, other = np.zeros(levels, np.int64), np.zeros(levels, np.int64)
    for block in blocks(len(queries), max(len(database), levels)):
        labels = query_labels[block]
        distances = queries[block].distances(database)
        keys = distances + (np.arange(len(labels)) * levels)[:, None]
        everything, hits = (
            np.bincount(chosen.ravel(), minlength=len(labels) * levels).reshape(-1, levels)
            for chosen in (keys, keys[database_labels == labels[:, None]])
        )
        figures[block, 0] = average_precision(everything, hits, len(database))
        figures[block, 1] = average_precision(everything, hits, 100)
        figures[block, 2] = precision(everything, hits, 10)
        last = (everything.cumsum(axis=1) < 10).sum(axis=1)  # the distance level of the tenth place
        figures[block, 3] = [
            chance_of_majority(_groups(away[away <= end], database_labels[away <= end], classes), int(label), 10)
            for away, end, label in zip(distances, last, labels, strict=True)
        ]
        same += hits.sum(axis=0)
        other += (everything - hits).sum(axis=0)
    return Ranking(figures, same, other)


def _groups(distances: NDArray[np.uint32], labels: Counts, classes: int) -> Counts:
    """Returns the pictures of each class at each occurring distance, nearest first, int64 (distances, classes)."""
    nearest, group = np.unique(distances, return_inverse=True)
    counts: Counts = np.bincount(group * classes + labels, minlength=len(nearest) * classes).reshape(-1, classes)
    return counts


def mean_average_precision(
    queries: NDArray[np.uint8], query_labels: Counts, database: NDArray[np.uint8], database_labels: Counts
) -> float:
    """Returns mAP@all of packed codes, uint8 (n, bits / 8). Queries without a picture of their label don't count."""
    known = answerable(query_labels, database_labels)
    ranking = measure(Signatures(queries[known]), query_labels[known], Signatures(database), database_labels)
    return float(ranking.figures[:, 0].mean())


def answerable(query_labels: Counts, database_labels: Counts) -> NDArray[np.bool_]:
    """Returns which queries have a picture of their label in the database. Raises TrainingError if none has."""
    known = np.isin(query_labels, database_labels)
    if not known.any():
        raise TrainingError("no query has a label that occurs in the database, so nothing can be measured")
    return known


def average_precision(everything: Counts, hits: Counts, within: int) -> Floats:
    """Returns the expected average precision within the first ``within`` places, float64 (queries,).

    ``everything`` and ``hits``, int64 (queries, levels): pictures, and hits among them, at each distance. In a group
    of n pictures with h hits, after N pictures with H hits, place i is a hit with probability h/n, and then the
    precision there is (H + 1 + (i − 1)(h − 1)/(n − 1)) / (N + i) on average. If place ``within`` splits a group, the
    number of hits before it is hypergeometric, and the mean over hits is taken for each number.
    """
    ends, found = everything.cumsum(axis=1), hits.cumsum(axis=1)
    size = int(ends[:, -1].max())
    harmonic = np.concatenate([[0.0], (1.0 / np.arange(1, size + 1)).cumsum()])

    # Most distances have no hit and add nothing; with two codes there are thousands of them.
    query, level = np.nonzero(hits)
    n, h, end, before = (values[query, level] for values in (everything, hits, ends, found))
    start, before = end - n, before - h
    whole = end <= within
    reciprocals = harmonic[end] - harmonic[start]  # Σ 1 / (N + i)
    gains = np.zeros(hits.shape)
    gains[query, level] = np.where(whole, _gain(h, n, start, before, reciprocals), 0.0)
    total, inside = gains.sum(axis=1), np.bincount(query, weights=whole * h, minlength=len(hits))
    answer: Floats = np.divide(total, inside, out=np.zeros(len(total)), where=inside > 0)

    split = (start < within) & (end > within)  # at most one group per query
    query = query[split]
    if len(query):
        n, h, start, before = (values[split, None] for values in (n, h, start, before))
        seats = within - start
        drawn = np.arange(within + 1)
        chance = _hypergeometric(drawn, seats, h, n)
        reciprocals = harmonic[within] - harmonic[start]
        gains = total[query, None] + _gain(drawn, seats, start, before, reciprocals)
        answer[query] = (chance * gains / np.maximum(before + drawn, 1)).sum(axis=1)
    return answer


def _gain(hits: Counts, places: Counts, start: Counts, found: Counts, reciprocals: Floats) -> Floats:
    """Returns the expected sum of the precisions at the hits, dealt at random to ``places`` places after ``start``."""
    weighted = places - (start + 1) * reciprocals  # Σ (i − 1) / (N + i)
    slope = (hits - 1) / np.maximum(places - 1, 1)
    gain: Floats = hits / np.maximum(places, 1) * ((found + 1) * reciprocals + slope * weighted)
    return gain


def _hypergeometric(drawn: Counts, seats: Counts, hits: Counts, pictures: Counts) -> Floats:
    """Returns the probability of ``drawn`` hits among ``seats`` of ``pictures``, of which ``hits`` are hits."""
    logarithm = np.concatenate([[0.0], np.log(np.arange(1, int(pictures.max()) + 1)).cumsum()])  # of n!

    def ways(of: Counts, some: Counts) -> Floats:
        least = np.clip(some, 0, of)
        return np.where(least == some, logarithm[of] - logarithm[least] - logarithm[of - least], -np.inf)

    return np.exp(ways(hits, drawn) + ways(pictures - hits, seats - drawn) - ways(pictures, seats))


def precision(everything: Counts, hits: Counts, places: int) -> Floats:
    """Returns the expected share of hits in the first ``places`` (or all, if there are fewer), float64 (queries,)."""
    ends = everything.cumsum(axis=1)
    query, level = np.nonzero(hits)
    n, h, end = (values[query, level] for values in (everything, hits, ends))
    shares = np.zeros(hits.shape)
    shares[query, level] = h * np.clip(places - (end - n), 0, n) / n
    share: Floats = shares.sum(axis=1) / np.minimum(places, ends[:, -1])
    return share


def recall(queries: Signatures, database: Signatures, wanted: NDArray[np.int64], places: int) -> Floats:
    """Returns the probability that row ``wanted`` is among the first ``places`` of each query, (queries,)."""
    found = np.empty(len(queries))
    for block in blocks(len(queries), len(database)):
        distances = queries[block].distances(database)
        own = np.take_along_axis(distances, wanted[block, None], axis=1)
        nearer, equal = (distances < own).sum(axis=1), (distances == own).sum(axis=1)
        found[block] = np.clip((places - nearer) / equal, 0.0, 1.0)
    return found


def bootstrap(figures: Floats, resamples: int = 2000, seed: int = 0) -> tuple[Floats, Floats]:
    """Returns the ends of the 95% interval of each column's mean in ``figures`` (queries, columns): two of (columns,).

    They are percentiles of the means of ``resamples`` samples of the queries, drawn with replacement (B. Efron, 1979).
    The interval shows how much the choice of queries matters, but not the choice of database or the training run.
    """
    random = np.random.default_rng(seed)
    count = len(figures)
    means = np.concatenate(
        [
            random.multinomial(count, np.full(count, 1 / count), block.stop - block.start) @ figures / count
            for block in blocks(resamples, count)
        ]
    )
    low, high = np.percentile(means, [2.5, 97.5], axis=0)
    return low, high
