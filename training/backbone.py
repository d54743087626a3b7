"""Where a training's backbone comes from: fresh weights, an earlier model's, or a network of the user's own.

none                 fresh, of the shape asked for
a model of ours      its backbone's weights, if it has the shape asked for
a state_dict         likewise; the names may have a prefix, as in "module.backbone.stem.0.0.weight"
other TorchScript    taken as it is: pictures (n, 3, size, size) → (n, channels) or (n, channels, h, w)
"""

import pickle
from collections.abc import Collection, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from hashing.card import CARD_FILE
from training.errors import TrainingError
from training.network import SHAPES, Backbone, OwnBackbone

_PREFIXES = ("", "backbone.", "module.", "module.backbone.")


def make_backbone(shape: str, weights: Path | None, image_size: int, seed: int) -> nn.Module:
    """A backbone of the ``shape`` (a key of SHAPES) or the one in ``weights``. Raises TrainingError."""
    torch.manual_seed(seed)
    backbone = Backbone(SHAPES[shape])
    if weights is None:
        return backbone
    extra = {CARD_FILE: ""}
    try:
        scripted = torch.jit.load(  # type: ignore[no-untyped-call]
            str(weights), map_location="cpu", _extra_files=extra
        )
    except (RuntimeError, ValueError):
        _load_weights(backbone, _state_dict(weights), shape, weights)
        return backbone
    if extra[CARD_FILE]:  # a hash model, whose outputs are bits and no features
        _load_weights(backbone, scripted.state_dict(), shape, weights)
        return backbone
    return OwnBackbone(scripted, _channels(scripted, image_size, weights))


def _state_dict(path: Path) -> Mapping[str, Tensor]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, ValueError, EOFError, KeyError, pickle.UnpicklingError) as error:
        raise TrainingError(f"{path} is neither TorchScript nor a state_dict that holds nothing but weights") from error
    for key in ("state_dict", "model"):  # how other trainers wrap it
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise TrainingError(f"{path} is no state_dict: names and tensors")
    return content


def _load_weights(backbone: Backbone, values: Mapping[str, Tensor], shape: str, path: Path) -> None:
    own = backbone.state_dict()
    # The first names exist in every network of ours: they tell the prefix.
    prefix = next((each for each in _PREFIXES if each + next(iter(own)) in values), "")
    found = {name: values[prefix + name] for name in own if prefix + name in values}
    surplus = [name for name in values if name.startswith(f"{prefix}stages.") and name.removeprefix(prefix) not in own]
    if surplus:
        raise TrainingError(f"{path} holds weights of a larger network than {shape}: it has {surplus[0]}")
    for name, value in own.items():
        if name not in found and name.split(".")[:3] not in _added_blocks(backbone, found):
            raise TrainingError(
                f"{path} holds no weights of a {shape} network: {name} is missing. Weights of another network come as "
                "TorchScript: torch.jit.script(network).save(PATH)"
            )
        if name in found and value.shape != found[name].shape:
            raise TrainingError(
                f"{path} holds weights of another network: {name} is {list(found[name].shape)}, "
                f"and a {shape} one has {list(value.shape)}"
            )
    backbone.load_state_dict(found, strict=False)
    for block in _added_blocks(backbone, found):
        # What it adds to its shortcut is nothing at first: deeper, and yet the same function.
        nn.init.zeros_(backbone.get_parameter(f"{'.'.join(block)}.second.1.weight"))


def _added_blocks(backbone: Backbone, found: Collection[str]) -> list[list[str]]:
    """Blocks of which ``found`` has no weight, beside the first of a stage, as ["stages", stage, block]."""
    blocks = [
        ["stages", stage, block]
        for stage, members in backbone.stages.named_children()
        for block, _ in list(members.named_children())[1:]
    ]
    return [block for block in blocks if not any(name.startswith(".".join(block) + ".") for name in found)]


def _channels(scripted: torch.jit.ScriptModule, image_size: int, path: Path) -> int:
    """Channels of what the network answers, by one forward pass."""
    try:
        with torch.inference_mode():
            features = scripted(torch.zeros(2, 3, image_size, image_size))
    except (RuntimeError, AttributeError, torch.jit.Error) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise TrainingError(f"{path} cannot take pictures of {image_size}×{image_size}: {lines[-1]}") from error
    if not isinstance(features, Tensor) or features.dim() not in (2, 4) or len(features) != 2:
        raise TrainingError(f"{path} must answer one tensor, (pictures, channels) or (pictures, channels, h, w)")
    return int(features.shape[1])
