"""A training that leaves part of its backbone alone computes that part once for each view."""

from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch

from pictures.preparation import Preprocessing
from tests.training.test_trainer import Kept, Killed, differing, saving_always
from training.efficientnet import MEAN, STD, VARIANTS, EfficientNetLite
from training.kept import Tune, Views, rest, trained_parameters
from training.network import HashNetwork
from training.pictures import LabelledPictures
from training.recipe import Recipe
from training.trainer import Trainer

PREPROCESSING = Preprocessing(image_size=64, mean=MEAN, std=STD)


def network() -> EfficientNetLite:
    torch.manual_seed(3)
    return EfficientNetLite(VARIANTS["efficientnet-lite0"]).eval()


@pytest.fixture(scope="module")
def data() -> LabelledPictures:
    """Forty noisy squares, bright or dark; four held out."""
    random, labels = np.random.default_rng(0), np.arange(40) % 2
    pictures = random.integers(0, 80, (40, 80, 80, 3)) + 150 * labels[:, None, None, None]
    rows = np.arange(40)
    return LabelledPictures(pictures.astype(np.uint8), labels, ["dark", "light"], rows < 4, rows < 0)


def make(data: LabelledPictures, checkpoint: Kept, tune: Tune) -> Trainer:
    recipe = Recipe(bits=(8,), epochs=2, batch_size=18, tune=tune, grows=False)
    return Trainer(data, PREPROCESSING, recipe, network(), torch.device("cpu"), checkpoint)


def noise(rows: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """A view of pictures that are all of one value, their row's."""
    return torch.rand((len(rows), 3, 64, 64), generator=random) + rows.reshape(-1, 1, 1, 1) / 100


@pytest.mark.parametrize("tune", ["frozen", "top"])
def test_what_is_kept_makes_the_same_features_and_levels(tune: Tune) -> None:
    rows = torch.arange(3, 23)
    views = Views(network(), tune, rows, noise, seed=5)
    kept = views.of(0, rows)
    pictures = noise(rows, torch.Generator().manual_seed(6))[:16]  # a batch
    again = Views(network(), tune, rows[:16], lambda some, random: pictures[: len(some)], seed=5).of(0, rows[:16])
    with torch.inference_mode():
        expected = network()(pictures)
        for ours, theirs in zip(rest(network(), tune, again), expected, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0.05, atol=0.02 * float(theirs.abs().max()))  # bfloat16
    for some in kept:
        assert len(some) == 20


def test_a_view_is_the_same_whenever_it_is_asked_for() -> None:
    rows = torch.tensor([2, 5, 7])
    first, second = (Views(network(), "top", rows, noise, seed=1) for _ in range(2))
    late = [first.of(number, rows)[0] for number in (0, 1, 2)][2]
    assert torch.equal(second.of(2, rows)[0], late)
    assert torch.equal(second.of(2, rows[1:])[0], late[1:])
    assert not torch.equal(second.of(1, rows)[0], late)
    assert torch.equal(second.of(2 + second._count, rows)[0], late)


def test_the_top_is_trained_without_the_filters_of_single_channels() -> None:
    backbone = network()
    names = {id(parameter): name for name, parameter in backbone.named_parameters()}
    trained = [names[id(parameter)] for parameter in trained_parameters(backbone, "top")]
    assert all(name.startswith(("stretches.4.", "head.")) for name in trained)
    assert not any(name.startswith("stretches.4.0.") for name in trained)
    shapes = [tuple(backbone.get_parameter(name).shape) for name in trained]
    assert (1152, 192, 1, 1) in shapes
    assert not any(len(shape) == 4 and shape[1] == 1 for shape in shapes)
    assert trained_parameters(backbone, "frozen") == []
    assert len(trained_parameters(backbone, "full")) == len(names)


@pytest.mark.parametrize(("tune", "changed"), [("frozen", set()), ("top", {"stretches.4", "head.0"})])
def test_only_what_is_tuned_changes(data: LabelledPictures, tmp_path: Path, tune: Tune, changed: set[str]) -> None:
    trained = make(data, Kept(tmp_path / "state"), tune).run()[8]
    before, after = network().state_dict(), trained.backbone.state_dict()
    other = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert {".".join(name.split(".")[:2]) for name in other} == changed
    assert not any(name.startswith("stretches.4.0.") for name in other)


def test_killed_with_views_in_memory_it_ends_the_same(data: LabelledPictures, tmp_path: Path) -> None:
    with saving_always():
        whole: dict[int, HashNetwork] = make(data, Kept(tmp_path / "whole"), "top").run()
        with pytest.raises(Killed):
            make(data, Kept(tmp_path / "state", dies_after=1), "top").run()
        again = make(data, Kept(tmp_path / "state"), "top").run()
    assert differing(again, whole) == []
    assert cast(EfficientNetLite, again[8].backbone).channels == 1280
