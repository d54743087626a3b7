"""Codes as ``dump`` gives and ``restore`` takes them.

code, and behind it the detail code if the model gives one ─▶ base64             "nzoAwdLk9Qc="
base64 or hex of that, or a number for each bit, positive for 1 ─▶ code, detail code
"""

import binascii
import math
import re

import numpy as np
import pybase64

from searcher.manifest import ModelIdentity

_HEX = re.compile(r"(?:[0-9A-Fa-f]{2})*")


class BadEmbedding(Exception):
    """An embedding that cannot be one of this model; the message is for the client."""


class Embeddings:
    """Codes of ``model``, to and from the form they travel in."""

    def __init__(self, model: ModelIdentity) -> None:
        self._model = model
        self._code_bytes = model.bits // 8
        self._bytes = self._code_bytes + (model.detail_bits or 0) // 8

    def encode(self, code: bytes, detail: bytes | None) -> str:
        """Base64 of ``code`` and ``detail``."""
        return pybase64.b64encode(code + (detail or b"")).decode("ascii")

    def decode(self, given: str | list[float]) -> tuple[bytes, bytes | None]:
        """Code and detail code of what a client gave. BadEmbedding for what is none."""
        both = self._from_text(given) if isinstance(given, str) else self._from_numbers(given)
        if self._model.detail_bits is None:
            return both, None
        return both[: self._code_bytes], both[self._code_bytes :]

    def _from_text(self, text: str) -> bytes:
        # No number of bytes has hex digits and base64 of one length, but 2: there base64 ends in "=", which hex hasn't.
        if len(text) == 2 * self._bytes and _HEX.fullmatch(text):
            return bytes.fromhex(text)
        try:
            both = pybase64.b64decode(text + "=" * (-len(text) % 4), validate=True)
        except (binascii.Error, ValueError) as error:
            raise BadEmbedding("neither base64 nor hex digits") from error
        if len(both) != self._bytes:
            raise BadEmbedding(f"has {8 * len(both)} bits, and {self._wanted()}")
        return both

    def _from_numbers(self, numbers: list[float]) -> bytes:
        if len(numbers) != 8 * self._bytes:
            raise BadEmbedding(f"has {len(numbers)} values, and {self._wanted()}")
        if not all(map(math.isfinite, numbers)):
            raise BadEmbedding("has a value that is no finite number")
        return np.packbits(np.array(numbers) > 0).tobytes()

    def _wanted(self) -> str:
        model = self._model
        detail = "" if model.detail_bits is None else f" + {model.detail_bits}"
        return f"codes of {model.name} have {model.bits}{detail} bits"


def similarity(distance: int, bits: int) -> float:
    """100 times the cosine of two codes of ``bits`` bits as vectors of ±1, ``distance`` of which differ; 0 where it is
    negative. 100: the same code; 0: half of the bits, or more, differ, as two codes drawn by chance do."""
    return max(0.0, 100 * (1 - 2 * distance / bits))
