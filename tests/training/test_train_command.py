"""``hashlake train`` makes a model that loads, knows how it was made, and is the same for the same seed."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hashing.model import HashModel
from hashing.picture import decode
from tests.hashlake.command import Answer, hashlake
from training.pictures import held_out
from training.quality import mean_average_precision

COLOURS = {"red": (200, 30, 40), "blue": (20, 60, 190)}


def write_squares(folder: Path, count: int = 60) -> Path:
    """Red and blue squares of 40 × 40, each in its own shade, and their CSV."""
    shade = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    rows = ["path,label"]
    for number in range(count):
        label = list(COLOURS)[number % 2]
        colour = tuple(int(value + shade.integers(-20, 20)) for value in COLOURS[label])
        Image.new("RGB", (40, 40), colour).save(folder / f"{number}.png")
        rows.append(f"{number}.png,{label}")
    path = folder / "labels.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def train(labels: Path, out: Path, *more: str) -> Answer:
    return hashlake("train", labels, "--out", out, "--image_size", "32", "--epochs", "2", "--bits", "16", *more)


def weights(path: Path) -> dict[str, torch.Tensor]:
    module = torch.jit.load(str(path))  # type: ignore[no-untyped-call]
    return {name: value.detach() for name, value in module.state_dict().items()}


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_squares(tmp_path_factory.mktemp("training") / "squares")


@pytest.fixture(scope="module")
def trained(squares: Path) -> tuple[Path, Answer]:
    """The model file, and what the command said."""
    out = squares.parent / "tiny.pt"
    torch.set_num_threads(1)
    return out, train(squares, out)


def test_it_says_what_it_does_and_how_good_the_model_is(trained: tuple[Path, Answer]) -> None:
    out, answer = trained
    assert (answer.status, answer.err) == (0, "")
    first, *epochs, last = answer.out.splitlines()
    held = sum(held_out(f"{number}.png") for number in range(60))
    assert first == f"{60 - held} pictures to train on, {held} held out, 2 classes"
    assert [line.split("  ")[0] for line in epochs] == ["epoch 1/2", "epoch 2/2"]
    assert epochs[-1].split("  ")[1] == "32 px"
    figure = HashModel.load(out).card.training["mAP@all"]
    assert last == f"{out}: mAP@all {figure} on {held} held-out pictures"


def test_the_model_carries_its_card(trained: tuple[Path, Answer]) -> None:
    card = HashModel.load(trained[0]).card
    assert (card.name, card.bits, card.preprocessing.image_size) == ("tiny", 16, 32)
    assert card.training["classes"] == ["blue", "red"]
    assert card.training["epochs"] == 2
    assert card.training["seed"] == 0
    assert card.training["data"] == "squares"
    assert card.training["pictures"] == 49
    assert card.training["queries"] == 11
    assert card.training["torch"] == torch.__version__


def test_the_figure_in_the_card_is_that_of_the_file(squares: Path, trained: tuple[Path, Answer]) -> None:
    """Measured again from outside: the held-out pictures' codes rank the others'."""
    model = HashModel.load(trained[0])
    codes = np.concatenate(
        [
            model.codes(decode((squares.parent / f"{number}.png").read_bytes(), model.card.preprocessing)[None])
            for number in range(60)
        ]
    )
    labels = np.arange(60) % 2
    held = np.array([held_out(f"{number}.png") for number in range(60)])
    figure = mean_average_precision(codes[held], labels[held], codes[~held], labels[~held])
    assert model.card.training["mAP@all"] == round(figure, 4)
    assert 0 < figure <= 1


def test_no_loss_is_ever_anything_but_a_number(trained: tuple[Path, Answer]) -> None:
    """PyTorch's bfloat16 convolutions were seen to give random gradients where only one pixel is left."""
    losses = [float(loss) for loss in re.findall(r"loss (\S+)", trained[1].out)]
    assert len(losses) == 2
    assert all(0 <= loss < 100 for loss in losses)


def test_a_longer_training_tells_the_colours_apart(squares: Path, tmp_path: Path) -> None:
    assert train(squares, tmp_path / "model.pt", "--epochs", "12").status == 0
    figure = HashModel.load(tmp_path / "model.pt").card.training["mAP@all"]
    assert isinstance(figure, float)
    assert figure > 0.95


def test_the_same_seed_gives_the_same_weights(squares: Path, trained: tuple[Path, Answer], tmp_path: Path) -> None:
    assert train(squares, tmp_path / "again.pt", "--seed", "0").status == 0
    first, second = weights(trained[0]), weights(tmp_path / "again.pt")
    assert first.keys() == second.keys()
    assert [name for name, value in first.items() if not torch.equal(value, second[name])] == []


def test_another_seed_gives_other_weights(squares: Path, trained: tuple[Path, Answer], tmp_path: Path) -> None:
    assert train(squares, tmp_path / "other.pt", "--seed", "1").status == 0
    first, second = weights(trained[0]), weights(tmp_path / "other.pt")
    assert not torch.equal(first["head.0.weight"], second["head.0.weight"])


def test_an_ignored_label_is_not_trained_on(squares: Path, tmp_path: Path) -> None:
    labels = squares.with_name("three.csv")
    labels.write_text(squares.read_text() + "missing.png,not sure\nmissing.png,other\n")
    answer = train(labels, tmp_path / "model.pt", "--ignore-label", "not sure", "--ignore_label", "other")
    assert answer.status == 0
    assert HashModel.load(tmp_path / "model.pt").card.training["classes"] == ["blue", "red"]


# --- What it refuses


def refused(answer: Answer, out: Path) -> str:
    """The last line of a command that failed and wrote nothing."""
    assert answer.status != 0
    assert not out.exists()
    line = answer.err.splitlines()[-1]
    assert line.startswith("Error: ")
    return line


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("image,class\n0.png,red\n", "needs a header line with the columns path and label, and rows below it"),
        ("path,label\n0.png,red\n1.png,red\n", "has 1 labels; training needs at least 2"),
        ("path,label\n1.png,red\n2.png,blue\n", "lists 2 pictures: too few to hold a tenth out for validation"),
    ],
    ids=["no columns", "one label", "too few"],
)
def test_labels_that_cannot_be_trained_on_are_refused(
    squares: Path, tmp_path: Path, content: str, complaint: str
) -> None:
    labels = squares.with_name("bad.csv")
    labels.write_text(content)
    answer = train(labels, tmp_path / "model.pt")
    assert refused(answer, tmp_path / "model.pt") == f"Error: {labels} {complaint}"
    assert len(answer.err.splitlines()) == 1


def test_an_unreadable_picture_is_named(tmp_path: Path) -> None:
    labels = write_squares(tmp_path, 12)
    (tmp_path / "7.png").write_text("no picture")
    line = refused(train(labels, tmp_path / "model.pt"), tmp_path / "model.pt")
    assert line.startswith(f"Error: {tmp_path / '7.png'}: not an image of a known format")


def test_a_single_picture_to_train_on_is_refused(tmp_path: Path) -> None:
    """Batch normalisation has nothing to balance: 0.png is held out, and 1.png stands alone."""
    labels = write_squares(tmp_path, 2)
    refused(train(labels, tmp_path / "model.pt"), tmp_path / "model.pt")


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        (("--bits", "12"), "Error: Invalid value for --bits: 12 is no multiple of 8"),
        (("--bits", "4"), "Error: Invalid value for '--bits': 4 is not in the range 8<=x<=1024."),
        (("--image_size", "16"), "Error: Invalid value for '--image_size': 16 is not in the range 32<=x<=1024."),
        (("--epochs", "0"), "Error: Invalid value for '--epochs': 0 is not in the range x>=1."),
    ],
    ids=["bits", "too few bits", "too small", "no epoch"],
)
def test_a_setting_out_of_range_is_refused(
    squares: Path, tmp_path: Path, more: tuple[str, ...], complaint: str
) -> None:
    assert refused(train(squares, tmp_path / "model.pt", *more), tmp_path / "model.pt") == complaint


def test_a_folder_that_is_not_there_is_refused_before_training(squares: Path, tmp_path: Path) -> None:
    out = tmp_path / "nowhere" / "model.pt"
    expected = f"Error: Invalid value for --out: the folder {tmp_path / 'nowhere'} does not exist"
    assert refused(train(squares, out), out) == expected
