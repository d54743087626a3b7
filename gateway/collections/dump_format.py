"""Vectors in the form that ``dump`` writes and ``restore`` reads.

    codes                     concatenated, in base64               "embedding": "nzoAwdLk9Qc="
    an embedding and codes    the numbers, and the codes beside     "embedding": [0.0234, …], "code": "nzoAwdLk9Qc="

``restore`` also takes hex, base64 of all vectors concatenated, or a number for each bit (positive for 1) and float16.
"""

import binascii
import json
import math
import re
from collections.abc import Sequence
from itertools import accumulate, pairwise

import numpy as np
import pybase64

from contract.model import ModelIdentity
from contract.space import EMBEDDING, Space, VectorBytes, as_numbers

_HEX = re.compile(r"(?:[0-9A-Fa-f]{2})*")
#: Rounding to float16 changes the length of a unit vector by less.
_UNIT = 1e-3


class BadEmbedding(Exception):
    """An embedding that doesn't fit this model; the message is for the client."""


class Embeddings:
    """Encodes and decodes vectors of ``model``."""

    def __init__(self, model: ModelIdentity) -> None:
        self._model = model
        self._floats = model.space(EMBEDDING)
        self._codes = [space for space in model.spaces if space.name != EMBEDDING]
        self._all_parts, self._code_parts = _Parts(model.spaces), _Parts(self._codes)

    def fields(self, vectors: VectorBytes) -> str:
        """Returns ``vectors`` as the fields of a JSON object: ``embedding`` and, beside numbers, ``code`` if codes are
        kept."""
        together = b"".join(vectors[space.name] for space in self._codes)
        codes = pybase64.b64encode(together).decode("ascii")
        if self._floats is None:
            return f'"embedding":"{codes}"'
        (numbers,) = as_numbers(self._floats.array([vectors[EMBEDDING]]))
        embedding = f'"embedding":{json.dumps(numbers, separators=(",", ":"))}'
        return f'{embedding},"code":"{codes}"' if self._codes else embedding

    def decode(self, given: str | list[float], code: str | None = None) -> VectorBytes:
        """Returns the vectors that a client sent, in all spaces or, of numbers without a ``code``, as Idios dumps them,
        the embedding alone. Raises BadEmbedding."""
        if self._floats is not None and isinstance(given, list) and len(given) == self._floats.width:
            embedding = {EMBEDDING: _unit(given, self._floats)}
            if code is None:
                return embedding
            try:
                return self._code_parts.split(_from_text(code, self._code_parts, self._model.name)) | embedding
            except BadEmbedding as error:
                raise BadEmbedding(f"code: {error}") from error
        parts = self._all_parts
        if isinstance(given, str):
            return parts.split(_from_text(given, parts, self._model.name))
        return parts.split(_from_numbers(given, parts.spaces, self._model.name))


class _Parts:
    """Where the vectors of ``spaces`` lie, one behind the other, in ``row_bytes`` bytes."""

    def __init__(self, spaces: Sequence[Space]) -> None:
        self.spaces = spaces
        ends = list(accumulate(space.row_bytes for space in spaces))
        self.row_bytes = ends[-1] if ends else 0
        self._places = [(space.name, slice(*place)) for space, place in zip(spaces, pairwise([0, *ends]), strict=True)]
        self._floats = [space for space in spaces if space.kind == "float16"]

    def split(self, together: bytes) -> dict[str, bytes]:
        """Returns the vector in each space. Raises BadEmbedding for numbers that aren't finite."""
        vectors = {name: together[place] for name, place in self._places}
        for space in self._floats:
            if not np.isfinite(np.frombuffer(vectors[space.name], space.dtype)).all():
                raise BadEmbedding("has a value that is no finite number, or too large for float16")
        return vectors


def _from_text(text: str, parts: _Parts, model: str) -> bytes:
    expected = parts.row_bytes
    # Hex and base64 of the same bytes differ in length. Only for 2 bytes both have 4 characters, and then base64
    # ends in "=", which isn't a hex digit.
    if len(text) == 2 * expected and _HEX.fullmatch(text):
        return bytes.fromhex(text)
    try:
        together = pybase64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadEmbedding("neither base64 nor hex digits") from error
    if len(together) != expected:
        raise BadEmbedding(f"has {8 * len(together)} bits, and {_wanted(parts.spaces, model)}")
    return together


def _from_numbers(numbers: list[float], spaces: Sequence[Space], model: str) -> bytes:
    if len(numbers) != sum(space.width for space in spaces):
        embedding = next((space for space in spaces if space.name == EMBEDDING), None)
        wanted = f"embeddings of {model} have {embedding.width}" if embedding else _wanted(spaces, model)
        raise BadEmbedding(f"has {len(numbers)} values, and {wanted}")
    _require_finite(numbers)
    parts = np.split(np.array(numbers), np.cumsum([space.width for space in spaces])[:-1])
    with np.errstate(over="ignore"):
        return b"".join(
            (np.packbits(part > 0) if space.kind == "binary" else part.astype(space.dtype)).tobytes()
            for space, part in zip(spaces, parts, strict=True)
        )


def _unit(numbers: list[float], space: Space) -> bytes:
    """``numbers`` at length 1; as they are, if they are a unit vector rounded to float16."""
    _require_finite(numbers)
    vector = np.array(numbers)
    largest = np.abs(vector).max()
    if not largest:
        raise BadEmbedding("has only zeros, which point nowhere")
    length = largest * np.linalg.norm(vector / largest)  # whose squares neither overflow nor vanish
    if abs(length - 1) > _UNIT:
        vector = vector / largest / (length / largest)
    return vector.astype(space.dtype).tobytes()


def _require_finite(numbers: list[float]) -> None:
    if not all(map(math.isfinite, numbers)):
        raise BadEmbedding("has a value that is no finite number")


def _wanted(spaces: Sequence[Space], model: str) -> str:
    widths = " + ".join(str(8 * space.row_bytes) for space in spaces)
    return f"codes of {model} have {widths} bits"


def similarity(distance: float, space: Space) -> float:
    """Returns 100 times the cosine of two vectors of ``space`` at ``distance``, codes being read as vectors of ±1; 0 if
    that is negative. 100: the same direction, or code; 0: at least half of the bits differ, as in two random codes."""
    share = distance if space.metric == "cosine" else 2 * distance / space.width
    return min(100.0, max(0.0, 100 * (1 - share)))
