"""Fits what makes codes of float vectors: a mean for each modality, and a rotation.

Without pictures the means are zero, and the rotation is a random one (Charikar, 2002). With pictures, vectors are
centred, and the rotation is turned until its signs lie nearest to what they stand for: iterative quantisation (Gong and
Lazebnik, 2011).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_SEED = 17
_ROUNDS = 30


@dataclass(frozen=True)
class Rotation:
    """float32: ``image_mean`` and ``text_mean`` (width), ``rotation`` (width, bits)."""

    image_mean: Floats
    text_mean: Floats
    rotation: Floats


def random_rotation(width: int, bits: int) -> Floats:
    """Returns float32 (width, bits): orthogonal columns, as many as there are dimensions, then others."""
    rng = np.random.default_rng(_SEED)
    parts = [np.linalg.qr(rng.standard_normal((width, width)))[0] for _ in range(-(-bits // width))]
    return np.concatenate(parts, axis=1)[:, :bits].astype(np.float32)


def unfitted(width: int, bits: int) -> Rotation:
    """Returns what needs no pictures."""
    zero = np.zeros(width, np.float32)
    return Rotation(zero, zero, random_rotation(width, bits))


def fitted(pictures: Floats, texts: Floats, bits: int) -> Rotation:
    """Returns the rotation for vectors like those of ``pictures`` and ``texts``, (n, width) and (m, width) at length 1;
    m may be 0. From fewer pictures than bits only the means are fitted."""
    width = pictures.shape[1]
    image_mean = pictures.mean(axis=0)
    text_mean = texts.mean(axis=0) if len(texts) else np.zeros(width, np.float32)
    if bits > width or len(pictures) < 2 * bits:
        return Rotation(image_mean, text_mean, random_rotation(width, bits))
    centred = (pictures - image_mean).astype(np.float64)
    axes = np.linalg.svd(centred, full_matrices=False)[2][:bits].T  # (width, bits): principal axes
    reduced = centred @ axes
    turn = random_rotation(bits, bits).astype(np.float64)
    for _ in range(_ROUNDS):
        left, _, right = np.linalg.svd(np.sign(reduced @ turn).T @ reduced)
        turn = (left @ right).T
    return Rotation(image_mean, text_mean, (axes @ turn).astype(np.float32))
