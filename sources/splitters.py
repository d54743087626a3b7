"""Splitters by name: our own, and those that installed packages add as entry points ``hashlake.splitters``.

pdf              ─▶ SPLITTERS.get("pdf") ─▶ open_pdf("")          ─▶ a Splitter
pdf:dpi=200      ─▶ …                    ─▶ open_pdf("dpi=200")
"""

from collections.abc import Iterable
from typing import Protocol

from contract.registry import BuiltIn, Registry
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


def suffixes_of(splitters: Iterable[Splitter]) -> frozenset[str]:
    """Returns what the names of items end in that ``splitters`` take apart."""
    return frozenset().union(*(each.suffixes for each in splitters))
