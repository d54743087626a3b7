"""How good a model's codes are: mean average precision of ranking by Hamming distance."""

import numpy as np
from numpy.typing import NDArray

from training.errors import TrainingError


def mean_average_precision(
    queries: NDArray[np.uint8],
    query_labels: NDArray[np.int64],
    database: NDArray[np.uint8],
    database_labels: NDArray[np.int64],
) -> float:
    """mAP@all: for each query the whole database is ranked by distance, ties by row; a hit has the query's label.

    Codes are packed, uint8 (n, bits / 8). Queries whose label has no picture in the database don't count. A query's
    average precision is the mean, over its hits, of the share of hits up to there.
    """
    precisions = []
    for code, label in zip(queries, query_labels, strict=True):
        distances = np.bitwise_count(database ^ code).sum(axis=1, dtype=np.int64)
        hits = database_labels[np.argsort(distances, kind="stable")] == label
        if hits.any():
            ranks = np.flatnonzero(hits) + 1
            precisions.append(np.mean(np.arange(1, len(ranks) + 1) / ranks))
    if not precisions:
        raise TrainingError("no held-out picture has a label that occurs among the others, so nothing can be measured")
    return float(np.mean(precisions))
