"""Baselines change with what they look at, and with nothing else."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from training.baselines import BASELINES, colour_histogram, dhash, phash
from training.signatures import L1_TOTAL, Method, Signatures

Pictures = NDArray[np.uint8]
Sign = Callable[[Pictures], Pictures]


@pytest.fixture
def pictures() -> Pictures:
    """Ten smooth pictures of mid tones, uint8 (10, 64, 64, 3): patterns of 4 × 4 cells, magnified."""
    cells = np.random.default_rng(0).integers(60, 160, (10, 4, 4, 3), dtype=np.uint8)
    return cells.repeat(16, axis=1).repeat(16, axis=2)


def bits_changed(before: Pictures, after: Pictures) -> NDArray[np.int64]:
    changed: NDArray[np.int64] = np.bitwise_count(before ^ after).sum(axis=1, dtype=np.int64)
    return changed


@pytest.mark.parametrize("method", BASELINES, ids=lambda method: method.name)
def test_a_signature_is_the_pictures_own(method: Method, pictures: Pictures) -> None:
    """Alone or in a batch, the same; and as long as the note says."""
    together = method.sign(pictures)
    alone = np.concatenate([method.sign(pictures[row : row + 1]) for row in range(10)])
    np.testing.assert_array_equal(together, alone)
    assert together.dtype == np.uint8
    assert together.shape == (10, 64 if method.metric == "l1" else 8)
    assert method.preprocessing.image_size == 64


@pytest.mark.parametrize("sign", [phash, dhash])
def test_perceptual_hashes_ignore_brightness_and_tell_pictures_apart(sign: Sign, pictures: Pictures) -> None:
    codes = sign(pictures)
    assert bits_changed(codes, sign(pictures + 40)).max() == 0
    far = Signatures(codes).distances(Signatures(codes))[~np.eye(10, dtype=bool)]
    assert far.min() >= 8


def test_phash_bits_are_balanced_in_each_picture(pictures: Pictures) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)
    assert np.bitwise_count(phash(noise)).sum(axis=1).tolist() == [32] * 5


def test_phash_sees_one_wave_as_one_frequency() -> None:
    """A cosine of frequency 3 down and 2 across: of the 64 coefficients only the one in row 3, column 2 is high."""
    place = (2 * np.arange(32) + 1) * np.pi / 64
    wave = (128 + 60 * np.cos(3 * place)[:, None] * np.cos(2 * place)).round().astype(np.uint8)
    picture = wave.repeat(2, axis=0).repeat(2, axis=1)[None, :, :, None].repeat(3, axis=3)
    coefficient = np.unpackbits(phash(picture)).reshape(8, 8)[2, 1]
    assert coefficient == 1
    assert np.unpackbits(phash(255 - picture)).reshape(8, 8)[2, 1] == 0


def test_dhash_bits_say_where_it_gets_brighter() -> None:
    ramp = np.arange(0, 256, 4, dtype=np.uint8)[None, None, :, None] + np.zeros((1, 64, 64, 3), np.uint8)
    assert dhash(ramp).tolist() == [[255] * 8]
    assert dhash(ramp[:, :, ::-1]).tolist() == [[0] * 8]
    half = np.concatenate([ramp[:, :32], ramp[:, :32, ::-1]], axis=1)
    assert dhash(half).tolist() == [[255] * 4 + [0] * 4]


@pytest.mark.parametrize("sign", [phash, dhash])
@pytest.mark.parametrize("grey", [0, 1, 77, 255])
def test_a_flat_picture_has_the_code_of_nothing(sign: Sign, grey: int) -> None:
    assert sign(np.full((1, 64, 64, 3), grey, np.uint8)).tolist() == [[0] * 8]


def test_the_histogram_ignores_where_colours_are(pictures: Pictures) -> None:
    order = np.random.default_rng(2).permutation(64 * 64)
    moved = pictures.reshape(10, -1, 3)[:, order].reshape(pictures.shape)
    np.testing.assert_array_equal(colour_histogram(pictures), colour_histogram(moved))
    assert not np.array_equal(colour_histogram(pictures), colour_histogram(pictures[..., ::-1]))


def test_the_histogram_counts_shares() -> None:
    picture = np.zeros((1, 64, 64, 3), np.uint8)
    picture[:, :32] = (255, 0, 64)  # cells 3, 0, 1
    histogram = colour_histogram(picture)[0]
    assert {cell: int(histogram[cell]) for cell in np.flatnonzero(histogram)} == {0: 127, 3 * 16 + 1: 127}


def test_histograms_never_exceed_their_total(pictures: Pictures) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)
    for each in (pictures, noise, np.zeros_like(noise)):
        assert colour_histogram(each).sum(axis=1).max() <= L1_TOTAL
