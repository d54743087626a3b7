"""Loaders of model files, chosen by the file's ending. Packages add theirs as entry points ``hashlake.models``.

model.pt ─▶ MODELS.get("pt") ─▶ TorchScriptEmbedder.load ─▶ an Embedder
"""

from pathlib import Path

from contract.registry import BuiltIn, Registry
from embedding.card import ModelCard
from embedding.embedder import Embedder, LoadEmbedder

_DEFAULT = "pt"

MODELS = Registry(
    "model format", "hashlake.models", {_DEFAULT: BuiltIn("embedding.torchscript:TorchScriptEmbedder.load")}
)


def load_embedder(
    path: Path, device: str = "cpu", *, image_size: int | None = None, card: ModelCard | None = None
) -> Embedder:
    """The model in the file at ``path``, loaded as ``LoadEmbedder`` says. An unknown ending is read as TorchScript.

    Raises ModelError, and NotRegistered if a package that reads the file is not installed.
    """
    ending = path.suffix.removeprefix(".").lower()
    load: LoadEmbedder = MODELS.get(ending if ending in MODELS.names() else _DEFAULT)
    return load(path, device, image_size=image_size, card=card)
