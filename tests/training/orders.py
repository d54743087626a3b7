"""Every order that pictures at equal distance can have, written out: what the closed forms must equal."""

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import permutations
from statistics import fmean

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

#: (distance, label) of a few pictures, so that there are many ties.
databases = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=6)


def expected(database: Sequence[tuple[int, int]], figure: Callable[[list[int]], float]) -> float:
    """Mean of ``figure`` (of the labels in order) over all orders by distance."""
    return fmean(
        figure([label for _, label in sorted(order, key=lambda picture: picture[0])])
        for order in permutations(database)
    )


def average_precision(ranking: list[int], label: int, within: int) -> float:
    places = [place for place, found in enumerate(ranking[:within], 1) if found == label]
    return fmean(number / place for number, place in enumerate(places, 1)) if places else 0.0


def precision(ranking: list[int], label: int, places: int) -> float:
    return fmean(found == label for found in ranking[:places])


def majority(ranking: list[int], label: int, places: int) -> float:
    votes = Counter(ranking[:places])
    return float(next(found for found in ranking if votes[found] == max(votes.values())) == label)


def counts(database: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
    """Pictures at each distance (0…3) of each class (0…2)."""
    table = np.zeros((4, 3), np.int64)
    for distance, label in database:
        table[distance, label] += 1
    return table
