"""How many of the nearest codes hold the nearest vectors: the size of the shortlists of a space of floats, measured.

    sample of the version's pictures ─┬─▶ their nearest by cosine, of all vectors, themselves left out
                                      └─▶ how many codes are as near as those of the nearest ─▶ sizes

A shortlist is as large as it must be to hold 99.5% of the nearest, in each half of the sample by itself: of pictures
that weren't measured it then holds 99%.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from searcher.scan.tables import as_words

#: The share of the nearest that shortlists must hold, of any pictures; and of those that they are measured on.
RECALL = 0.99
_MEASURED = 0.995

#: With fewer images, all of them are compared: that costs less than a request's JSON.
LEAST = 1000

_TOP_KS = (10, 100, 1000)
_SAMPLE = 256
_BLOCK = 8192


class Shortlist(BaseModel):
    """Asked for ``queries`` of the version's own pictures, the ``size`` nearest codes held the share ``recall`` of the
    ``top_k`` nearest vectors; of codes equally near, one of the nearest vectors counts as the last."""

    model_config = ConfigDict(frozen=True)

    top_k: int = Field(ge=1)
    size: int = Field(ge=1)
    recall: float = Field(ge=0, le=1)
    queries: int = Field(ge=1)


def size_for(top_k: int, measured: Sequence[Shortlist]) -> int | None:
    """How many codes to look at for the ``top_k`` nearest vectors; None for all. ``measured`` rises."""
    for each in measured:
        if top_k <= each.top_k:
            return each.size
    return -(-measured[-1].size * top_k // measured[-1].top_k) if measured else None


def measure(vectors: NDArray[np.float16], codes: NDArray[np.uint8]) -> tuple[Shortlist, ...]:
    """The shortlists of ``vectors``, float16 (n, width), by ``codes``, uint8 (n, bits / 8); none for fewer than LEAST.

    Takes a minute a million rows and core, and memory for a block of rows.
    """
    count = len(vectors)
    if count < LEAST:
        return ()
    sample = np.random.default_rng(0).choice(count, min(_SAMPLE, count), replace=False)
    top_ks = [top_k for top_k in _TOP_KS if top_k < count]
    nearest = _nearest(vectors, sample, top_ks[-1])
    places = _places(codes, sample, nearest)
    return tuple(_shortlist(places[:, :top_k], count) for top_k in top_ks)


def _shortlist(places: NDArray[np.int64], count: int) -> Shortlist:
    """The shortlist that holds the ``places`` of the nearest, (queries, top_k), in the order of their codes."""
    wanted = int(np.ceil(_MEASURED * places[::2].size)) - 1
    size = max(int(np.sort(half, axis=None)[min(wanted, half.size - 1)]) for half in (places[::2], places[1::2]))
    recall = np.count_nonzero(places <= size) / places.size
    return Shortlist(top_k=places.shape[1], size=min(size, count), recall=round(recall, 4), queries=len(places))


def _nearest(vectors: NDArray[np.float16], sample: NDArray[np.int64], top_k: int) -> NDArray[np.int64]:
    """The rows of the ``top_k`` vectors nearest to each of ``sample``, itself left out, (m, top_k): nearest first."""
    queries = _unit(vectors[sample])
    best = np.full((len(sample), 0), -np.inf, np.float32)
    rows = np.zeros((len(sample), 0), np.int64)
    own = np.arange(len(sample))
    for first in range(0, len(vectors), _BLOCK):
        cosines = queries @ _unit(vectors[first : first + _BLOCK]).T
        here = (sample >= first) & (sample < first + cosines.shape[1])
        cosines[own[here], sample[here] - first] = -np.inf
        best = np.concatenate([best, cosines], axis=1)
        block = np.arange(first, first + cosines.shape[1])
        rows = np.concatenate([rows, np.broadcast_to(block, cosines.shape)], axis=1)
        if best.shape[1] > top_k:
            kept = np.argpartition(-best, top_k - 1, axis=1)[:, :top_k]
            best, rows = np.take_along_axis(best, kept, axis=1), np.take_along_axis(rows, kept, axis=1)
    return np.take_along_axis(rows, np.argsort(-best, axis=1, kind="stable"), axis=1)


def _places(codes: NDArray[np.uint8], sample: NDArray[np.int64], nearest: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each of ``nearest``, (m, top_k), how many codes are at most as far from that of its query in ``sample``, the
    query's own left out."""
    farthest = 8 * codes.shape[1]
    counts = np.zeros((len(sample), farthest + 1), np.int64)
    asked = as_words(codes[sample])
    offsets = np.arange(len(sample))[:, None] * (farthest + 1)
    for first in range(0, len(codes), _BLOCK):
        apart = _apart(asked, as_words(codes[first : first + _BLOCK]))
        counts += np.bincount((apart + offsets).ravel(), minlength=counts.size).reshape(counts.shape)
    at_most = counts.cumsum(axis=1) - 1
    distances = np.stack([_apart(asked[:, [each]], as_words(codes[rows]))[0] for each, rows in enumerate(nearest)])
    return np.take_along_axis(at_most, distances.astype(np.int64), axis=1)


def _apart(asked: NDArray[np.uint64], words: NDArray[np.uint64]) -> NDArray[np.uint16]:
    """Differing bits of codes as words: (words, m) and (words, n) make (m, n)."""
    apart = np.zeros((asked.shape[1], words.shape[1]), np.uint16)
    for one, other in zip(asked, words, strict=True):
        apart += np.bitwise_count(one[:, None] ^ other)
    return apart


def _unit(vectors: NDArray[np.float16]) -> NDArray[np.float32]:
    """``vectors`` as float32 of length 1; zeros stay zeros."""
    floats = vectors.astype(np.float32)
    lengths = np.sqrt((floats * floats).sum(axis=1, keepdims=True))
    np.divide(floats, lengths, out=floats, where=lengths > 0)
    return floats
