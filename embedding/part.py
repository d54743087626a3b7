"""A part of a query that is made of several: the embedding of a picture or a text, with its weight."""

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Part:
    """The ``embedding`` (width,) of a picture or ``of_text``, and its ``weight`` in a query; below zero it is to be
    kept away from. ``of_text`` None: it may be of either."""

    embedding: NDArray[Any]
    weight: float = 1.0
    of_text: bool | None = False
