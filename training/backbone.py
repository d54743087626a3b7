"""Makes a training's backbone: from fresh weights, from an earlier model, or from the user's own network.

none                 fresh weights, of the requested shape
efficientnet-lite0   a network that knows ImageNet (training/efficientnet.py)
a model of ours      its backbone's weights, if it has the requested shape or is an EfficientNet
a state_dict         likewise; names may have a prefix, as in "module.backbone.stem.0.0.weight"
other TorchScript    used as it is: pictures (n, 3, size, size) → (n, channels) or (n, channels, h, w)
"""

import pickle
from collections.abc import Collection, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from embedding.card import CARD_FILE
from training.efficientnet import VARIANTS, EfficientNetLite, pretrained
from training.errors import TrainingError
from training.kept import Tune
from training.network import SHAPES, Backbone, OwnBackbone

_PREFIXES = ("", "backbone.", "module.", "module.backbone.")


#: TorchScript's compiler fails on maps of one pixel, which an EfficientNet makes of 32.
_LEAST = 64

AnyBackbone = Backbone | EfficientNetLite | OwnBackbone


def make_backbone(shape: str, begin: str | None, image_size: int, seed: int) -> AnyBackbone:
    """Returns a backbone of ``shape`` (a key of SHAPES), or the one that ``begin`` names: a key of VARIANTS or a file.
    Raises TrainingError."""
    torch.manual_seed(seed)
    if begin in VARIANTS:
        return pretrained(begin)[0]
    backbone = Backbone(SHAPES[shape])
    if begin is None:
        return backbone
    weights = Path(begin)
    if not weights.is_file():
        raise TrainingError(f"the backbone {begin} is no file, and none of {', '.join(VARIANTS)}")
    extra = {CARD_FILE: ""}
    try:
        scripted = torch.jit.load(  # type: ignore[no-untyped-call]
            str(weights), map_location="cpu", _extra_files=extra
        )
    except (RuntimeError, ValueError):
        _load_weights(backbone, _state_dict(weights), shape, weights)
        return backbone
    if extra[CARD_FILE]:  # a hash model: its outputs are bits, not features
        efficientnet = _efficientnet(scripted.state_dict())
        if efficientnet:
            return efficientnet
        _load_weights(backbone, scripted.state_dict(), shape, weights)
        return backbone
    return OwnBackbone(scripted, _channels(scripted, image_size, weights))


def check_fit(backbone: AnyBackbone, tune: Tune, image_size: int) -> None:
    """Raises TrainingError if ``backbone`` has no part that ``tune`` trains, or cannot take such small pictures."""
    if isinstance(backbone, EfficientNetLite) and image_size < _LEAST:
        raise TrainingError(f"an EfficientNet needs pictures of at least {_LEAST} pixels, and not {image_size}")
    if tune == "top" and not isinstance(backbone, EfficientNetLite):
        raise TrainingError("only an EfficientNet has a top to tune; tune this backbone frozen or full")


def _efficientnet(values: Mapping[str, Tensor]) -> EfficientNetLite | None:
    """Returns the EfficientNet whose weights a hash model's ``values`` hold, if any."""
    found = [value for name, value in values.items() if name.startswith("backbone.")]
    for variant in VARIANTS.values():
        network = EfficientNetLite(variant)
        own = network.state_dict()
        if [value.shape for value in own.values()] == [value.shape for value in found]:
            network.load_state_dict(dict(zip(own, found, strict=True)))
            return network
    return None


def _state_dict(path: Path) -> Mapping[str, Tensor]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, ValueError, EOFError, KeyError, pickle.UnpicklingError) as error:
        raise TrainingError(f"{path} is neither TorchScript nor a state_dict that holds nothing but weights") from error
    for key in ("state_dict", "model"):  # other trainers wrap the weights so
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise TrainingError(f"{path} is no state_dict: names and tensors")
    return content


def _load_weights(backbone: Backbone, values: Mapping[str, Tensor], shape: str, path: Path) -> None:
    own = backbone.state_dict()
    # Every network of ours has the first names: they reveal the prefix.
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
        # At first the block adds zero to its shortcut: the network is deeper, but the same function.
        nn.init.zeros_(backbone.get_parameter(f"{'.'.join(block)}.second.1.weight"))


def _added_blocks(backbone: Backbone, found: Collection[str]) -> list[list[str]]:
    """Returns the blocks without a weight in ``found``, except a stage's first, as ["stages", stage, block]."""
    blocks = [
        ["stages", stage, block]
        for stage, members in backbone.stages.named_children()
        for block, _ in list(members.named_children())[1:]
    ]
    return [block for block in blocks if not any(name.startswith(".".join(block) + ".") for name in found)]


def _channels(scripted: torch.jit.ScriptModule, image_size: int, path: Path) -> int:
    """Returns the number of channels of the network's output, from one forward pass."""
    try:
        with torch.inference_mode():
            features = scripted(torch.zeros(2, 3, image_size, image_size))
    except (RuntimeError, AttributeError, torch.jit.Error) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise TrainingError(f"{path} cannot take pictures of {image_size}×{image_size}: {lines[-1]}") from error
    if not isinstance(features, Tensor) or features.dim() not in (2, 4) or len(features) != 2:
        raise TrainingError(f"{path} must answer one tensor, (pictures, channels) or (pictures, channels, h, w)")
    return int(features.shape[1])
