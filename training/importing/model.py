"""Weights of an architecture ─▶ one carded TorchScript file.

read ─▶ network ─▶ script ─▶ save ─▶ compare with the library's own vectors ─▶ fit means and rotation, and measure what
distances mean ─▶ save again
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from pydantic import JsonValue
from torch import nn

from contract.closeness import Calibration
from contract.space import EMBEDDING
from embedding.card import ModelCard, TextTower
from embedding.projection import Floats, unit
from embedding.tokens import TextTokens
from embedding.torchscript import TorchScriptEmbedder, save_model
from pictures.preparation import Preprocessing
from training.cosine_calibration import calibrate_cosines, embedded
from training.errors import TrainingError
from training.importing.architectures import Clip, architecture
from training.importing.libraries import clip_vocabulary
from training.importing.networks import Activation, BothTowers, ImageTower, backbone_network, clip_network
from training.importing.rotation import Rotation, fitted, unfitted
from training.importing.tokenizer import clip_tokenizer
from training.importing.weights import read_weights
from training.pictures import LabelledFile

TORCHSCRIPT = "torchscript"

#: The farthest that a number of the file's vectors, at length 1, may be from the library's own.
TOLERANCE = 1e-4

_FITTED = 4000
_TEXTS = 64


@dataclass(frozen=True)
class Imported:
    """A network with its weights, not yet a file. ``tokenizer`` is empty without a text tower."""

    name: str
    aliases: tuple[str, ...]
    network: nn.Module
    preprocessing: Preprocessing
    context_length: int = 0
    tokenizer: str = ""


def read_imported(name: str, file: Path, activation: Activation | None, image_size: int | None) -> Imported:
    """Returns the architecture ``name`` with the weights in ``file``. Raises TrainingError."""
    if name.lower() == TORCHSCRIPT:
        return _foreign(file, image_size)
    known = architecture(name)
    if image_size is not None:
        raise TrainingError(f"--image_size is for {TORCHSCRIPT}: {known.name} has its own")
    weights = read_weights(file)
    aliases = known.names
    if not isinstance(known, Clip):
        if activation is not None:
            raise TrainingError(f"--activation is for CLIP's architectures, and {known.name} is none")
        return Imported(known.alias, aliases, backbone_network(known, weights), known.preprocessing)
    context_length = known.sizes()["text_cfg"]["context_length"]
    network = clip_network(known, weights, activation)
    tokenizer = clip_tokenizer(clip_vocabulary(), context_length).to_str()
    return Imported(known.alias, aliases, network, known.preprocessing, context_length, tokenizer)


def _foreign(file: Path, image_size: int | None) -> Imported:
    if image_size is None:
        raise TrainingError(f"{TORCHSCRIPT} doesn't say how large its pictures are: give --image_size")
    try:
        network = torch.jit.load(str(file), map_location="cpu").eval()  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError) as error:
        raise TrainingError(f"{file.name} is not a TorchScript model") from error
    preprocessing = Preprocessing(decoding=2, image_size=image_size, resize="center-crop")
    return Imported(file.stem, (), network, preprocessing)


def write_model(imported: Imported, out: Path, bits: int, pictures: Sequence[LabelledFile] = ()) -> TorchScriptEmbedder:
    """Write ``imported`` to ``out``, whole or not at all, with codes of ``bits`` bits, fitted to ``pictures``. Their
    labels, where they have some, tell what distances mean. Returns it as servers load it. Raises TrainingError where
    its vectors aren't those of the library."""
    width = library_vectors(imported).shape[1]
    beside = out.with_name(f".{out.name}.part")
    try:
        model = _written(imported, unfitted(width, bits), beside, {"fitted": "no"})
        _require_equal(imported, beside)
        if pictures:
            seen = embedded(model, pictures[:: -(-len(pictures) // _FITTED)])
            texts = _of_texts(model) if imported.tokenizer else np.empty((0, width), np.float32)
            told: dict[str, JsonValue] = {"pictures": len(seen.labels), "texts": len(texts)}
            calibration = calibrate_cosines(model, seen, words=bool(imported.tokenizer))
            model = _written(imported, fitted(seen.embeddings, texts, bits), beside, {"fitted": told}, calibration)
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(beside, out)
    finally:
        beside.unlink(missing_ok=True)
    return model


def _written(
    imported: Imported,
    rotation: Rotation,
    path: Path,
    training: dict[str, JsonValue],
    calibration: Calibration | None = None,
) -> TorchScriptEmbedder:
    module = (BothTowers if imported.tokenizer else ImageTower)(imported.network, rotation).eval()
    card = ModelCard(
        name=imported.name,
        aliases=imported.aliases,
        bits=rotation.rotation.shape[1],
        embedding_width=len(rotation.rotation),
        text=TextTower(context_length=imported.context_length) if imported.tokenizer else None,
        preprocessing=imported.preprocessing,
        calibration=calibration,
        training=training,
    )
    with _in_half(imported.network):
        save_model(torch.jit.script(module), card, path, imported.tokenizer)
    return TorchScriptEmbedder.load(path)


@contextmanager
def _in_half(network: nn.Module) -> Iterator[None]:
    """Matrices that half precision holds without loss, as OpenAI published them, are written in it."""
    halved = [each for each in network.parameters() if each.dim() > 1 and torch.equal(each, each.half().float())]
    for parameter in halved:
        parameter.data = parameter.data.half()
    try:
        yield
    finally:
        for parameter in halved:
            parameter.data = parameter.data.float()


def _noise(preprocessing: Preprocessing) -> torch.Tensor:
    """Two pictures of noise, as the network takes them."""
    size = preprocessing.image_size
    pictures = np.random.default_rng(0).standard_normal((2, 3, size, size), np.float32)
    return torch.from_numpy(pictures)


def library_vectors(imported: Imported, tokens: torch.Tensor | None = None) -> Floats:
    """Returns what the library's own network makes of two pictures of noise, or of ``tokens``, at length 1: float32
    (n, width). Raises TrainingError if that are no vectors."""
    batch, network = _noise(imported.preprocessing), imported.network
    try:
        with torch.inference_mode():
            if tokens is not None:
                found = network.encode_text(tokens)  # type: ignore[operator]
            elif imported.tokenizer:
                found = network.encode_image(batch)  # type: ignore[operator]
            else:
                found = network(batch)
    except RuntimeError as error:
        size = imported.preprocessing.image_size
        raise TrainingError(f"{imported.name} cannot embed a {size}×{size} picture: {_last_line(error)}") from error
    if not isinstance(found, torch.Tensor) or found.ndim != 2:
        raise TrainingError(f"{imported.name} must answer one tensor of shape (pictures, dimensions)")
    return unit(found.float().numpy())


def difference(imported: Imported, path: Path) -> float:
    """Returns how far, at most, a number of the vectors of the file at ``path`` is from the library's own: of two
    pictures, and of words where the model has a text tower."""
    module = torch.jit.load(str(path), map_location="cpu").float()  # type: ignore[no-untyped-call]
    with torch.inference_mode():
        pairs = [(module.embedding(_noise(imported.preprocessing)), library_vectors(imported))]
        if imported.tokenizer:
            read = TextTokens(imported.tokenizer, imported.context_length, imported.name)
            tokens = torch.from_numpy(read(["a photo of a cat", "two dogs"]))
            pairs.append((module.encode_text(tokens), library_vectors(imported, tokens)))
    return max(float(np.abs(unit(ours.numpy()) - theirs).max()) for ours, theirs in pairs)


def _require_equal(imported: Imported, path: Path) -> None:
    far = difference(imported, path)
    if not far <= TOLERANCE:  # a NaN is no better
        raise TrainingError(f"{imported.name} as a file makes other vectors than the library: they differ by {far:.1e}")


def _last_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]


def _of_texts(model: TorchScriptEmbedder) -> Floats:
    """Returns float32 (n, width) of words for things, spread over ImageNet's."""
    names = resources.files("training").joinpath("imagenet_classes.txt").read_text(encoding="utf-8").split("\n")
    words = [f"a photo of a {name.strip()}" for name in names if name.strip()]
    return model.embed_text(words[:: -(-len(words) // _TEXTS)])[EMBEDDING].astype(np.float32)
