"""``hashlake train`` makes a model that loads, knows how it was made, and is the same for the same seed."""

import re
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from PIL import Image

from embedding.torchscript import TorchScriptEmbedder
from pictures.preparation import NEWEST_DECODING
from tests.hashlake.command import Answer, hashlake
from training.efficientnet import MEAN, STD, pretrained
from training.evaluation import evaluate
from training.pictures import held_out
from training.quality import mean_average_precision
from training.split import held_out_split
from training.trainer import Trainer

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


def train(labels: Path, out: Path, *more: str | Path) -> Answer:
    return hashlake("train", labels, "--out", out, "--image_size", "32", "--epochs", "2", *more)


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
    return out, train(squares, out, "--bits", "16")


def test_it_says_what_it_does_and_how_good_the_model_is(trained: tuple[Path, Answer]) -> None:
    out, answer = trained
    assert (answer.status, answer.err) == (0, "")
    first, *epochs, last = answer.out.splitlines()
    held = sum(held_out(f"{number}.png") for number in range(60))
    assert first == f"{60 - held} pictures to train on, {held} held out, 2 classes"
    assert [line.split("  ")[0] for line in epochs] == [
        *(f"classes epoch {epoch}/2" for epoch in (1, 2)),
        *(f"details epoch {epoch}/4" for epoch in (1, 2, 3, 4)),
    ]
    assert epochs[1].split("  ")[1] == "32 px"
    figure, low, high = card_figures(out)["mAP@all"]
    assert last == f"{out}: mAP@all {figure:.4f} [{low:.4f}, {high:.4f}]"
    assert not [path.name for path in out.parent.iterdir() if "checkpoint" in path.name]


def card_figures(path: Path, order: str = "16 bits") -> dict[str, list[float]]:
    figures = TorchScriptEmbedder.load(path).card.training["figures"]
    assert isinstance(figures, dict)
    return cast(dict[str, list[float]], figures[order])


def test_the_model_carries_its_card(trained: tuple[Path, Answer]) -> None:
    model = TorchScriptEmbedder.load(trained[0])
    card, notes = model.card, model.card.training
    assert (card.name, card.bits, card.detail_bits, card.preprocessing.image_size) == ("tiny", 16, 256, 32)
    assert card.preprocessing.decoding == NEWEST_DECODING
    assert card.classes == ("blue", "red")
    expected = {"epochs": 2, "seed": 0, "data": "squares", "pictures": 49, "network": "small", "patience": None}
    assert {key: notes[key] for key in expected} == expected
    assert notes["torch"] == torch.__version__
    apart = np.bitwise_count(model.embed_text(["blue"])["code"] ^ model.embed_text(["Red"])["code"]).sum()
    assert apart > 8  # far apart, for 16 bits


def test_the_figures_in_the_card_are_those_of_the_file(squares: Path, trained: tuple[Path, Answer]) -> None:
    """Measured again from outside: the held-out pictures' codes rank the others'."""
    model = TorchScriptEmbedder.load(trained[0])
    codes = np.concatenate(
        [
            model.embed(model.prepare((squares.parent / f"{number}.png").read_bytes())[None])["code"]
            for number in range(60)
        ]
    )
    labels = np.arange(60) % 2
    held = np.array([held_out(f"{number}.png") for number in range(60)])
    figure = mean_average_precision(codes[held], labels[held], codes[~held], labels[~held])
    assert card_figures(trained[0])["mAP@all"][0] == pytest.approx(figure, abs=1e-4)
    found = evaluate(model, held_out_split(squares, frozenset()))
    for method, order in zip(
        found.methods, ("16 bits", "16 bits, ties by detail", "rank detail: 256 bits"), strict=False
    ):
        assert method.note == order
        written = card_figures(trained[0], order)
        copies = method.near_duplicates["crop 10% + half size + q40"]["recall@1"]
        expected = [round(value, 4) for value in (copies.value, copies.low, copies.high)]
        assert written["recall@1 of crop 10% + half size + q40"] == expected


def test_no_loss_is_ever_anything_but_a_number(trained: tuple[Path, Answer]) -> None:
    """PyTorch's bfloat16 convolutions were seen to give random gradients where only one pixel is left."""
    losses = [float(loss) for loss in re.findall(r"loss (\S+)", trained[1].out)]
    assert len(losses) == 6
    assert all(0 <= loss < 100 for loss in losses)


def test_a_longer_training_tells_the_colours_apart(squares: Path, tmp_path: Path) -> None:
    assert train(squares, tmp_path / "model.pt", "--bits", "16", "--epochs", "30").status == 0
    assert card_figures(tmp_path / "model.pt")["mAP@all"][0] > 0.95


def test_one_training_makes_several_widths(squares: Path, trained: tuple[Path, Answer], tmp_path: Path) -> None:
    answer = train(squares, tmp_path / "model-{bits}bits.pt", "--bits", "8", "--bits", "32")
    assert answer.status == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model-32bits.pt", "model-8bits.pt"]
    narrow, wide = (TorchScriptEmbedder.load(tmp_path / f"model-{bits}bits.pt") for bits in (8, 32))
    assert [(each.card.name, each.card.bits) for each in (narrow, wide)] == [("model-8bits", 8), ("model-32bits", 32)]
    picture = np.full((1, 32, 32, 3), 99, np.uint8)
    details = [each.embed(picture)["detail"] for each in (narrow, wide)]
    np.testing.assert_array_equal(details[0], details[1])
    assert answer.out.splitlines()[-1].startswith(f"{tmp_path / 'model-32bits.pt'}: mAP@all ")


def test_a_folder_of_folders_is_labelled_by_their_names(squares: Path, tmp_path: Path) -> None:
    for number in range(60):
        place = tmp_path / "pictures" / list(COLOURS)[number % 2] / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes((squares.parent / f"{number}.png").read_bytes())
    for name in ("blue/raw.cr2", "@eaDir/trash.png"):
        (tmp_path / "pictures" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "pictures" / name).write_bytes((squares.parent / "0.png").read_bytes())
    answer = train(tmp_path / "pictures", tmp_path / "model.pt")
    assert answer.status == 0
    assert "left out: 1 cr2, 1 in trash and thumbnail folders" in answer.err.splitlines()
    assert answer.out.splitlines()[0] == "49 pictures to train on, 11 held out, 2 classes"
    card = TorchScriptEmbedder.load(tmp_path / "model.pt").card
    assert (card.classes, card.training["data"]) == (("blue", "red"), "pictures")


def test_training_begins_with_given_weights(squares: Path, trained: tuple[Path, Answer], tmp_path: Path) -> None:
    answer = train(squares, tmp_path / "model.pt", "--bits", "16", "--backbone", trained[0])
    assert answer.status == 0
    assert TorchScriptEmbedder.load(tmp_path / "model.pt").card.training["network"] == "small, begun with tiny.pt"
    assert not torch.equal(weights(tmp_path / "model.pt")["head.0.weight"], weights(trained[0])["head.0.weight"])


class Own(torch.nn.Module):
    """A backbone of the user's own: three colours' mean and spread."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat((x.mean((2, 3)), x.amax((2, 3)) - x.amin((2, 3))), 1) * self.scale


def test_a_backbone_of_the_users_own_is_trained_on(squares: Path, tmp_path: Path) -> None:
    torch.jit.script(Own()).save(str(tmp_path / "own.pt"))
    answer = train(squares, tmp_path / "model.pt", "--bits", "16", "--backbone", tmp_path / "own.pt", "--epochs", "20")
    assert answer.status == 0
    assert card_figures(tmp_path / "model.pt")["mAP@all"][0] > 0.95
    assert not torch.equal(weights(tmp_path / "model.pt")["backbone.network.scale"], torch.ones(6))


def test_the_same_command_goes_on_after_a_kill(
    squares: Path, trained: tuple[Path, Answer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(Exception):
        pass

    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "_detail_epoch", die)
        with pytest.raises(Killed):
            train(squares, tmp_path / "again.pt", "--bits", "16")
    assert [path.name for path in tmp_path.iterdir()] == [".again.pt.checkpoint"]
    answer = train(squares, tmp_path / "again.pt", "--bits", "16")
    assert [line.split("  ")[0] for line in answer.out.splitlines()[1:-1]] == [
        f"details epoch {epoch}/4" for epoch in (1, 2, 3, 4)
    ]
    assert differing(tmp_path / "again.pt", trained[0]) == []
    assert [path.name for path in tmp_path.iterdir()] == ["again.pt"]


def differing(path: Path, other: Path) -> list[str]:
    first, second = weights(path), weights(other)
    assert first.keys() == second.keys()
    return [name for name, value in first.items() if not torch.equal(value, second[name])]


def test_the_same_seed_gives_the_same_weights(squares: Path, trained: tuple[Path, Answer], tmp_path: Path) -> None:
    assert train(squares, tmp_path / "again.pt", "--bits", "16", "--seed", "0").status == 0
    assert differing(tmp_path / "again.pt", trained[0]) == []


def test_another_seed_gives_other_weights(squares: Path, trained: tuple[Path, Answer], tmp_path: Path) -> None:
    assert train(squares, tmp_path / "other.pt", "--bits", "16", "--seed", "1").status == 0
    assert {"head.0.weight", "detail.1.weight", "centroids"} <= set(differing(tmp_path / "other.pt", trained[0]))


def test_an_ignored_label_is_not_trained_on(squares: Path, tmp_path: Path) -> None:
    labels = squares.with_name("three.csv")
    labels.write_text(squares.read_text() + "missing.png,not sure\nmissing.png,other\n")
    answer = train(labels, tmp_path / "model.pt", "--ignore-label", "not sure", "--ignore_label", "other")
    assert answer.status == 0
    assert TorchScriptEmbedder.load(tmp_path / "model.pt").card.classes == ("blue", "red")


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
        ("path,label\n0.png,red\n1.png,Red\n2.png,blue\n", "has labels that people can't tell apart: 'Red' and 'red'"),
        ("path,label\n1.png,red\n2.png,blue\n", "lists 2 pictures: too few to hold a tenth out for validation"),
    ],
    ids=["no columns", "one label", "alike", "too few"],
)
def test_labels_that_cannot_be_trained_on_are_refused(
    squares: Path, tmp_path: Path, content: str, complaint: str
) -> None:
    labels = squares.with_name("bad.csv")
    labels.write_text(content)
    answer = train(labels, tmp_path / "model.pt")
    assert refused(answer, tmp_path / "model.pt") == f"Error: {labels} {complaint}"
    assert len(answer.err.splitlines()) == 1


def test_labels_that_could_not_be_measured_are_refused_before_training(tmp_path: Path) -> None:
    """All that is held out is of a class that nothing else is of: 0.png, of 0.png … 3.png."""
    labels = write_squares(tmp_path, 4)
    labels.write_text("path,label\n0.png,blue\n1.png,red\n2.png,red\n3.png,red\n")
    answer = train(labels, tmp_path / "model.pt")
    refused(answer, tmp_path / "model.pt")
    assert "epoch" not in answer.out


def test_a_width_asked_for_twice_is_made_once(squares: Path, tmp_path: Path) -> None:
    assert train(squares, tmp_path / "model.pt", "--bits", "8", "--bits", "8", "--epochs", "1").status == 0
    assert TorchScriptEmbedder.load(tmp_path / "model.pt").card.bits == 8


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
        (("--patience", "0"), "Error: Invalid value for '--patience': 0 is not in the range x>=1."),
        (
            ("--network", "huge"),
            "Error: Invalid value for '--network': 'huge' is not one of 'small', 'medium', 'large'.",
        ),
        (("--bits", "8", "--bits", "16"), "Error: Invalid value for --out: several widths need {bits} in the name"),
        (("--device", "quantum"), "Error: 'quantum' is no device; use cpu, cuda or cuda:0"),
        (("--epochs", "0"), "Error: Invalid value for '--epochs': 0 is not in the range x>=1."),
    ],
    ids=["bits", "too few bits", "too small", "no patience", "network", "widths", "device", "no epoch"],
)
def test_a_setting_out_of_range_is_refused(
    squares: Path, tmp_path: Path, more: tuple[str, ...], complaint: str
) -> None:
    assert refused(train(squares, tmp_path / "model.pt", *more), tmp_path / "model.pt") == complaint


def test_a_folder_that_is_not_there_is_refused_before_training(squares: Path, tmp_path: Path) -> None:
    out = tmp_path / "nowhere" / "model.pt"
    expected = f"Error: Invalid value for --out: the folder {tmp_path / 'nowhere'} does not exist"
    assert refused(train(squares, out), out) == expected


# --- Backbones that know ImageNet


LITE0 = ("--backbone", "efficientnet-lite0", "--image_size", "64")


@pytest.fixture(scope="module")
def on_lite0(squares: Path) -> tuple[Path, Answer]:
    out = squares.parent / "lite0.pt"
    torch.set_num_threads(1)
    return out, train(squares, out, *LITE0, "--tune", "frozen", "--epochs", "20")


def test_a_backbone_that_knows_imagenet_is_named(on_lite0: tuple[Path, Answer]) -> None:
    out, answer = on_lite0
    assert (answer.status, answer.err) == (0, "")
    card = TorchScriptEmbedder.load(out).card
    assert (card.training["network"], card.training["tune"]) == ("efficientnet-lite0", "frozen")
    assert (card.preprocessing.mean, card.preprocessing.std) == (MEAN, STD)
    assert card_figures(out, "64 bits")["mAP@all"][0] > 0.95
    theirs = pretrained("efficientnet-lite0")[0].head[0][0].weight
    assert torch.equal(weights(out)["backbone.head.0.0.weight"].float(), theirs.half().float())


def test_weights_are_stored_in_half_precision_and_widened(on_lite0: tuple[Path, Answer]) -> None:
    """What normalises stays exact; whoever loads the file computes in float32."""
    kinds = {value.dtype for value in weights(on_lite0[0]).values() if value.dim() > 1}
    assert kinds == {torch.float16, torch.float32}  # the centroids are no weights
    assert weights(on_lite0[0])["head.1.running_var"].dtype == torch.float32
    assert on_lite0[0].stat().st_size < 12e6
    assert TorchScriptEmbedder.load(on_lite0[0]).precision == "float32"


def test_a_model_on_an_efficientnet_can_be_trained_further(
    squares: Path, on_lite0: tuple[Path, Answer], tmp_path: Path
) -> None:
    begun = ("--backbone", on_lite0[0], "--image_size", "64")
    answer = train(squares, tmp_path / "model.pt", *begun, "--bits", "16", "--epochs", "1")
    assert answer.status == 0
    card = TorchScriptEmbedder.load(tmp_path / "model.pt").card
    assert (card.training["network"], card.training["tune"]) == ("efficientnet-lite0, begun with lite0.pt", "top")
    assert card.preprocessing.mean == MEAN


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        (
            ("--backbone", "efficientnet-lite0", "--image_size", "32"),
            "an EfficientNet needs pictures of at least 64 pixels, and not 32",
        ),
        (("--tune", "top"), "only an EfficientNet has a top to tune; tune this backbone frozen or full"),
        (
            ("--backbone", "efficientnet-lite9"),
            "the backbone efficientnet-lite9 is no file, and none of efficientnet-lite0, efficientnet-lite1, "
            "efficientnet-lite2",
        ),
    ],
)
def test_a_backbone_that_cannot_be_tuned_so_is_refused(
    squares: Path, tmp_path: Path, more: tuple[str, ...], complaint: str
) -> None:
    assert refused(train(squares, tmp_path / "model.pt", *more), tmp_path / "model.pt") == f"Error: {complaint}"
