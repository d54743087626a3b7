"""The baselines that a model must beat: signatures that need no training.

All start from the picture stretched to 64 × 64 by the models' own decoder (``pictures.decode``).
"""

import numpy as np
from numpy.typing import NDArray

from pictures.preparation import Preprocessing
from training.signatures import L1_TOTAL, Method

Pictures = NDArray[np.uint8]

_SIDE = 64
_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601


def phash(pictures: Pictures) -> NDArray[np.uint8]:
    """Perceptual hash: C. Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010.

    Takes the cosine transform of the 32 × 32 grey picture and its 8 × 8 lowest frequencies without the zeroth row and
    column; a bit is 1 above their median. uint8 (n, 64, 64, 3) → (n, 8).
    """
    place, frequency = np.arange(32), np.arange(1, 9)
    cosines = np.cos(np.pi * frequency[:, None] * (2 * place + 1) / 64) / 4  # DCT-II, orthonormal
    small = _shrunk(pictures, 32, 32)
    # Rounded: a flat picture's frequencies are rounding noise, and so would its code be.
    lowest = (cosines @ small @ cosines.T).round(3).reshape(-1, 64)
    return np.packbits(lowest > np.median(lowest, axis=1, keepdims=True), axis=1)


def dhash(pictures: Pictures) -> NDArray[np.uint8]:
    """Difference hash (N. Krawetz, "Kind of Like That", 2013): 9 × 8 grey cells; a bit is 1 where the cell to the right
    is brighter. uint8 (n, 64, 64, 3) → (n, 8)."""
    small = _shrunk(pictures, 8, 9).round(3)
    return np.packbits((small[:, :, 1:] > small[:, :, :-1]).reshape(-1, 64), axis=1)


def colour_histogram(pictures: Pictures) -> NDArray[np.uint8]:
    """The share of pixels in each of 4 × 4 × 4 cells of RGB, in 255ths, rounded down. uint8 (n, 64, 64, 3) → (n, 64).

    M. Swain, D. Ballard, "Color Indexing", 1991. Compared by L1; their histogram intersection is half of it.
    """
    red, green, blue = np.moveaxis(pictures >> 6, 3, 0).reshape(3, len(pictures), -1)
    cells = red * 16 + green * 4 + blue + np.arange(len(pictures))[:, None] * 64
    counts = np.bincount(cells.ravel(), minlength=64 * len(pictures)).reshape(-1, 64)
    return (counts * L1_TOTAL // (_SIDE * _SIDE)).astype(np.uint8)


def _shrunk(pictures: Pictures, height: int, width: int) -> NDArray[np.float64]:
    """Returns grey (n, height, width), 0…255: each cell is the mean of the area that it covers."""
    grey: NDArray[np.float64] = _areas(height) @ (pictures @ _LUMA) @ _areas(width).T
    return grey


def _areas(cells: int) -> NDArray[np.float64]:
    """Returns (cells, 64): how much of each cell each pixel fills."""
    edges = np.arange(cells + 1) * _SIDE / cells
    pixels = np.arange(_SIDE)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    areas: NDArray[np.float64] = np.maximum(overlap, 0.0) * cells / _SIDE
    return areas


_PREPARED = Preprocessing(image_size=_SIDE, jpeg_draft=2.0)

BASELINES = (
    Method("pHash", "64 bits", _PREPARED, phash),
    Method("dHash", "64 bits", _PREPARED, dhash),
    Method("colour histogram", "64 bytes, L1", _PREPARED, colour_histogram, "l1"),
)
