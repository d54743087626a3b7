"""Weights as files have them: OpenAI's TorchScript archives, safetensors, and checkpoints of torch.save.

file ─▶ {"visual.conv1.weight": tensor, …}, and what the file says of how they were trained
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from training.errors import TrainingError
from training.importing.libraries import library

#: OpenAI's archives hold these numbers beside the weights.
_OPENAI = {"input_resolution", "context_length", "vocab_size"}
#: Where checkpoints keep weights beside other things; DINO's teacher is the network that its authors publish.
_WITHIN = ("state_dict", "model", "teacher")
_NAMED = 5

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Weights:
    """``tensors`` by name, and whether they are of ``openai``: then the text tower computes with QuickGELU."""

    file: str
    tensors: Tensors
    openai: bool = False

    def of(self, prefixes: tuple[str, ...], head: str) -> Tensors:
        """Returns those of a backbone, by its own names, without those of its ``head``. Of the ``prefixes``, those
        count that begin the names of some."""
        tensors = self.tensors
        for prefix in prefixes:
            inner = {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}
            tensors = inner or tensors
        return {name: tensor for name, tensor in tensors.items() if not name.startswith(head)}


def read_weights(path: Path) -> Weights:
    """Returns the weights in the file at ``path``. Nothing in it is executed. Raises TrainingError."""
    if path.suffix == ".safetensors":
        try:
            return Weights(path.name, library("safetensors.torch").load_file(path))
        except Exception as error:  # the library raises an exception of its own, of no narrower base
            raise TrainingError(f"{path.name} is no file of safetensors: {error}") from error
    try:
        found: Any = torch.jit.load(str(path), map_location="cpu").state_dict()  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError):
        try:
            found = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # pickle, zip and torch raise whatever they like
            raise TrainingError(
                f"{path.name} holds no weights: expected are OpenAI's archive, a .safetensors file, or a checkpoint of "
                "tensors alone, written by torch.save"
            ) from error
    for name in _WITHIN:
        if isinstance(found, Mapping) and isinstance(found.get(name), Mapping):
            found = found[name]
    if not isinstance(found, Mapping):
        raise TrainingError(f"{path.name} holds no weights by name")
    tensors = {str(name): tensor for name, tensor in found.items() if isinstance(tensor, torch.Tensor)}
    if not tensors:
        raise TrainingError(f"{path.name} holds no weights by name")
    openai = set(tensors) >= _OPENAI
    return Weights(path.name, {name: each for name, each in tensors.items() if name not in _OPENAI}, openai)


def put(tensors: Tensors, network: torch.nn.Module, file: str, architecture: str) -> None:
    """Load ``tensors`` into ``network``. Raises TrainingError, which names what doesn't fit."""
    own = network.state_dict()
    for told, names in (
        (f"lacks {{}} of {architecture}", own.keys() - tensors.keys() - _counters(own)),
        (f"has {{}}, which {architecture} has not", tensors.keys() - own.keys()),
    ):
        if names:
            shown = ", ".join(sorted(names)[:_NAMED]) + (f" and {len(names) - _NAMED} more" * (len(names) > _NAMED))
            raise TrainingError(f"{file} {told.format(shown)}: these are weights of another architecture")
    for name, tensor in tensors.items():
        if tensor.shape != own[name].shape:
            raise TrainingError(
                f"{name} in {file} has the shape {tuple(tensor.shape)}, and in {architecture} "
                f"{tuple(own[name].shape)}: these are weights of another architecture"
            )
    network.load_state_dict(tensors, strict=False)


def _counters(own: Mapping[str, torch.Tensor]) -> set[str]:
    """The batches that normalisation has seen: old checkpoints lack them, and nothing computes with them."""
    return {name for name in own if name.endswith("num_batches_tracked")}
