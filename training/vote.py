"""The k nearest pictures vote for a class: how likely is the right one to win, over all orders of equal distances?

Pictures at equal distance come in random order. If the k-th place falls inside such a group, its pictures draw lots for
the remaining seats (without replacement); the groups before it vote in full. Most votes win. If classes tie, the class
of the nearest picture wins; if their nearest pictures are at the same distance too, it is chance again whose picture
comes first.

    k = 3, label shirt      distance 0: shirt                  votes in full
                            distance 2: shirt, shoe, shoe      two seats for three pictures
    draws {shirt, shoe} twice, {shoe, shoe} once  →  shirt wins 2 of 3
"""

from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction
from math import comb

import numpy as np
from numpy.typing import NDArray


def chance_of_majority(groups: NDArray[np.int64], label: int, places: int) -> float:
    """Returns the probability, in 0…1, that ``label`` wins the vote of the ``places`` nearest pictures.

    ``groups``, int64 (distances, classes): pictures of each class at each distance, nearest first. Exact: ways are
    counted in integers, by dynamic programming over the classes.
    """
    ends = groups.sum(axis=1).cumsum()
    places = min(places, int(ends[-1]))
    full = int(np.searchsorted(ends, places, side="right"))  # groups that vote in full
    seats = places - (int(ends[full - 1]) if full else 0)  # the seats left for the group that is cut
    votes: list[int] = groups[:full].sum(axis=0).tolist()
    cut: list[int] = groups[full].tolist() if seats else [0] * groups.shape[1]

    def lead(name: int, total: int) -> tuple[int, int]:
        """Returns the distance of the nearest voter of a class with ``total`` votes, and how many are there."""
        if not votes[name]:
            return full, total
        nearest = int(np.flatnonzero(groups[:full, name])[0])
        return nearest, int(groups[nearest, name])

    rivals = [name for name in range(len(votes)) if name != label and (votes[name] or cut[name])]
    chance = Fraction(0)
    for total in range(max(1, max(votes)), places + 1):
        drawn = total - votes[label]
        if not 0 <= drawn <= min(seats, cut[label]):
            continue
        distance, standing = lead(label, total)
        # (seats taken, rivals' pictures at the same distance as ours) → number of ways
        states = {(drawn, 0): comb(cut[label], drawn)}
        for rival in rivals:
            below = [(seats_taken, 0) for seats_taken in range(min(cut[rival], total - 1 - votes[rival]) + 1)]
            level = total - votes[rival]
            if 0 <= level <= cut[rival]:
                theirs, beside = lead(rival, total)
                if theirs >= distance:  # otherwise they are nearer and win
                    below.append((level, beside if theirs == distance else 0))
            states = _deal(states, below, cut[rival], seats)
        for (taken, beside), ways in states.items():
            if taken == seats:
                chance += Fraction(ways * standing, comb(sum(cut), seats) * (standing + beside))
    return float(chance)


def _deal(
    states: dict[tuple[int, int], int], outcomes: Sequence[tuple[int, int]], pictures: int, seats: int
) -> dict[tuple[int, int], int]:
    """Returns ``states`` after a class with ``pictures`` in the cut group draws one of ``outcomes`` (seats, beside)."""
    after: dict[tuple[int, int], int] = defaultdict(int)
    for (taken, beside), ways in states.items():
        for drawn, more in outcomes:
            if taken + drawn <= seats:
                after[taken + drawn, beside + more] += ways * comb(pictures, drawn)
    return after
