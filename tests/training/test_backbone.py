"""A backbone begins with fresh weights, an earlier model's, a state_dict's, or a network of the user's own."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from embedding.card import ModelCard
from embedding.torchscript import save_model
from pictures.preparation import Preprocessing
from training.backbone import make_backbone
from training.errors import TrainingError
from training.network import DETAIL_BITS, SHAPES, Backbone, HashNetwork, OwnBackbone, detail_head, hash_head


@pytest.fixture
def backbone() -> Backbone:
    torch.manual_seed(7)
    return Backbone(SHAPES["small"])


def same(ours: nn.Module, theirs: nn.Module) -> bool:
    first, second = ours.state_dict(), theirs.state_dict()
    return first.keys() == second.keys() and all(torch.equal(value, second[name]) for name, value in first.items())


def test_fresh_weights_depend_on_the_seed() -> None:
    assert same(make_backbone("small", None, 64, 0), make_backbone("small", None, 64, 0))
    assert not same(make_backbone("small", None, 64, 0), make_backbone("small", None, 64, 1))


def save_model_of(backbone: Backbone, path: Path) -> None:
    model = HashNetwork(backbone, hash_head(224, 16), detail_head(backbone.level_channels), torch.ones(2, 16))
    card = ModelCard(name="model", bits=16, detail_bits=DETAIL_BITS, preprocessing=Preprocessing(image_size=64))
    save_model(torch.jit.script(model), card, path)


def test_an_earlier_model_gives_its_backbone(tmp_path: Path, backbone: Backbone) -> None:
    save_model_of(backbone, tmp_path / "model.pt")
    assert same(make_backbone("small", tmp_path / "model.pt", 64, 0), backbone)


@pytest.mark.parametrize("prefix", ["", "backbone.", "module.", "module.backbone."])
@pytest.mark.parametrize("wrap", [None, "state_dict", "model"])
def test_a_state_dict_gives_its_weights(tmp_path: Path, backbone: Backbone, prefix: str, wrap: str | None) -> None:
    values = {prefix + name: value for name, value in backbone.state_dict().items()} | {"head.weight": torch.ones(1)}
    torch.save({wrap: values, "epoch": 3} if wrap else values, tmp_path / "weights.pt")
    assert same(make_backbone("small", tmp_path / "weights.pt", 64, 0), backbone)


def test_a_deeper_network_begins_as_the_same_function(tmp_path: Path, backbone: Backbone) -> None:
    torch.save(backbone.state_dict(), tmp_path / "weights.pt")
    deeper = make_backbone("medium", tmp_path / "weights.pt", 64, 0).eval()
    pictures = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        for ours, theirs in zip(deeper(pictures), backbone.eval()(pictures), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    deeper.train()(pictures)[0].sum().backward()
    assert deeper.stages[1][1].second[1].weight.grad.abs().max() > 0  # and learns to be another


class Pooled(nn.Module):
    def __init__(self, answer: str = "row") -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 5, 4, 4)
        self.answer = answer

    def forward(self, x: Tensor) -> Tensor:
        y = self.layer(x)
        return y if self.answer == "map" else y.mean((2, 3)) if self.answer == "row" else y.mean()


@pytest.mark.parametrize("answer", ["row", "map"])
def test_other_torchscript_is_taken_as_it_is(tmp_path: Path, answer: str) -> None:
    own = Pooled(answer)
    torch.jit.script(own).save(tmp_path / "own.pt")
    found = make_backbone("small", tmp_path / "own.pt", 32, 0)
    assert isinstance(found, OwnBackbone)
    assert found.channels == 5
    picture = torch.rand(2, 3, 32, 32)
    # As the trainer runs it. Loading a hash model turns oneDNN's graph compiler on for the whole process, and that is
    # wrong about modules that aren't frozen.
    with torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
        features, levels = found(picture)
    torch.testing.assert_close(features, own.layer(picture).mean((2, 3)))
    assert levels.shape == (2, found.level_channels)


# --- What is refused


def refusal(path: Path, shape: str = "small") -> str:
    with pytest.raises(TrainingError) as refused:
        make_backbone(shape, path, 32, 0)
    assert str(refused.value).startswith(f"{path} ")
    return str(refused.value)


def test_weights_that_lack_a_part_are_refused(tmp_path: Path, backbone: Backbone) -> None:
    """Half a block is no block to add, and the first block of a stage isn't either."""
    for left_out in ("stages.2.1.second.0.weight", "stages.3.0."):
        values = {name: value for name, value in backbone.state_dict().items() if not name.startswith(left_out)}
        torch.save(values, tmp_path / "weights.pt")
        assert f"holds no weights of a small network: {left_out}" in refusal(tmp_path / "weights.pt")


def test_weights_of_other_channels_are_refused(tmp_path: Path, backbone: Backbone) -> None:
    torch.save(backbone.state_dict() | {"stem.0.0.weight": torch.ones(32, 3, 3, 3)}, tmp_path / "weights.pt")
    assert "stem.0.0.weight is [32, 3, 3, 3], and a small one has [24, 3, 3, 3]" in refusal(tmp_path / "weights.pt")


def test_an_earlier_model_of_another_size_is_refused(tmp_path: Path, backbone: Backbone) -> None:
    """It isn't taken for a network of the user's own, whose features would be bits."""
    save_model_of(backbone, tmp_path / "model.pt")
    assert "holds weights of another network: stem.0.0.weight is [24, 3, 3, 3]" in refusal(
        tmp_path / "model.pt", "large"
    )


def test_a_hash_model_of_another_make_is_refused(tmp_path: Path, grid_path: Path) -> None:
    assert "holds no weights of a small network" in refusal(grid_path)


def test_a_larger_network_is_not_cut_down(tmp_path: Path) -> None:
    torch.save(Backbone(SHAPES["medium"]).state_dict(), tmp_path / "weights.pt")
    assert "holds weights of a larger network than small: it has stages.0.1." in refusal(tmp_path / "weights.pt")


def test_weights_with_other_names_are_refused_with_a_way_out(tmp_path: Path) -> None:
    torch.save({"conv1.weight": torch.ones(1)}, tmp_path / "resnet.pt")
    message = refusal(tmp_path / "resnet.pt")
    assert "stem.0.0.weight is missing" in message
    assert "torch.jit.script(network)" in message


@pytest.mark.parametrize("content", [b"", b"no weights"], ids=["empty", "text"])
def test_a_file_that_is_neither_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "weights.pt").write_bytes(content)
    assert "is neither TorchScript nor a state_dict" in refusal(tmp_path / "weights.pt")


def test_a_whole_module_is_refused(tmp_path: Path) -> None:
    """Unpickling one would run whatever it says."""
    torch.save(nn.Linear(2, 2), tmp_path / "module.pt")
    assert "is neither TorchScript nor a state_dict" in refusal(tmp_path / "module.pt")


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 3}], ids=["list", "numbers"])
def test_something_else_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "weights.pt")
    assert "is no state_dict: names and tensors" in refusal(tmp_path / "weights.pt")


def test_torchscript_that_answers_something_else_is_refused(tmp_path: Path) -> None:
    torch.jit.script(Pooled("number")).save(tmp_path / "own.pt")
    assert "must answer one tensor, (pictures, channels)" in refusal(tmp_path / "own.pt")


def test_torchscript_for_other_pictures_is_refused(tmp_path: Path) -> None:
    torch.jit.script(nn.Linear(7, 2)).save(tmp_path / "own.pt")
    assert "cannot take pictures of 32×32" in refusal(tmp_path / "own.pt")
