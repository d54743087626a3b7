"""Vectors → places in a plane, where neighbours stay together: for a map of all pictures.

    all vectors ─▶ the axes along which a sample of them varies most (PCA)
                ─▶ at most 1,000 of the sample, the landmarks, laid out by their neighbours (t-SNE)
                ─▶ every other vector between the landmarks nearest to it ─▶ crowded parts are stretched

The landmarks' layout costs the same for any number of pictures; placing the rest takes one matrix product, in blocks of
bounded size. The same vectors always give the same places.

t-SNE: van der Maaten & Hinton 2008, https://jmlr.org/papers/v9/vandermaaten08a.html, exact, begun from the PCA.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.space import CODE, EMBEDDING, Vectors

Floats = NDArray[np.float32]

LANDMARKS = 1000
#: Rows that the axes are found from, and rows that are placed at a time.
_SAMPLE = 20_000
_BLOCK = 4096
_AXES = 32
#: How much the further codes count beside the first: they arrange the pictures of one kind among themselves.
_FURTHER = 0.25

_PERPLEXITY = 30.0
_ROUNDS = 350
_EXAGGERATED_ROUNDS = 100
_EXAGGERATION = 4.0
#: How many times as narrow as its neighbourhood in the layout a landmark's pull on others is.
_NARROWER = 8.0
#: How far crowded parts are stretched, 0 to 1, and how many times each axis is halved for it at most.
_EVENNESS = 0.67
_HALVINGS = 5


def places(vectors: Vectors) -> Floats:
    """A place in [0, 1]² for each row of ``vectors``: (n, 2), float32. The rows are as in ``contract.space``."""
    arrays = _arrays(vectors)
    count = len(arrays[0][0])
    if count < 2:
        return np.full((count, 2), 0.5, np.float32)
    sample = _spread(count, _SAMPLE)
    of_sample = _numbers(arrays, sample)
    mean = of_sample.mean(axis=0)
    axes = _axes(of_sample - mean)
    reduced = (of_sample - mean) @ axes
    _, firsts = np.unique(reduced.round(4), axis=0, return_index=True)  # copies would crowd the others out
    marks = np.sort(firsts)[_spread(len(firsts), LANDMARKS)]
    landmarks = reduced[marks]
    layout, narrowness = _layout(landmarks)
    placed = np.empty((count, 2), np.float32)
    for block in _blocks(count):
        placed[block] = _between((_numbers(arrays, block) - mean) @ axes, landmarks, layout, narrowness)
    placed[sample[marks]] = layout
    return _filling(placed)


def _arrays(vectors: Vectors) -> list[tuple[NDArray[Any], float]]:
    """The arrays to look at, each with its weight."""
    if EMBEDDING in vectors:
        return [(vectors[EMBEDDING], 1.0)]
    return [(array, 1.0 if name == CODE else _FURTHER) for name, array in vectors.items() if array.dtype == np.uint8]


def _numbers(arrays: list[tuple[NDArray[Any], float]], rows: Any) -> Floats:
    """The vectors of ``rows`` side by side as numbers, bits as ±1."""
    parts = []
    for array, weight in arrays:
        some = np.asarray(array[rows])
        if some.dtype == np.uint8:
            some = np.unpackbits(some, axis=1).astype(np.float32) * 2 - 1
        parts.append(some.astype(np.float32) * np.float32(weight))
    return np.concatenate(parts, axis=1)


def _spread(count: int, most: int) -> NDArray[np.int64]:
    """At most ``most`` of ``count`` rows: chosen by chance, and the same each time, ascending."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(count).choice(count, most, replace=False))


def _blocks(count: int) -> Iterator[slice]:
    for start in range(0, count, _BLOCK):
        yield slice(start, min(start + _BLOCK, count))


def _axes(centred: Floats) -> Floats:
    """The directions in which ``centred`` varies most, as columns, at most 32."""
    _, vectors = np.linalg.eigh((centred.T @ centred).astype(np.float64))
    axes = vectors[:, ::-1][:, :_AXES]
    strongest = np.take_along_axis(axes, np.abs(axes).argmax(axis=0)[None], axis=0)
    signed: Floats = (axes * np.sign(strongest)).astype(np.float32)  # either sign is right: one of them is chosen
    return signed


def _layout(points: Floats) -> tuple[Floats, Floats]:
    """Places of ``points``, (n, 2), and for each how narrow its neighbourhood is: 1 / the variance within it."""
    count = len(points)
    plane = np.zeros((count, 2), np.float32)
    plane[:, : points.shape[1]] = points[:, :2]
    if count == 1:
        return plane, np.ones(1, np.float32)
    near, narrowness = _affinities(_squares(points, points))
    if count <= 3:
        return plane, narrowness
    shared = near + near.T
    shared /= shared.sum()
    plane *= np.float32(1e-2) / max(float(plane.std()), 1e-9)
    step, momentum, rate = np.zeros_like(plane), 0.5, max(count / _EXAGGERATION, 50.0)
    gains = np.ones_like(plane)
    for turn in range(_ROUNDS):
        early = turn < _EXAGGERATED_ROUNDS
        momentum = 0.5 if early else 0.8
        inverse = 1 / (1 + _squares(plane, plane))
        np.fill_diagonal(inverse, 0)
        pull = (shared * np.float32(_EXAGGERATION if early else 1) - inverse / inverse.sum()) * inverse
        gradient = 4 * (pull.sum(axis=1, keepdims=True) * plane - pull @ plane)
        gains = np.clip(np.where((gradient > 0) == (step > 0), gains * 0.8, gains + 0.2), 0.01, None)
        step = (momentum * step - rate * gains * gradient).astype(np.float32)
        plane += step
        plane -= plane.mean(axis=0)
    return plane, narrowness


def _squares(ones: Floats, others: Floats) -> Floats:
    """The squared distances of all ``ones`` to all ``others``."""
    far = ones @ others.T
    far *= -2
    far += (ones * ones).sum(axis=1)[:, None]
    far += (others * others).sum(axis=1)
    np.maximum(far, 0, out=far)
    return far


def _affinities(squares: Floats) -> tuple[Floats, Floats]:
    """For each point the shares of its neighbours, so wide that about 30 of them count, by bisection; and how narrow
    that made it."""
    count = len(squares)
    wanted = np.log(min(_PERPLEXITY, max((count - 1) / 3, 1.0)))
    apart = squares.astype(np.float64)
    np.fill_diagonal(apart, np.inf)
    apart -= apart.min(axis=1, keepdims=True)
    low, high = np.zeros(count), np.full(count, np.inf)
    narrow = np.full(count, 1 / max(float(squares.mean()), 1e-12))
    finite = np.where(np.isfinite(apart), apart, 0)
    for _ in range(50):
        near = np.exp(-apart * narrow[:, None])
        total = near.sum(axis=1)
        entropy = np.log(total) + narrow * (near * finite).sum(axis=1) / total
        wide = entropy > wanted
        low, high = np.where(wide, narrow, low), np.where(wide, high, narrow)
        narrow = np.where(np.isinf(high), np.minimum(narrow * 2, 1e12), (low + high) / 2)
    near = np.exp(-apart * narrow[:, None])
    return (near / near.sum(axis=1, keepdims=True)).astype(np.float32), narrow.astype(np.float32)


def _between(points: Floats, landmarks: Floats, layout: Floats, narrowness: Floats) -> Floats:
    """The places of ``points``: between those of the landmarks near to them, the nearest counting most."""
    apart = _squares(points, landmarks)
    nearest = apart.argmin(axis=1)
    apart -= np.take_along_axis(apart, nearest[:, None], axis=1)
    apart *= -(_NARROWER * narrowness[nearest])[:, None]
    pull = np.exp(apart, out=apart)
    between: Floats = (pull @ layout) / pull.sum(axis=1, keepdims=True)
    return between


def _filling(plane: Floats) -> Floats:
    """``plane`` in [0, 1]², stretched where it is crowded: two thirds of the way to all parts being equally full."""
    low, high = plane.min(axis=0), plane.max(axis=0)
    scaled = (plane - low) / np.maximum(high - low, 1e-12)
    even = _even(scaled)
    stretched: Floats = np.clip(scaled + (even - scaled) * np.float32(_EVENNESS), 0, 1)
    return stretched


def _even(plane: Floats) -> Floats:
    """The points moved so that every part of the square holds equally many: halved by their x, each half by its y, and
    so on, and spread out by rank within the last halves."""
    count = len(plane)
    halvings = 2 * min(_HALVINGS, max((count.bit_length() - 2) // 2, 1))
    part = np.zeros(count, np.int64)
    cell = np.zeros((count, 2), np.int64)
    for turn in range(halvings):
        axis = turn % 2
        second = _share(part, plane[:, axis]) >= 0.5
        part = 2 * part + second
        cell[:, axis] = 2 * cell[:, axis] + second
    within = np.stack([_share(part, plane[:, axis]) for axis in range(2)], axis=1)
    return ((cell + within) / (1 << (halvings // 2))).astype(np.float32)


def _share(part: NDArray[np.int64], values: Floats) -> NDArray[np.float64]:
    """For each point the share of its part's points that come before it by ``values``, in [0, 1); rows break ties."""
    order = np.lexsort((values, part))
    ordered = part[order]
    starts = np.searchsorted(ordered, ordered, side="left")
    ends = np.searchsorted(ordered, ordered, side="right")
    share = np.empty(len(part))
    share[order] = (np.arange(len(part)) - starts + 0.5) / (ends - starts)
    return share
