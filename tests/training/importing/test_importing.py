"""Weights of each family become a file whose vectors are the library's own, for pictures and words; what doesn't fit is
refused by name. Random weights of narrow networks: nothing is downloaded."""

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file
from torch import Tensor, nn

from embedding.tokens import TextTokens
from embedding.torchscript import TorchScriptEmbedder
from hashlake.main import cli
from tests.fakes import png_of
from training.errors import TrainingError
from training.importing import architectures
from training.importing.architectures import ARCHITECTURES, Backbone, Clip, architecture
from training.importing.libraries import clip_vocabulary, library
from training.importing.model import TOLERANCE, difference, read_imported, write_model
from training.importing.networks import make_backbone, make_clip
from training.importing.rotation import fitted, unfitted
from training.importing.tokenizer import clip_tokenizer

TEXT = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 1}
NARROW_VIT = Clip("Narrow/32", "narrow_32", "", {
    "embed_dim": 32, "vision_cfg": {"image_size": 64, "layers": 1, "width": 64, "patch_size": 32}, "text_cfg": TEXT,
})  # fmt: skip
OTHER_VIT = Clip("Narrow/16", "narrow_16", "", {
    "embed_dim": 32, "vision_cfg": {"image_size": 64, "layers": 1, "width": 64, "patch_size": 16}, "text_cfg": TEXT,
})  # fmt: skip
NARROW_RESNET = Clip("NarrowRN", "narrow_rn", "", {
    "embed_dim": 32, "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8, "patch_size": None},
    "text_cfg": TEXT,
})  # fmt: skip
RESNET = Backbone("ResNet-18", "resnet18", "torchvision", "resnet18", "fc.", ("module.encoder_q.",))
DINO = Backbone("DINO ViT-Ti/16", "dino_vitti16", "timm", "vit_tiny_patch16_224", prefixes=("module.", "backbone."))
LITE = architecture("EfficientNet-Lite0")


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    known = (*ARCHITECTURES, NARROW_VIT, OTHER_VIT, NARROW_RESNET, RESNET, DINO)
    monkeypatch.setattr(architectures, "ARCHITECTURES", known)
    monkeypatch.setattr("training.importing.networks.ARCHITECTURES", known)
    torch.manual_seed(0)
    yield


def clip_weights(which: Clip, *, quickgelu: bool = True) -> dict[str, Tensor]:
    return dict(make_clip(which, quickgelu=quickgelu).state_dict())


class Archive(nn.Module):
    """As OpenAI publishes: TorchScript with half the precision, and three numbers among the weights."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        super().__init__()
        for name, number in {"input_resolution": 64, "context_length": 77, "vocab_size": 49408}.items():
            self.register_buffer(name, torch.tensor(number))
        for name, tensor in tensors.items():
            inner: nn.Module = self
            *folders, last = name.split(".")
            for folder in folders:
                if not hasattr(inner, folder):
                    inner.add_module(folder, nn.Module())
                inner = getattr(inner, folder)
            inner.register_buffer(last, tensor.half() if tensor.dim() > 1 else tensor)

    def forward(self, x: Tensor) -> Tensor:
        return x


def openai(path: Path, tensors: dict[str, Tensor]) -> Path:
    torch.jit.save(torch.jit.script(Archive(tensors)), str(path))
    return path


def checkpoint(path: Path, **content: Any) -> Path:
    torch.save(content, path)
    return path


def prefixed(prefix: str, network: nn.Module) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in network.state_dict().items()}


@pytest.mark.parametrize("which", [NARROW_VIT, NARROW_RESNET], ids=lambda which: which.name)
def test_openais_archive_becomes_a_file_with_the_librarys_vectors(which: Clip, tmp_path: Path) -> None:
    weights = openai(tmp_path / "weights.pt", clip_weights(which))
    imported = read_imported(which.name, weights, None, None)
    model = write_model(imported, tmp_path / "model.pt", 256)
    assert difference(imported, tmp_path / "model.pt") <= TOLERANCE
    assert [(space.name, space.width) for space in model.identity.spaces] == [("code", 256), ("embedding", 32)]
    assert model.identity.text and model.card.aliases == (which.alias, which.name)
    # And so does open_clip itself, which reads the archive in its own way.
    own = library("open_clip").load_openai_model(str(weights), precision="fp32", device="cpu")
    words = library("open_clip").tokenize(["a black and white text in japanese"])
    with torch.inference_mode():
        expected = nn.functional.normalize(own.encode_text(words)).numpy()
    assert model.embed_text(["a black and white text in japanese"])["embedding"] == pytest.approx(expected, abs=5e-4)
    # Half of the precision takes half of the room.
    assert (tmp_path / "model.pt").stat().st_size < 0.7 * sum(4 * each.numel() for each in clip_weights(which).values())


def test_safetensors_do_not_say_their_activation(tmp_path: Path) -> None:
    save_file(clip_weights(NARROW_VIT), tmp_path / "w.safetensors")
    gelu = read_imported("Narrow/32", tmp_path / "w.safetensors", "gelu", None)
    quickgelu = read_imported("Narrow/32", tmp_path / "w.safetensors", "quickgelu", None)
    write_model(gelu, tmp_path / "model.pt", 256)
    assert difference(gelu, tmp_path / "model.pt") <= TOLERANCE < difference(quickgelu, tmp_path / "model.pt")
    with pytest.raises(TrainingError, match=r"^w.safetensors doesn't say .* give --activation quickgelu or gelu"):
        read_imported("Narrow/32", tmp_path / "w.safetensors", None, None)


@pytest.mark.parametrize(
    ("which", "prefix", "within"),
    [
        (RESNET, "module.encoder_q.", "state_dict"),
        (RESNET, "", None),
        (DINO, "module.backbone.", "teacher"),
        (LITE, "", None),
    ],
    ids=["MoCo", "ResNet", "DINO", "EfficientNet-Lite"],
)
def test_a_backbone_becomes_a_file_with_the_librarys_vectors(
    which: Backbone, prefix: str, within: str | None, tmp_path: Path
) -> None:
    network = make_backbone(which)
    tensors = prefixed(prefix, network) | {
        f"{prefix}{which.head}weight": torch.ones(3, 4),
    }
    if prefix:
        tensors["module.encoder_k.conv1.weight" if which is RESNET else "head.weight"] = torch.ones(1)
    weights = tmp_path / "w.pth"
    torch.save({within: tensors, "epoch": 3} if within else tensors, weights)
    imported = read_imported(which.alias, weights, None, None)
    model = write_model(imported, tmp_path / "model.pt", 512)
    assert difference(imported, tmp_path / "model.pt") <= TOLERANCE
    assert not model.identity.text
    pictures = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), dtype=np.uint8)
    mean, std = (torch.tensor(each).reshape(3, 1, 1) for each in (which.mean, which.std))
    with torch.inference_mode():
        batch = (torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255 - mean) / std
        expected = nn.functional.normalize(network(batch)).numpy()
    assert model.embed(pictures)["embedding"] == pytest.approx(expected, abs=5e-4)


def test_any_torchscript(tmp_path: Path) -> None:
    network = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten()).eval()
    torch.jit.save(torch.jit.script(network), str(tmp_path / "corners.pt"))
    model = write_model(read_imported("torchscript", tmp_path / "corners.pt", None, 16), tmp_path / "out.pt", 256)
    assert model.card.name == "corners" and model.card.embedding_width == 12
    with pytest.raises(TrainingError, match="give --image_size"):
        read_imported("torchscript", tmp_path / "corners.pt", None, None)


def without(start: str) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in clip_weights(NARROW_VIT).items() if not name.startswith(start)}


@pytest.mark.parametrize(
    ("name", "tensors", "activation", "message"),
    [
        ("Narrow/16", clip_weights, None, "these are weights of another architecture; they fit Narrow/32"),
        ("NarrowRN", clip_weights, None, "these are weights of another architecture; they fit Narrow/32"),
        ("resnet34", clip_weights, None, "w.pt lacks bn1.bias, "),
        ("Narrow/32", lambda _: without("visual."), None, "w.pt has no image tower of Narrow/32"),
        ("Narrow/32", lambda _: without("t"), None, "w.pt has no text tower of Narrow/32"),
        ("Narrow/32", lambda _: without("ln_final"), None, "w.pt lacks ln_final.bias, ln_final.weight of Narrow/32"),
        ("Narrow/32", clip_weights, "gelu", "is OpenAI's, trained with QuickGELU"),
        ("Vit_B_23", clip_weights, None, "there is no architecture 'Vit_B_23'; you may mean "),
    ],
)
def test_what_does_not_fit_is_refused_by_name(
    name: str, tensors: Any, activation: Any, message: str, tmp_path: Path
) -> None:
    weights = openai(tmp_path / "w.pt", tensors(NARROW_VIT))
    with pytest.raises(TrainingError) as caught:
        read_imported(name, weights, activation, None)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
def test_a_file_without_weights(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"no weights at all")
    with pytest.raises(TrainingError, match=f"^{name} "):
        read_imported("ViT-B/32", tmp_path / name, None, None)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("ViT-B/32", "vit_b32"), ("vit_b32", "vit_b32"), ("ViT-B-32", "vit_b32"), ("vit_l14", "vit_l14"),
        ("ViT-L/14@336px", "vit_l14_336"), ("ViT-L-14-336", "vit_l14_336"), ("RN50", "clip_rn50"),
        ("resnet34", "resnet34"), ("dino_vitbase8", "dino_vitb8"), ("moco v2", "moco_v2"),
    ],
)  # fmt: skip
def test_names_that_users_know(name: str, found: str) -> None:
    assert architecture(name).alias == found


def test_the_tokenizer_makes_clips_tokens() -> None:
    read = TextTokens(clip_tokenizer(clip_vocabulary(), 77).to_str(), 77, "test")
    texts = [
        "a photo of a cat", "  Two\n dogs, 100% happy!! ", "it's 3 o'clock", "été à Zürich 東京 🐞", "x" * 60, "l'été",
    ]  # fmt: skip
    assert read(texts).tolist() == library("open_clip").tokenize(texts).tolist()
    assert read(["a photo of a cat"])[0, :8].tolist() == [49406, 320, 1125, 539, 320, 2368, 49407, 0]


def test_signs_after_fitting_keep_neighbours_together() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((1200, 16)).astype(np.float32) * np.linspace(2, 0.2, 16, dtype=np.float32) + 3
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    fit = fitted(vectors[:1000], vectors[:10] + 0.5, 8)
    assert fit.image_mean == pytest.approx(vectors[:1000].mean(axis=0), abs=1e-6)
    assert fit.text_mean == pytest.approx(vectors[:10].mean(axis=0) + 0.5, abs=1e-6)
    assert fit.rotation.T @ fit.rotation == pytest.approx(np.eye(8), abs=1e-5)
    cosines = vectors[1000:] @ vectors[:1000].T
    agreement = []
    for rotation in (fit, unfitted(16, 8)):
        bits = (vectors - rotation.image_mean) @ rotation.rotation > 0
        alike = (bits[1000:, None] == bits[None, :1000]).sum(axis=2)
        agreement.append(np.corrcoef(alike.ravel(), cosines.ravel())[0, 1])
    assert agreement[0] > agreement[1]


def test_the_command_calibrates_and_says_what_it_made(tmp_path: Path) -> None:
    folder = tmp_path / "pictures" / "below"
    folder.mkdir(parents=True)
    for number in range(3):
        (folder / f"{number}.png").write_bytes(png_of(0x8001 << number & 0xFFFF))
    (folder / "broken.png").write_bytes(b"no picture")
    weights = openai(tmp_path / "w.pt", clip_weights(NARROW_VIT))
    arguments = [
        "models", "import", "--architecture", "narrow-32", "--weights", str(weights), "--bits", "256",
        "--calibrate", str(folder.parent), "--out", str(tmp_path / "models" / "narrow.pt"),
    ]  # fmt: skip
    done = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "narrow.pt: 32 dimensions, codes of 256 bits, words up to 77 tokens" in done.output
    model = TorchScriptEmbedder.load(tmp_path / "models" / "narrow.pt")
    assert model.card.training == {"fitted": {"pictures": 3, "texts": 63}}
    assert [each.name for each in (tmp_path / "models").iterdir()] == ["narrow.pt"]
    empty = CliRunner().invoke(cli, [*arguments[:-3], str(tmp_path / "models"), *arguments[-2:]])
    assert "has no pictures to calibrate with" in str(empty.exception)


def test_the_first_library_to_be_imported_may_be_any() -> None:
    code = "from training.importing.libraries import library; print(library('torchvision.models').__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("torchvision.models\n", 0), done.stderr


def test_serving_imports_none_of_the_libraries() -> None:
    for room in ("embedding", "handler", "searcher", "gateway", "indexer"):
        spec = importlib.util.find_spec(room)
        assert spec is not None and spec.origin is not None
        for file in Path(spec.origin).parent.rglob("*.py"):
            assert not {"open_clip", "timm", "torchvision"} & set(file.read_text().replace(".", " ").split()), file
