"""Splitters by name: our own, and those that installed packages add as entry points ``hashlake.splitters``.

pdf              ─▶ SPLITTERS.get("pdf") ─▶ open_pdf("")          ─▶ a Splitter
pdf:dpi=200      ─▶ …                    ─▶ open_pdf("dpi=200")
"""

from collections.abc import Iterable
from typing import Protocol, runtime_checkable

from contract.registry import BuiltIn, Registry
from sources.segments import Words
from sources.source import Splitter

SPLITTERS = Registry("splitter", "hashlake.splitters", {"pdf": BuiltIn("sources.pdf:open_pdf", "pdf")})


class OpenSplitter(Protocol):
    """A function that makes a splitter."""

    def __call__(self, options: str) -> Splitter:
        """Returns the splitter with ``options``, what follows its name's colon. Raises SourceError."""


def open_splitters(addresses: Iterable[str]) -> list[Splitter]:
    """Returns a splitter for each of ``addresses``. Raises NotRegistered for an unknown name, and SourceError."""
    splitters = []
    for address in addresses:
        name, _, options = address.partition(":")
        opened: OpenSplitter = SPLITTERS.get(name)
        splitters.append(opened(options))
    return splitters


@runtime_checkable
class ReadsText(Protocol):
    """A splitter that makes texts for a model to read."""

    def with_words(self, words: Words | None) -> Splitter:
        """Returns the splitter for a model with this tokenizer, None for one that reads no words. Raises
        SourceError."""


def with_words(splitters: Iterable[Splitter], words: Words | None) -> list[Splitter]:
    """Returns ``splitters``, those that make texts for a model with this tokenizer. Raises SourceError."""
    return [each.with_words(words) if isinstance(each, ReadsText) else each for each in splitters]


def suffixes_of(splitters: Iterable[Splitter]) -> frozenset[str]:
    """Returns what the names of items end in that ``splitters`` take apart."""
    return frozenset().union(*(each.suffixes for each in splitters))
