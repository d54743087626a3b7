"""The answers of several shards as one, exactly as one machine with all rows would give it.

    shard 0   a: 2, b: 5          ┐
    shard 1   c: 2, d: 3          ├─▶ a, c, d with top_k 3: at equal distances the earlier shard, then the earlier row
    shard 2   (nothing near)      ┘

Each shard's best k include all of its images that can be among the best k of all, so nothing is missing. Shards are
asked in debug mode, which tells the distances that decide ties.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from contract.query import DEFAULT_RANK, Rank
from contract.regions import best_of_each, regions_among
from contract.space import CODE, DETAIL, EMBEDDING

#: What orders images, by rank: the kinds of vectors, as in searcher/scan/ranking.py.
_ORDERS: dict[str, tuple[str, ...]] = {"distance": (CODE, DETAIL), "detail": (DETAIL, CODE)}
#: What only debug mode shows, or is no shard's alone. Rows are numbered in each shard anew, and left out.
_OF_DEBUG = ("distances", "ordered_by", "codes", "distances_by_space", "embeddings", "model", "rows")
_LISTS = ("relevant", "closeness", "distances", "embeddings", "metadata")
_BY_SPACE = ("codes", "distances_by_space")


def merged(
    found: Sequence[Mapping[str, Any]],
    top_k: int,
    rank: Rank = DEFAULT_RANK,
    *,
    debug: bool,
    collapse: bool = False,
    diversity: int = 1,
) -> dict[str, Any]:
    """Returns one answer of at most ``top_k`` images from those that the shards ``found`` in debug mode, in the order
    of the shards: with ``collapse`` the best of each picture, and of these every ``diversity``-th. All must be of one
    version."""
    places = [(shard, place) for shard, answer in enumerate(found) for place in range(len(answer["relevant"]))]
    best = sorted(places, key=lambda each: _distances(found[each[0]], rank, each[1]))  # ties keep their order
    names = [found[shard]["relevant"][place] for shard, place in best]
    chosen = best_of_each(names) if collapse else range(len(names))
    best = [best[each] for each in chosen[: top_k * diversity : diversity]]
    first = found[0]
    whole = {name: value for name, value in first.items() if name not in ("rows", "parents", "boxes")}
    for name in _LISTS:
        if name in first:
            whole[name] = [found[shard][name][place] for shard, place in best]
    whole |= regions_among(whole["relevant"], collapsed=collapse)
    for name in _BY_SPACE:
        whole[name] = {space: [found[shard][name][space][place] for shard, place in best] for space in first[name]}
    if "nothing_like_it" in first:
        whole["nothing_like_it"] = all(answer["nothing_like_it"] for answer in found if answer["relevant"])
    return whole if debug else {name: value for name, value in whole.items() if name not in _OF_DEBUG}


def _distances(answer: Mapping[str, Any], rank: Rank, place: int) -> tuple[float, ...]:
    """Returns the distances of the image at ``place``, those that count first first."""
    known = answer["distances_by_space"]
    order = (EMBEDDING,) if answer.get("ordered_by") == EMBEDDING else _ORDERS[rank]
    return tuple(known[space][place] for space in order if space in known)
