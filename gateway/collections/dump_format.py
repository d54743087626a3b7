"""Vectors in the form that ``dump`` writes and ``restore`` reads.

the vectors of all spaces, concatenated ─▶ base64                              "nzoAwdLk9Qc="
base64 or hex of that, or a number for each bit (positive for 1) or float16 ─▶ vectors
"""

import binascii
import math
import re

import numpy as np
import pybase64

from contract.model import ModelIdentity
from contract.space import Space, VectorBytes

_HEX = re.compile(r"(?:[0-9A-Fa-f]{2})*")


class BadEmbedding(Exception):
    """An embedding that doesn't fit this model; the message is for the client."""


class Embeddings:
    """Encodes and decodes vectors of ``model``."""

    def __init__(self, model: ModelIdentity) -> None:
        self._model = model
        self._bytes = sum(space.row_bytes for space in model.spaces)
        self._numbers = sum(space.width for space in model.spaces)

    def encode(self, vectors: VectorBytes) -> str:
        """Returns ``vectors``, concatenated in the order of the model's spaces, in base64."""
        return pybase64.b64encode(b"".join(vectors[space.name] for space in self._model.spaces)).decode("ascii")

    def decode(self, given: str | list[float]) -> VectorBytes:
        """Returns the vectors that a client sent. Raises BadEmbedding."""
        together = self._from_text(given) if isinstance(given, str) else self._from_numbers(given)
        vectors, start = {}, 0
        for space in self._model.spaces:
            vectors[space.name] = together[start : start + space.row_bytes]
            start += space.row_bytes
        return vectors

    def _from_text(self, text: str) -> bytes:
        # Hex and base64 of the same bytes differ in length. Only for 2 bytes both have 4 characters, and then base64
        # ends in "=", which isn't a hex digit.
        if len(text) == 2 * self._bytes and _HEX.fullmatch(text):
            return bytes.fromhex(text)
        try:
            together = pybase64.b64decode(text + "=" * (-len(text) % 4), validate=True)
        except (binascii.Error, ValueError) as error:
            raise BadEmbedding("neither base64 nor hex digits") from error
        if len(together) != self._bytes:
            raise BadEmbedding(f"has {8 * len(together)} bits, and {self._wanted()}")
        return together

    def _from_numbers(self, numbers: list[float]) -> bytes:
        if len(numbers) != self._numbers:
            raise BadEmbedding(f"has {len(numbers)} values, and {self._wanted()}")
        if not all(map(math.isfinite, numbers)):
            raise BadEmbedding("has a value that is no finite number")
        ends = np.cumsum([space.width for space in self._model.spaces])
        parts = np.split(np.array(numbers), ends[:-1])
        return b"".join(
            (np.packbits(part > 0) if space.kind == "binary" else part.astype(space.dtype)).tobytes()
            for space, part in zip(self._model.spaces, parts, strict=True)
        )

    def _wanted(self) -> str:
        widths = " + ".join(str(8 * space.row_bytes) for space in self._model.spaces)
        return f"codes of {self._model.name} have {widths} bits"


def similarity(distance: float, space: Space) -> float:
    """Returns 100 times the cosine of two vectors of ``space`` at ``distance``, codes being read as vectors of ±1; 0 if
    that is negative. 100: the same direction, or code; 0: at least half of the bits differ, as in two random codes."""
    share = distance if space.metric == "cosine" else 2 * distance / space.width
    return min(100.0, max(0.0, 100 * (1 - share)))
