"""Augmented pictures keep their range and depend on the generator alone; mixed ones say what they are made of."""

import pytest
import torch
from torch import Tensor

from training.augmentation import augment, mix


def random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def batch() -> Tensor:
    """Sixteen noisy pictures of 20 × 20."""
    return torch.randint(0, 256, (16, 20, 20, 3), dtype=torch.uint8, generator=random())


@pytest.mark.parametrize("size", [12, 16, 20])
def test_augmented_pictures_have_the_networks_shape_and_range(batch: Tensor, size: int) -> None:
    images = augment(batch, size, random())
    assert images.shape == (16, 3, size, size)
    assert images.dtype == torch.float32
    assert images.min() >= 0
    assert images.max() <= 1


def test_augmentation_depends_on_the_generator_alone(batch: Tensor) -> None:
    first = augment(batch, 16, random(7))
    torch.manual_seed(99)
    assert torch.equal(augment(batch, 16, random(7)), first)
    assert not torch.equal(augment(batch, 16, random(8)), first)


def test_augmentation_leaves_the_kept_pictures_as_they_are(batch: Tensor) -> None:
    before = batch.clone()
    augment(batch, 16, random())
    assert torch.equal(batch, before)


def test_no_two_pictures_of_a_batch_are_augmented_alike(batch: Tensor) -> None:
    images = augment(batch[:1].expand(16, -1, -1, -1), 16, random())
    assert len({image.numpy().tobytes() for image in images}) == 16


def test_a_black_picture_stays_black_and_a_grey_one_grey() -> None:
    assert augment(torch.zeros(8, 20, 20, 3, dtype=torch.uint8), 16, random()).max() < 1e-6
    grey = augment(torch.full((64, 20, 20, 3), 100, dtype=torch.uint8), 16, random())
    assert (grey.amax(1) - grey.amin(1)).max() < 1e-5  # no colour comes from nowhere
    assert grey.min() > 0.6 * 100 / 255
    assert grey.max() < 1.4 * 100 / 255


def test_pictures_are_mirrored_about_half_of_the_time() -> None:
    """The left half is white: after augmentation it is brighter on the left or, mirrored, on the right."""
    picture = torch.zeros(200, 20, 20, 3, dtype=torch.uint8)
    picture[:, :, :10] = 255
    images = augment(picture, 16, random()).mean(1)
    mirrored = images[:, :, 8:].mean((1, 2)) > images[:, :, :8].mean((1, 2))
    assert 60 < mirrored.sum() < 140


def test_a_grey_picture_stays_grey() -> None:
    """Light and contrast change all channels alike, and saturation finds nothing."""
    grey = torch.randint(0, 256, (16, 20, 20, 1), dtype=torch.uint8, generator=random()).expand(16, 20, 20, 3)
    images = augment(grey, 16, random())
    torch.testing.assert_close(images[:, 0], images[:, 1])
    torch.testing.assert_close(images[:, 0], images[:, 2])


@pytest.mark.parametrize("seed", range(5))
def test_mixed_pictures_have_the_stated_share_of_their_own(seed: int) -> None:
    """Picture i is filled with the number i, so that each pixel says where it is from."""
    images = torch.arange(6.0).reshape(6, 1, 1, 1).expand(6, 3, 20, 20).clone()
    mixed, others, share = mix(images, random(seed))
    assert sorted(others.tolist()) == list(range(6))
    for row, other in enumerate(others.tolist()):
        own = float((mixed[row] == row).float().mean())
        assert own == pytest.approx(1.0 if other == row else share)
        assert set(mixed[row].unique().tolist()) <= {float(row), float(other)}
    assert torch.equal(images[:, 0, 0, 0], torch.arange(6.0))


def test_mixing_depends_on_the_generator_alone() -> None:
    images = torch.rand(4, 3, 8, 8, generator=random())
    assert torch.equal(mix(images, random(3))[0], mix(images, random(3))[0])
