"""Float vectors → the spaces ``embedding`` and ``code``.

    e ─▶ e / |e| ─┬─▶ float16                                          embedding
                  └─▶ sign((e − mean of its modality) @ rotation)      code

Pictures and texts of one model point in different directions (Liang et al., "Mind the gap", 2022): each modality is
centred by a mean of its own, so that their codes can be compared.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from contract.space import CODE, EMBEDDING, Vectors
from embedding.card import ModelCard
from embedding.errors import ModelError, NoMixture
from embedding.part import Part

Floats = NDArray[np.float32]

#: A sum shorter than this is rounding noise.
_SHORTEST = 1e-3


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

    def mixed(self, parts: Sequence[Part]) -> Vectors:
        """The vectors, one row for each space, of the sum of ``parts``. It is centred by the same sum of their means.
        Raises NoMixture if they cancel each other out."""
        weights = np.array([[part.weight] for part in parts], np.float32)
        units = unit(np.stack([part.embedding.astype(np.float32) for part in parts]))
        means = np.stack([self._mean_of(part, one) for part, one in zip(parts, units, strict=True)])
        total, mean = (weights * units).sum(axis=0), (weights * means).sum(axis=0)
        length = float(np.linalg.norm(total))
        if length < _SHORTEST:
            raise NoMixture("nothing is left: the parts of the query cancel each other out")
        found = self._vectors(total[None], mean / length)
        return {name: array[0] for name, array in found.items()}

    def _mean_of(self, part: Part, one: Floats) -> Floats:
        of_text = part.of_text
        if of_text is None:  # the modalities lie apart: the nearer mean is that of its own
            of_text = bool(one @ self._text_mean > one @ self._image_mean)
        return self._text_mean if of_text else self._image_mean

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
