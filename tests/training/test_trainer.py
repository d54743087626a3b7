"""A training is decided by its recipe, pictures and seed: killed and started again, it ends with the same weights."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pictures.preparation import Preprocessing
from training import trainer
from training.backbone import make_backbone
from training.checkpoint import Checkpoint, State
from training.errors import TrainingError
from training.network import HashNetwork
from training.pictures import LabelledPictures
from training.recipe import Recipe, size_at
from training.trainer import Trainer

PREPROCESSING = Preprocessing(image_size=32)


@pytest.fixture(scope="module")
def data() -> LabelledPictures:
    """Forty noisy squares, bright or dark; four held out, eight for validation."""
    random = np.random.default_rng(0)
    labels = np.arange(40) % 2
    pictures = random.integers(0, 80, (40, 40, 40, 3)) + 150 * labels[:, None, None, None]
    rows = np.arange(40)
    return LabelledPictures(pictures.astype(np.uint8), labels, ["dark", "light"], rows < 4, (rows >= 4) & (rows < 12))


class Killed(Exception):
    """What a killed process doesn't get to say."""


class Kept(Checkpoint):
    """Saves after every epoch; may be told to die after a number of them."""

    def __init__(self, path: Path, dies_after: int = 1000) -> None:
        super().__init__(path, "test", lambda _: None)
        self.states: list[State] = []
        self.dies_after = dies_after

    def save(self, state: State) -> None:
        super().save(state)
        self.states.append({"phase": state["phase"], "epoch": state["epoch"]})
        if len(self.states) == self.dies_after:
            raise Killed


def make(data: LabelledPictures, checkpoint: Checkpoint, **recipe: Any) -> Trainer:
    backbone = make_backbone("small", None, 32, 0)
    wanted = Recipe(**{"bits": (8, 16), "epochs": 3, "batch_size": 18, **recipe})
    return Trainer(data, PREPROCESSING, wanted, backbone, torch.device("cpu"), checkpoint)


def differing(ours: dict[int, HashNetwork], theirs: dict[int, HashNetwork]) -> list[str]:
    assert ours.keys() == theirs.keys()
    return [
        f"{bits}: {name}"
        for bits, network in ours.items()
        for name, value in network.state_dict().items()
        if not torch.equal(value, theirs[bits].state_dict()[name])
    ]


@contextmanager
def saving_always() -> Iterator[None]:
    before, trainer._SAVE_SECONDS = trainer._SAVE_SECONDS, -1.0
    yield
    trainer._SAVE_SECONDS = before


@pytest.fixture(scope="module")
def uninterrupted(data: LabelledPictures, tmp_path_factory: pytest.TempPathFactory) -> dict[int, HashNetwork]:
    torch.set_num_threads(1)
    return make(data, Kept(tmp_path_factory.mktemp("training") / "state")).run()


def test_each_width_has_a_network_on_one_backbone(uninterrupted: dict[int, HashNetwork]) -> None:
    picture = torch.rand(2, 3, 32, 32)
    assert list(uninterrupted) == [8, 16]
    for bits, network in uninterrupted.items():
        assert not network.training
        assert network.centroids.shape == (2, bits)
        assert network(picture).shape == (2, bits)
    assert uninterrupted[8].backbone is uninterrupted[16].backbone


@pytest.mark.parametrize("saves", [1, 2, 3, 4, 5])
def test_killed_after_any_save_it_ends_the_same(
    data: LabelledPictures, uninterrupted: dict[int, HashNetwork], tmp_path: Path, saves: int
) -> None:
    """Three saves in the first phase, then one before each of the four epochs of the second."""
    with saving_always():
        with pytest.raises(Killed):
            make(data, Kept(tmp_path / "state", dies_after=saves)).run()
        rest = Kept(tmp_path / "state")
        again = make(data, rest).run()
    phases = [(state["phase"], state["epoch"]) for state in rest.states]
    everything = [*(("classes", epoch) for epoch in (1, 2, 3)), *(("details", epoch) for epoch in range(4))]
    assert phases == everything[saves if saves < 4 else saves - 1 :]  # a phase saves before its first epoch, too
    assert differing(again, uninterrupted) == []


def test_killed_while_waiting_for_better_it_ends_the_same(data: LabelledPictures, tmp_path: Path) -> None:
    """The best weights so far, and how long ago they were, go on as well."""
    with saving_always():
        whole = make(data, Kept(tmp_path / "whole"), epochs=4, patience=2).run()
        with pytest.raises(Killed):
            make(data, Kept(tmp_path / "state", dies_after=2), epochs=4, patience=2).run()
        assert differing(make(data, Kept(tmp_path / "state"), epochs=4, patience=2).run(), whole) == []


def test_the_held_out_are_never_trained_on(data: LabelledPictures, tmp_path: Path) -> None:
    """Other pictures in their places change nothing."""
    assert make(data, Kept(tmp_path / "a")).trained_on == 36
    assert make(data, Kept(tmp_path / "a"), patience=1).trained_on == 28
    other = data.pictures.copy()
    other[data.held_out] = 255 - other[data.held_out]
    changed = LabelledPictures(other, data.labels, data.classes, data.held_out, data.validation)
    ours, theirs = (make(each, Kept(tmp_path / "b"), epochs=1).run() for each in (data, changed))
    assert differing(ours, theirs) == []


def test_patience_stops_a_training_that_gets_no_better(
    data: LabelledPictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Accuracies 0.5, 0.75, 0.5, 0.75: two epochs that were no better than the best, the later of which is kept."""
    seen: list[dict[str, torch.Tensor]] = []

    def accuracy(self: Trainer) -> float:
        seen.append({name: value.clone() for name, value in self._averaged.state_dict().items()})
        return (0.5, 0.75)[(len(seen) - 1) % 2]

    monkeypatch.setattr(Trainer, "_accuracy", accuracy)
    trained = make(data, Kept(tmp_path / "state"), epochs=9, patience=2).run()
    assert len(seen) == 4
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[3] for line in lines[:4]] == [
        f"validation accuracy {value}" for value in ("0.500", "0.750", "0.500", "0.750")
    ]
    best = seen[3]
    assert all(torch.equal(value, best[f"backbone.{name}"]) for name, value in trained[8].backbone.state_dict().items())


def test_the_validation_accuracy_counts_the_nearest_centroid(data: LabelledPictures, tmp_path: Path) -> None:
    """A head whose output is always the first class's centroid is right for every other picture."""
    wanted = make(data, Kept(tmp_path / "state"), bits=(8,), patience=3)
    head = wanted._averaged.heads[0]
    with torch.no_grad():
        head[0].weight.zero_()
        head[1].bias.copy_(wanted._centroids[8][0])
    assert wanted._accuracy() == 0.5


def test_the_average_forgets_the_start_in_a_short_training(data: LabelledPictures, tmp_path: Path) -> None:
    """Forty-eight steps: what is saved is near the last weights, not the first."""
    wanted = make(data, Kept(tmp_path / "state"), bits=(8,), epochs=24)
    start = {name: value.clone() for name, value in wanted._network.named_parameters()}
    wanted.run()
    saved = dict(wanted._averaged.named_parameters())
    for name, last in wanted._network.named_parameters():
        if name.endswith("0.weight"):
            assert (saved[name] - last).norm() < 0.1 * (start[name] - last).norm()


class Dropping(torch.nn.Module):
    """A backbone of the user's own that draws random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Conv2d(3, 6, 4, 4)
        self.drop = torch.nn.Dropout(0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.drop(self.layer(x).amax((2, 3)))


def test_random_numbers_of_a_users_network_go_on_too(data: LabelledPictures, tmp_path: Path) -> None:
    torch.manual_seed(0)
    torch.jit.script(Dropping()).save(str(tmp_path / "own.pt"))

    def own(checkpoint: Checkpoint) -> Trainer:
        backbone = make_backbone("small", tmp_path / "own.pt", 32, 0)
        return Trainer(data, PREPROCESSING, Recipe(epochs=3), backbone, torch.device("cpu"), checkpoint)

    with saving_always():
        whole = own(Kept(tmp_path / "whole")).run()
        with pytest.raises(Killed):
            own(Kept(tmp_path / "state", dies_after=2)).run()
        assert differing(own(Kept(tmp_path / "state")).run(), whole) == []


def test_a_network_that_begins_trained_sees_full_size_throughout(
    data: LabelledPictures, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It may take no other size at all."""
    fixed = torch.nn.Sequential(torch.nn.AvgPool2d(32), torch.nn.Flatten(), torch.nn.Linear(3 * 16, 8))
    torch.jit.script(fixed).save(str(tmp_path / "own.pt"))
    larger = data.pictures.repeat(4, axis=1).repeat(4, axis=2)
    pictures = LabelledPictures(larger, data.labels, data.classes, data.held_out, data.validation)
    backbone = make_backbone("small", tmp_path / "own.pt", 128, 0)
    recipe, size = Recipe(bits=(8,), epochs=2, grows=False), Preprocessing(image_size=128)
    Trainer(pictures, size, recipe, backbone, torch.device("cpu"), Kept(tmp_path / "state")).run()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[1] for line in lines[:2]] == ["128 px", "128 px"]


@pytest.mark.parametrize(
    ("rows", "patience", "complaint"),
    [(range(4), 1, "to set a tenth aside"), (range(4, 13), 1, "fewer than 2"), (range(5), None, "fewer than 2")],
    ids=["no validation", "one left", "one at all"],
)
def test_too_few_pictures_are_refused(
    data: LabelledPictures, tmp_path: Path, rows: range, patience: int | None, complaint: str
) -> None:
    some = np.array(rows)
    few = LabelledPictures(
        data.pictures[some], data.labels[some], data.classes, data.held_out[some], data.validation[some]
    )
    with pytest.raises(TrainingError, match=complaint):
        make(few, Kept(tmp_path / "state"), patience=patience)


def test_pictures_grow_on_the_way() -> None:
    assert [size_at(progress, 128) for progress in (0.0, 0.59, 0.6, 0.84, 0.85, 0.99)] == [
        96,
        96,
        112,
        112,
        128,
        128,
    ]
    assert [size_at(progress, 224) for progress in (0.0, 0.7, 0.9)] == [112, 160, 224]
    assert [size_at(progress, 300) for progress in (0.0, 0.7, 0.9)] == [144, 224, 300]
    assert {size_at(progress / 10, 32) for progress in range(10)} == {32}
    assert {size_at(progress / 10, 50) for progress in range(9)} == {48}
