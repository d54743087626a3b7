"""All errors of the embedding room, as one small tree.

EmbeddingError
├── ModelError              the model file or its card; nothing can be embedded
├── NoMixture               parts that cancel each other out, or a model whose vectors cannot be added
└── TextError               words that the model cannot embed; messages are safe to send to a client
    ├── UnknownText         a name that is not a class of the model
    ├── TooManyWords        a text longer than the model's text tower reads
    └── UnknownWords        a text that means nothing to the model's text tower
"""

from collections.abc import Sequence
from difflib import get_close_matches

#: The most classes that a message lists.
_LISTED = 30


class EmbeddingError(Exception):
    """Base of every error that the embedding room raises on purpose."""


class ModelError(EmbeddingError):
    """The model file, its card or the requested device cannot be used."""


class NoMixture(EmbeddingError):
    """A query's parts cannot be put together. The message says why, and is safe to send to a client."""


class TextError(EmbeddingError):
    """A text has no vectors. The message says why, and is safe to send to a client."""


class UnknownText(TextError):
    """``name`` is not a class of the model. The message lists the classes, or of very many those that are spelled most
    like it."""

    def __init__(self, name: str, classes: Sequence[str]) -> None:
        super().__init__(f"{name[:60]!r} is no class of the model; {_known(name[:60], classes)}")


class TooManyWords(TextError):
    """A text that would have to be cut."""

    def __init__(self, length: str, context_length: int) -> None:
        super().__init__(
            f"the text is too long: it has {length}, and the model reads {context_length} tokens, which are words and "
            "parts of words; use fewer words"
        )


class UnknownWords(TextError):
    """A text without a word that the model's text tower knows."""

    def __init__(self, text: str) -> None:
        super().__init__(f"{text[:60]!r} means nothing to the model; use other words for what a picture shows")


def _known(name: str, classes: Sequence[str]) -> str:
    if not classes:
        return "it knows no classes by name"
    if len(classes) <= _LISTED:
        return f"it knows {', '.join(classes)}"
    plain = {each.casefold(): each for each in classes}
    parts = [each for each in classes if name.casefold() in each.casefold().split()]  # "retriever"
    alike = [plain[each] for each in get_close_matches(name.casefold(), plain, n=8)]
    nearest = [*dict.fromkeys(parts + alike)][:_LISTED]
    told = f"; spelled most like it: {', '.join(nearest)}" if nearest else ""
    return f"it knows {len(classes):,} classes, which its card lists{told}"
