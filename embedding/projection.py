"""Float vectors → the spaces ``embedding`` and ``code``.

    e ─▶ e / |e| ─┬─▶ float16                                          embedding
                  └─▶ sign((e − mean of its modality) @ rotation)      code

Pictures and texts of one model point in different directions (Liang et al., "Mind the gap", 2022): each modality is
centred by a mean of its own, so that their codes can be compared.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from contract.space import CODE, EMBEDDING, Vectors
from embedding.card import ModelCard
from embedding.errors import ModelError

Floats = NDArray[np.float32]


class Projection:
    """The buffers ``image_mean`` (width), ``rotation`` (width, bits) and, with a text tower, ``text_mean`` (width) of
    ``module``. Raises ModelError where they don't fit its card."""

    def __init__(self, module: torch.jit.ScriptModule, card: ModelCard) -> None:
        width = card.embedding_width or 0
        self._image_mean = _buffer(module, card, "image_mean", (width,))
        self._text_mean = _buffer(module, card, "text_mean", (width,)) if card.text else self._image_mean
        self._rotation = _buffer(module, card, "rotation", (width, card.bits))

    def of_pictures(self, embeddings: Floats) -> Vectors:
        """The vectors of pictures, from ``embeddings``, float32 (n, width) of any length."""
        return self._vectors(embeddings, self._image_mean)

    def of_texts(self, embeddings: Floats) -> Vectors:
        """The vectors of texts, likewise."""
        return self._vectors(embeddings, self._text_mean)

    def _vectors(self, embeddings: Floats, mean: Floats) -> Vectors:
        units = unit(embeddings)
        return {CODE: np.packbits((units - mean) @ self._rotation > 0, axis=1), EMBEDDING: units.astype("<f2")}


def unit(vectors: Floats) -> Floats:
    """``vectors``, float32 (n, width), at length 1. Those of length 0 stay as they are."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: Floats = (vectors / np.maximum(lengths, np.finfo(np.float32).tiny)).astype(np.float32)
    return scaled


def _buffer(module: torch.jit.ScriptModule, card: ModelCard, name: str, shape: tuple[int, ...]) -> Floats:
    found = getattr(module, name, None)
    if not isinstance(found, torch.Tensor) or tuple(found.shape) != shape:
        told = f"of shape {tuple(found.shape)}" if isinstance(found, torch.Tensor) else "none"
        raise ModelError(f"the card of {card.name} wants a buffer {name} of shape {shape}, and the model has {told}")
    values: Floats = found.detach().float().cpu().numpy()
    return values
