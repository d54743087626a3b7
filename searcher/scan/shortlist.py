"""How many of the nearest codes hold the nearest vectors: the size of the shortlists of a space of floats, measured.

    sample of the version's pictures ─┬─▶ their nearest by cosine, of all vectors, themselves left out
                                      └─▶ how many codes are as near as those of the nearest ─▶ sizes
                                          in how many bits these differ, beside 1 − cos      ─▶ reach

A shortlist is as large as the hardest pictures need it. Most need far less of it: the nearer the k-th nearest vector
is, the fewer bits do the codes of the nearest differ in, nearly a straight line. So the beginning of the list is
compared, then what lies within the reach of the k-th nearest so far, until nothing more does.

    bits    ·  ·          what is compared for a k-th nearest at 1 − cos = d:
      │  ·  ·             codes that differ in at most   base + slope · d   bits
      └──────── 1 − cos

Size and base are such that 99.5% of the nearest are compared, in each half of the sample by itself: of pictures that
weren't measured it is then 99%. Where there are lists (lists.py), a shortlist is of the codes in some of them: those
whose centres are so near that they hold 99.8% of the nearest. A query whose k-th nearest is farther than those of the
whole sample is of another kind, words perhaps, of which nothing was measured. Its own reach is measured when it is
asked, on a sample of all rows: a straight line through their distances and bits, and above it 2.6 times the
deviation from it. All codes are looked at, and all that lie within that reach are compared.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from searcher.scan.floats import unit
from searcher.scan.lists import Lists
from searcher.scan.tables import as_words

#: The share of the nearest that must be compared, of any pictures; and of those that are measured; and the share of
#: these that lists hold, of which some are out of reach.
RECALL = 0.99
_MEASURED = 0.995
_LISTED = 0.9965
#: And the share that lie in the lists that are looked through.
_PROBED = 0.998

#: With fewer images, all of them are compared: that costs less than a request's JSON.
LEAST = 1000

_TOP_KS = (10, 100, 1000)
#: How far above the straight line through all rows the nearest may lie; of a normal distribution, 99.5% lie lower.
_DEVIATIONS = 2.6
_SAMPLE = 256
_BLOCK = 8192


def _missing(value: float | None) -> bool:
    return value is None


class Shortlist(BaseModel):
    """Asked for ``queries`` of the version's own pictures, of the ``size`` nearest codes those that differ in at most
    ``base`` + ``slope`` times 1 − cos of the k-th nearest vector held the share ``recall`` of the ``top_k`` nearest
    vectors; of codes equally near, one of the nearest vectors counts as the last. That holds unless the k-th nearest
    vector turns out to be farther than the ``farthest`` that was measured, 1 − cos; None: that isn't known. With a
    ``margin``, only codes in the lists are looked at whose centres are at most so much farther than the nearest.
    """

    model_config = ConfigDict(frozen=True)

    top_k: int = Field(ge=1)
    size: int = Field(ge=1)
    base: float = Field(allow_inf_nan=False)
    slope: float = Field(ge=0, allow_inf_nan=False)
    recall: float = Field(ge=0, le=1)
    queries: int = Field(ge=1)
    margin: Annotated[float | None, Field(ge=0, allow_inf_nan=False, exclude_if=_missing)] = None
    farthest: Annotated[float | None, Field(allow_inf_nan=False, exclude_if=_missing)] = None

    @model_validator(mode="after")
    def _says_how_far_lists_hold(self) -> Self:
        if self.margin is not None and self.farthest is None:
            raise ValueError("a margin holds as far as the farthest that was measured, which is missing")
        return self


def shortlist_for(top_k: int, measured: Sequence[Shortlist]) -> Shortlist | None:
    """The codes to look at for the ``top_k`` nearest vectors; None for all. ``measured`` rises."""
    for each in measured:
        if top_k <= each.top_k:
            return each
    if not measured:
        return None
    last = measured[-1]
    # How far so many reach wasn't measured.
    return last.model_copy(update={"size": -(-last.size * top_k // last.top_k), "margin": None, "farthest": None})


def measure(
    vectors: NDArray[np.float16], codes: NDArray[np.uint8], lists: Lists | None = None
) -> tuple[Shortlist, ...]:
    """The shortlists of ``vectors``, float16 (n, width), by ``codes``, uint8 (n, bits / 8), in ``lists`` if there are
    any; none for fewer than LEAST.

    Takes a minute a million rows and core, and memory for a block of rows.
    """
    count = len(vectors)
    if count < LEAST:
        return ()
    sample = np.random.default_rng(0).choice(count, min(_SAMPLE, count), replace=False)
    top_ks = [top_k for top_k in _TOP_KS if top_k < count]
    nearest = _nearest(vectors, sample, top_ks[-1])
    apart = _bits(codes, sample, nearest)
    places = _places(codes, sample, apart)
    far = _distances(vectors, sample, nearest)
    slope = _slope(far, apart)
    margins = None if lists is None else _margins(vectors[sample], lists, nearest)
    measured = []
    for top_k in top_ks:
        of_kth = far[:, [top_k - 1]]
        needed = None if margins is None else margins[:, :top_k]
        above = apart[:, :top_k] - slope * of_kth
        measured.append(_shortlist(places[:, :top_k], above, slope, count, needed, float(of_kth.max())))
    return tuple(measured)


def reach_of(far: NDArray[np.float64], apart: NDArray[np.int64], distance: float) -> float:
    """The most bits in which the code of one of the nearest differs from a query's whose k-th nearest is at
    ``distance``, as rows at ``far``, 1 − cos (m,), suggest, whose codes differ in ``apart`` bits, (m,)."""
    slope = _slope(far, apart)
    above = apart - slope * far
    return float(above.mean() + slope * distance + _DEVIATIONS * above.std())


def _slope(far: NDArray[np.float64], apart: NDArray[np.int64]) -> float:
    """Bits for each unit of 1 − cos: the straight line through all pairs; 0 where they say nothing."""
    spread = float(far.var())
    return max(0.0, float(((far - far.mean()) * apart).mean()) / spread) if spread > 0 else 0.0


def _shortlist(
    places: NDArray[np.int64],
    above: NDArray[np.float64],
    slope: float,
    count: int,
    margins: NDArray[np.float32] | None,
    farthest: float,
) -> Shortlist:
    """The shortlist that holds the ``places`` of the nearest, (queries, top_k), in the order of their codes; these lie
    so many bits ``above`` the line through the origin with this ``slope``, and in lists with such ``margins``; the
    ``farthest`` k-th of them lies so far away."""
    margin, listed = None, np.ones(places.shape, bool)
    if margins is not None:
        margin = max(_reaching(half, _PROBED) for half in (margins[::2], margins[1::2]))
        listed = margins <= margin
    size = max(_reaching(half, _LISTED) for half in (places[::2], places[1::2]))
    needed = np.where(places <= size, above, np.inf)
    base = float(np.ceil(max(_reaching(half, _MEASURED) for half in (needed[::2], needed[1::2]))))
    recall = np.count_nonzero((needed <= base) & listed) / places.size
    return Shortlist(
        top_k=places.shape[1], size=min(int(size), count), base=base, slope=round(slope, 4),
        recall=round(recall, 4), queries=len(places), margin=margin, farthest=farthest,
    )  # fmt: skip


def _margins(queries: NDArray[np.float16], lists: Lists, nearest: NDArray[np.int64]) -> NDArray[np.float32]:
    """How much farther from each of ``queries`` the centres of its ``nearest`` are than the nearest centre, (m, k)."""
    of_row = np.empty(len(lists.rows), np.int64)
    of_row[lists.rows] = np.repeat(np.arange(len(lists.centres)), lists.sizes)
    return np.take_along_axis(lists.apart(queries), of_row[nearest], axis=1)


def _reaching(values: NDArray[Any], share: float) -> float:
    """The least number that so large a ``share`` of ``values`` doesn't exceed."""
    return float(np.sort(values, axis=None)[min(int(np.ceil(share * values.size)) - 1, values.size - 1)])


def _distances(
    vectors: NDArray[np.float16], sample: NDArray[np.int64], nearest: NDArray[np.int64]
) -> NDArray[np.float64]:
    """1 − cos between each of ``sample`` and its ``nearest``, (m, top_k)."""
    far = [1.0 - unit(vectors[rows]) @ unit(vectors[[row]])[0] for row, rows in zip(sample, nearest, strict=True)]
    return np.stack(far).astype(np.float64)


def _bits(codes: NDArray[np.uint8], sample: NDArray[np.int64], nearest: NDArray[np.int64]) -> NDArray[np.int64]:
    """The bits in which the code of each of ``sample`` differs from those of its ``nearest``, (m, top_k)."""
    asked = as_words(codes[sample])
    found = [_apart(asked[:, [each]], as_words(codes[rows]))[0] for each, rows in enumerate(nearest)]
    return np.stack(found).astype(np.int64)


def _nearest(vectors: NDArray[np.float16], sample: NDArray[np.int64], top_k: int) -> NDArray[np.int64]:
    """The rows of the ``top_k`` vectors nearest to each of ``sample``, itself left out, (m, top_k): nearest first."""
    queries = unit(vectors[sample])
    best = np.full((len(sample), 0), -np.inf, np.float32)
    rows = np.zeros((len(sample), 0), np.int64)
    own = np.arange(len(sample))
    for first in range(0, len(vectors), _BLOCK):
        cosines = queries @ unit(vectors[first : first + _BLOCK]).T
        here = (sample >= first) & (sample < first + cosines.shape[1])
        cosines[own[here], sample[here] - first] = -np.inf
        best = np.concatenate([best, cosines], axis=1)
        block = np.arange(first, first + cosines.shape[1])
        rows = np.concatenate([rows, np.broadcast_to(block, cosines.shape)], axis=1)
        if best.shape[1] > top_k:
            kept = np.argpartition(-best, top_k - 1, axis=1)[:, :top_k]
            best, rows = np.take_along_axis(best, kept, axis=1), np.take_along_axis(rows, kept, axis=1)
    return np.take_along_axis(rows, np.argsort(-best, axis=1, kind="stable"), axis=1)


def _places(codes: NDArray[np.uint8], sample: NDArray[np.int64], apart: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each of the distances ``apart``, (m, top_k), how many codes are at most as far from that of its query in
    ``sample``, the query's own left out."""
    farthest = 8 * codes.shape[1]
    counts = np.zeros((len(sample), farthest + 1), np.int64)
    asked = as_words(codes[sample])
    offsets = np.arange(len(sample))[:, None] * (farthest + 1)
    for first in range(0, len(codes), _BLOCK):
        block = _apart(asked, as_words(codes[first : first + _BLOCK]))
        counts += np.bincount((block + offsets).ravel(), minlength=counts.size).reshape(counts.shape)
    return np.take_along_axis(counts.cumsum(axis=1) - 1, apart, axis=1)


def _apart(asked: NDArray[np.uint64], words: NDArray[np.uint64]) -> NDArray[np.uint16]:
    """Differing bits of codes as words: (words, m) and (words, n) make (m, n)."""
    apart = np.zeros((asked.shape[1], words.shape[1]), np.uint16)
    for one, other in zip(asked, words, strict=True):
        apart += np.bitwise_count(one[:, None] ^ other)
    return apart
