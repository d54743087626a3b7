"""The protocol of a model, which turns pictures and words into vectors, for indexer and handler."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from contract.model import ModelIdentity
from contract.space import Vectors
from embedding.card import ModelCard
from embedding.part import Part
from pictures.work import Budget


class Embedder(Protocol):
    """A loaded model. Threads may share it.

    A picture's vectors depend neither on its batch nor on the thread or process that asks.
    """

    @property
    def card(self) -> ModelCard:
        """Its description for people, and how it prepares pictures."""

    @property
    def identity(self) -> ModelIdentity:
        """Tells its vectors from those of other models, and names their spaces."""

    def prepare(self, data: bytes, budget: Budget | None = None) -> NDArray[np.uint8]:
        """The picture in the file ``data`` as ``embed`` takes it, uint8 (height, width, 3). Raises ImageError, and
        BudgetSpent where decoding is more work than ``budget`` has left."""

    def embed(self, pictures: NDArray[np.uint8]) -> Vectors:
        """The vectors of ``pictures``, uint8 (n, height, width, 3), in every space: uint8 (n, width / 8) or float16
        (n, width)."""

    def complete(self, embeddings: NDArray[np.float16]) -> Vectors:
        """The vectors in every space of pictures whose ``embeddings``, float16 (n, width), are known: of a model that
        makes some."""

    def embed_text(self, texts: Sequence[str]) -> Vectors:
        """The vectors of ``texts``, in the spaces that embed words. Raises UnknownText."""

    def mix(self, parts: Sequence[Part]) -> Vectors:
        """The vectors of a query made of ``parts``, one row for each space: the sum of their embeddings by weight, at
        length 1. Raises NoMixture if nothing is left of it, or if the model makes no embeddings."""

    def warm_up(self, batch: int) -> None:
        """Do the one-time work that the first batches, of up to ``batch`` pictures, would wait for."""


class LoadEmbedder(Protocol):
    """Loads model files of one format (embedding/registry.py)."""

    def __call__(
        self, path: Path, device: str = "cpu", *, image_size: int | None = None, card: ModelCard | None = None
    ) -> Embedder:
        """The model in the file at ``path``, ready on ``device`` ("cpu", "cuda:0", …). ``card``, or else
        ``image_size``, describes a file that has no card of its own. Raises ModelError."""
