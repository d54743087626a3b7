"""Turns a trained network into a model file whose card says how good the file is.

script ─▶ save ─▶ load as a server does ─▶ evaluate on the held-out pictures ─▶ save again, figures in the card
"""

from pathlib import Path

import torch
from pydantic import JsonValue
from torch import nn

from embedding.card import ModelCard
from embedding.torchscript import TorchScriptEmbedder, save_model
from training.evaluation import evaluate
from training.results import Evaluation, Figure
from training.split import Split


def save_and_measure(network: nn.Module, card: ModelCard, path: Path, split: Split) -> Evaluation:
    """Save ``network`` (on the CPU, in eval mode) at ``path``. The figures of ``split`` go into the card's
    ``training``, each with the ends of its 95% interval.

    Matrices and filters are stored, and from here on kept, in half precision, which halves the file; whoever loads it
    computes in float32. What normalises, at most a hundredth of the numbers, stays in float32.
    """
    for parameter in network.parameters():
        if parameter.dim() > 1:
            parameter.data = parameter.data.half()
    scripted = torch.jit.script(network)
    save_model(scripted, card, path)
    found = evaluate(TorchScriptEmbedder.load(path), split)
    figures: dict[str, JsonValue] = {
        "queries": found.queries,
        "database": found.database,
        "protocol": found.protocol,
        "ties": found.ties,
    }
    for method in found.methods:
        if method.of_model:
            figures[method.note] = {name: _written(figure) for name, figure in method.figures.items()} | {
                f"{name} of {distortion}": _written(figure)
                for distortion, recalls in method.near_duplicates.items()
                for name, figure in recalls.items()
            }
    save_model(scripted, card.model_copy(update={"training": card.training | {"figures": figures}}), path)
    return found


def _written(figure: Figure) -> JsonValue:
    return [round(value, 4) for value in (figure.value, figure.low, figure.high)]
