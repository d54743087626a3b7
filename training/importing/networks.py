"""Architectures with weights in them, as modules with the methods that servers call.

Clip      ─▶ open_clip's CLIP         ─▶ embedding(batch), encode_text(tokens)
Backbone  ─▶ torchvision's or timm's  ─▶ embedding(batch)
a TorchScript file                    ─▶ embedding(batch)
"""

from typing import Literal

import torch
from torch import Tensor, nn

from training.errors import TrainingError
from training.importing.architectures import ARCHITECTURES, Backbone, Clip
from training.importing.libraries import library
from training.importing.rotation import Rotation
from training.importing.weights import Weights, put

Activation = Literal["gelu", "quickgelu"]

#: A weight of each half, by whose absence a file is known to lack it.
_HALVES = {"image": "visual.", "text": "token_embedding.weight"}


class _Embedding(nn.Module):
    """Holds the buffers that make codes."""

    def __init__(self, rotation: Rotation) -> None:
        super().__init__()
        for name in ("image_mean", "text_mean", "rotation"):
            self.register_buffer(name, torch.from_numpy(getattr(rotation, name)))


class ImageTower(_Embedding):
    """A network from pictures to vectors, (n, width)."""

    def __init__(self, network: nn.Module, rotation: Rotation) -> None:
        super().__init__(rotation)
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return self.embedding(x)

    @torch.jit.export
    def embedding(self, x: Tensor) -> Tensor:
        vectors: Tensor = self.network(x)
        return vectors


class BothTowers(_Embedding):
    """open_clip's CLIP."""

    def __init__(self, clip: nn.Module, rotation: Rotation) -> None:
        super().__init__(rotation)
        self.clip = clip

    def forward(self, x: Tensor) -> Tensor:
        return self.embedding(x)

    @torch.jit.export
    def embedding(self, x: Tensor) -> Tensor:
        vectors: Tensor = self.clip.encode_image(x)  # type: ignore[operator]
        return vectors

    @torch.jit.export
    def encode_text(self, tokens: Tensor) -> Tensor:
        vectors: Tensor = self.clip.encode_text(tokens)  # type: ignore[operator]
        return vectors


def clip_network(architecture: Clip, weights: Weights, activation: Activation | None) -> nn.Module:
    """Returns open_clip's CLIP with ``weights``. Raises TrainingError where they are of another architecture, where a
    half is missing, and where the file doesn't say which ``activation`` it was trained with."""
    for half, name in _HALVES.items():
        if not any(each.startswith(name) for each in weights.tensors):
            raise TrainingError(f"{weights.file} has no {half} tower of {architecture.name}: no weight {name}*")
    if weights.openai and activation == "gelu":
        raise TrainingError(
            f"{weights.file} is OpenAI's, trained with QuickGELU; with GELU its vectors would be worse without an "
            "error: leave out --activation"
        )
    if not weights.openai and activation is None:
        raise TrainingError(
            f"{weights.file} doesn't say whether it was trained with QuickGELU, as OpenAI's weights were, or GELU, and "
            "with the other its vectors would be worse without an error: give --activation quickgelu or gelu"
        )
    network = make_clip(architecture, quickgelu=weights.openai or activation == "quickgelu")
    try:
        put(weights.tensors, network, weights.file, architecture.name)
    except TrainingError as error:
        known = [each.name for each in ARCHITECTURES if isinstance(each, Clip) and _fits(each, weights)]
        raise TrainingError(f"{error}{f'; they fit {known[0]}' if known else ''}") from None
    return network


def make_clip(architecture: Clip, *, quickgelu: bool) -> nn.Module:
    """Returns open_clip's CLIP, with random weights."""
    network: nn.Module = library("open_clip").CLIP(**architecture.sizes(), quick_gelu=quickgelu)
    return network.eval()


def backbone_network(architecture: Backbone, weights: Weights) -> nn.Module:
    """Returns the network with ``weights``. Raises TrainingError where they are of another architecture."""
    network = make_backbone(architecture)
    put(weights.of(architecture.prefixes, architecture.head), network, weights.file, architecture.name)
    return network


def make_backbone(architecture: Backbone) -> nn.Module:
    """Returns the network without its classifier, with random weights."""
    network: nn.Module
    if architecture.package == "torchvision":
        network = getattr(library("torchvision.models"), architecture.called)()
        network.fc = nn.Identity()
    else:
        network = library("timm").create_model(architecture.called, pretrained=False, num_classes=0, scriptable=True)
    return network.eval()


def _fits(architecture: Clip, weights: Weights) -> bool:
    """Whether ``weights`` are of the sizes of ``architecture``."""
    sizes, shapes = architecture.sizes(), {name: tuple(each.shape) for name, each in weights.tensors.items()}
    vision, text = sizes["vision_cfg"], sizes["text_cfg"]
    if shapes.get("text_projection") != (text["width"], sizes["embed_dim"]):
        return False
    if isinstance(vision["layers"], list):
        blocks = [len({n.split(".")[2] for n in shapes if n.startswith(f"visual.layer{k}.")}) for k in (1, 2, 3, 4)]
        return blocks == vision["layers"]
    grid = vision["image_size"] // vision["patch_size"]
    return (
        shapes.get("visual.conv1.weight") == (vision["width"], 3, vision["patch_size"], vision["patch_size"])
        and shapes.get("visual.positional_embedding", ())[:1] == (grid * grid + 1,)
    )  # fmt: skip
