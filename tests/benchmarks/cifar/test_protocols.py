"""The splits are the papers', and a training on a tiny file in CIFAR-10's format ends with figures of all widths."""

import json
import runpy
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from PIL import Image

from benchmarks.cifar.data import Split, read, split_by
from benchmarks.cifar.network import CifarNetwork, whitening
from benchmarks.cifar.protocols import BITS, main
from benchmarks.cifar.trainer import CONFIDENT, INERTIA, HeadsLoss, follow
from benchmarks.cifar.views import MEAN, STD, patchy, weak
from training.errors import TrainingError
from training.quality import FIGURES

Arrays = dict[str, NDArray[np.generic]]


def jpeg(pixels: NDArray[np.uint8]) -> bytes:
    file = BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=95)
    return file.getvalue()


def arrays(per_class: int, test_per_class: int) -> Arrays:
    """Bright and dark pictures in turn, the last ones for testing."""
    random = np.random.default_rng(0)
    count, tests = 2 * per_class, 2 * test_per_class
    label = np.arange(count) % 2
    noise = random.integers(0, 100, (count, 32, 32, 3))
    pictures = (noise + 150 * label[:, None, None, None]).astype(np.uint8)
    files = [jpeg(pixels) for pixels in pictures]
    return {
        "jpeg": np.frombuffer(b"".join(files), np.uint8),
        "offset": np.cumsum([0, *map(len, files)]),
        "label": label.astype(np.uint8),
        "split": (np.arange(count) >= count - tests).astype(np.uint8),
        "classes": np.array(["dark", "bright"]),
    }


def write(path: Path, content: Arrays) -> Path:
    np.savez(path, **content)  # type: ignore[arg-type]
    return path


def run(data: Path, out: Path, *more: str) -> Result:
    return CliRunner().invoke(main, ["--data", str(data), "--out", str(out), "--epochs", "1", *more])


def test_it_is_a_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["benchmarks.cifar", "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("benchmarks.cifar", run_name="__main__", alter_sys=True)
    assert ended.value.code == 0
    assert "--protocol [5000|50000]" in capsys.readouterr().out


# --- Splits, of labels as CIFAR-10 has them: 6,000 of each of ten classes, the last 1,000 for testing


LABELS = np.arange(60_000) % 10
TEST = np.arange(60_000) >= 50_000


def test_protocol_5000_has_the_papers_sizes_in_every_class() -> None:
    split = split_by("5000", LABELS, TEST, seed=0)
    for rows, of_each_class in ((split.queries, 100), (split.database, 5900), (split.labelled, 500)):
        assert np.bincount(LABELS[rows]).tolist() == [of_each_class] * 10
        assert len(np.unique(rows)) == len(rows)


def test_protocol_5000_searches_everything_but_the_queries() -> None:
    split = split_by("5000", LABELS, TEST, seed=0)
    assert sorted([*split.queries, *split.database]) == list(range(60_000))
    assert np.isin(split.labelled, split.database).all()


def test_unlabelled_pictures_are_the_rest_of_the_database() -> None:
    split = split_by("5000", LABELS, TEST, seed=0)
    assert len(split.unlabelled) == 54_000
    assert sorted([*split.unlabelled, *split.labelled]) == sorted(split.database)
    assert not np.isin(split.unlabelled, split.queries).any()


def test_protocol_5000_draws_from_training_and_test_pictures_alike() -> None:
    queries = split_by("5000", LABELS, TEST, seed=0).queries
    assert 100 < TEST[queries].sum() < 250  # a sixth of 1,000 is expected


def test_protocol_50000_is_the_data_sets_own_split() -> None:
    split = split_by("50000", LABELS, TEST, seed=0)
    assert split.queries.tolist() == list(range(50_000, 60_000))
    assert split.database.tolist() == split.labelled.tolist() == list(range(50_000))
    assert len(split.unlabelled) == 0


def test_the_split_depends_on_the_seed_alone() -> None:
    def rows(split: Split) -> list[int]:
        return [*split.queries, *split.labelled]

    assert rows(split_by("5000", LABELS, TEST, 3)) == rows(split_by("5000", LABELS, TEST, 3))
    assert rows(split_by("5000", LABELS, TEST, 3)) != rows(split_by("5000", LABELS, TEST, 4))


def test_too_few_pictures_of_a_class_are_refused() -> None:
    with pytest.raises(TrainingError, match="protocol 5000 needs at least 600 pictures of each class"):
        split_by("5000", np.arange(1199) % 2, np.arange(1199) > 1000, seed=0)


def test_no_test_pictures_are_refused() -> None:
    with pytest.raises(TrainingError, match="protocol 50000 needs both training and test pictures"):
        split_by("50000", np.arange(10) % 2, np.zeros(10, bool), seed=0)


# --- The file


def test_pictures_are_read_as_they_were_written(tmp_path: Path) -> None:
    cifar = read(write(tmp_path / "tiny.npz", arrays(per_class=3, test_per_class=1)))
    assert cifar.pictures.shape == (6, 32, 32, 3)
    assert cifar.pictures.mean((1, 2, 3)) == pytest.approx([49.5, 199.5] * 3, abs=3)
    assert cifar.labels.tolist() == [0, 1] * 3
    assert cifar.test.tolist() == [False] * 4 + [True] * 2
    assert cifar.classes == ["dark", "bright"]


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        ({"label": None}, "is no npz file with jpeg, offset, label, split and classes"),
        ({"offset": np.arange(3)}, "jpeg, offset, label, split and classes don't fit together"),
        ({"label": np.full(6, 2)}, "jpeg, offset, label, split and classes don't fit together"),
        ({"split": np.zeros(5)}, "jpeg, offset, label, split and classes don't fit together"),
    ],
    ids=["no labels", "offsets", "unknown class", "short split"],
)
def test_arrays_that_do_not_fit_are_refused(
    tmp_path: Path, damage: dict[str, NDArray[np.generic] | None], complaint: str
) -> None:
    content = {name: value for name, value in (arrays(3, 1) | damage).items() if value is not None}
    with pytest.raises(TrainingError, match=complaint):
        read(write(tmp_path / "bad.npz", content))


def test_a_damaged_picture_is_named(tmp_path: Path) -> None:
    content = arrays(3, 1)
    start = int(content["offset"][2])
    damaged = content["jpeg"].copy()
    damaged[start : start + 100] = 0
    with pytest.raises(TrainingError, match="picture 2: not an image of a known format"):
        read(write(tmp_path / "bad.npz", content | {"jpeg": damaged}))


@pytest.mark.parametrize("content", [b"", b"no npz file", b"PK\x03\x04 cut off"], ids=["empty", "text", "cut off"])
def test_a_file_of_another_kind_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    data = tmp_path / "bad.npz"
    data.write_bytes(content)
    result = run(data, tmp_path / "out.json")
    assert result.exit_code == 1
    assert result.output.startswith(f"Error: {data} is no npz file with jpeg, offset, label, split and classes")
    assert len(result.output.splitlines()) == 1
    assert not (tmp_path / "out.json").exists()


# --- Network, views, teacher


def test_the_first_layer_whitens_patches() -> None:
    """Its outputs over all patches of the pictures it was made from are uncorrelated and of variance 1."""
    random = torch.Generator().manual_seed(0)
    pictures = torch.randn(20, 3, 16, 16, generator=random).cumsum(2)  # neighbours are alike
    filters = whitening(pictures)
    assert filters.shape == (24, 3, 2, 2)
    assert torch.equal(filters[:12], -filters[12:])
    outputs = torch.nn.functional.conv2d(pictures, filters[:12]).transpose(0, 1).reshape(12, -1)
    torch.testing.assert_close(outputs.cov(), torch.eye(12), atol=0.01, rtol=0)


def test_a_network_has_outputs_for_all_heads() -> None:
    network = CifarNetwork(torch.randn(24, 3, 2, 2), [16, 8]).eval()
    assert network(torch.zeros(5, 3, 32, 32)).shape == (5, 24)


def test_a_weak_view_is_moved_by_two_pixels_at_most_and_perhaps_flipped() -> None:
    """Column x has the value x: a moved row reads 1 0 1 2 3 … where its edge is mirrored."""
    columns = np.arange(32)
    expected = {
        tuple(row)
        for shift in range(-2, 3)
        for moved in [np.pad(columns, 2, mode="reflect")[2 + shift : 34 + shift]]
        for row in (moved.tolist(), moved[::-1].tolist())
    }
    picture = np.broadcast_to(columns[:, None], (200, 32, 32, 3)).astype(np.uint8)
    views = weak(torch.from_numpy(picture), torch.Generator().manual_seed(0)) * STD + MEAN
    rows = views.round().int()
    assert torch.equal(rows, rows[:, :1, :1].expand_as(rows))
    assert {tuple(row) for row in rows[:, 0, 0].tolist()} == expected


def test_a_patchy_view_hides_a_square() -> None:
    white = torch.full((50, 32, 32, 3), 255, dtype=torch.uint8)
    hidden = (patchy(white, torch.Generator().manual_seed(0)) == 0).all(1)
    assert hidden.sum((1, 2)).max() == 9 * 9
    assert hidden.sum((1, 2)).min() >= 5 * 5  # a corner's


def test_outputs_on_the_centroids_of_a_class_are_surely_of_it() -> None:
    loss_of = HeadsLoss(classes=3, bits=[16, 32], seed=0)
    outputs = torch.cat([loss.centroids for loss in loss_of.losses], dim=1)
    probabilities = loss_of.probabilities(torch.cat([outputs, torch.zeros(1, 48)]))
    assert (probabilities[:3].diagonal() > CONFIDENT).all()
    assert probabilities[3].tolist() == pytest.approx([1 / 3] * 3)


def test_the_loss_is_the_mean_of_the_heads_losses() -> None:
    loss_of = HeadsLoss(classes=3, bits=[16, 32], seed=0)
    outputs, labels = torch.randn(6, 48, generator=torch.Generator().manual_seed(0)), torch.arange(6) % 3
    first, second = loss_of.losses
    expected = (first(outputs[:, :16], labels) + second(outputs[:, 16:], labels)) / 2
    assert loss_of(outputs, labels).item() == pytest.approx(expected.item())


def test_the_teacher_follows_slowly() -> None:
    teacher, network = torch.nn.BatchNorm1d(2), torch.nn.BatchNorm1d(2)
    with torch.no_grad():
        network.weight.add_(1.0)
    network.running_mean = torch.full((2,), 4.0)
    follow(teacher, network)
    assert teacher.weight.tolist() == pytest.approx([2 - INERTIA] * 2)
    assert teacher.running_mean is not None
    assert teacher.running_mean.tolist() == pytest.approx([4 * (1 - INERTIA)] * 2)


# --- The whole run


def test_a_run_ends_with_figures_of_all_widths(tmp_path: Path) -> None:
    data, out = write(tmp_path / "tiny.npz", arrays(per_class=80, test_per_class=10)), tmp_path / "out.json"
    result = run(data, out, "--protocol", "50000", "--seed", "5")
    assert result.exit_code == 0, result.output
    found = json.loads(out.read_text())
    assert (found["protocol"], found["queries"], found["database"], found["seed"]) == ("50000", 20, 140, 5)
    assert found["classes"] == ["dark", "bright"]
    (stage,) = found["stages"]
    assert (stage["name"], stage["epochs"], stage["labelled"], stage["unlabelled"]) == ("labels alone", 1, 140, 0)
    assert list(stage["figures"]) == [str(bits) for bits in BITS]
    for figures in stage["figures"].values():
        assert list(figures) == list(FIGURES)
        for figure in figures.values():
            assert 0 <= figure["low"] <= figure["value"] <= figure["high"] <= 1


def test_unlabelled_pictures_are_used_after_the_labels_alone(tmp_path: Path) -> None:
    data, out = write(tmp_path / "tiny.npz", arrays(per_class=620, test_per_class=0)), tmp_path / "out.json"
    result = run(data, out, "--protocol", "5000", "--unlabelled_epochs", "1")
    assert result.exit_code == 0, result.output
    first, second = json.loads(out.read_text())["stages"]
    assert (first["name"], first["labelled"], first["unlabelled"]) == ("labels alone", 1000, 0)
    assert (second["name"], second["labelled"], second["unlabelled"]) == ("with unlabelled", 1000, 40)
    assert second["figures"]["64"]["mAP@all"]["value"] > 0.9  # bright and dark are easily told apart


def test_unlabelled_epochs_without_unlabelled_pictures_are_refused(tmp_path: Path) -> None:
    result = run(write(tmp_path / "tiny.npz", arrays(3, 1)), tmp_path / "out.json", "--unlabelled_epochs", "1")
    assert result.exit_code == 2
    assert "Invalid value for --unlabelled_epochs: protocol 50000 has no unlabelled pictures" in result.output
