"""An image as collections store it: its path, its vectors, and the data given with it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from contract.model import ModelIdentity
from contract.space import VectorBytes


@dataclass(frozen=True)
class Entry:
    """The image called ``path``, a path as the listing spells it or a URL, and its vectors in every space of the model.

    ``metadata`` is JSON text, ``digest`` the 16-byte BLAKE2b of the picture file, and ``fetched`` JSON text with what
    is needed to fetch it again.
    """

    path: str
    vectors: VectorBytes
    metadata: str | None = None
    digest: bytes | None = None
    fetched: str | None = None


def require_fitting(entries: Sequence[Entry], model: ModelIdentity) -> None:
    """Raise ValueError, naming the entry, unless each of ``entries`` has a path, texts that can be stored, and just the
    vectors that ``model`` makes."""
    wanted = {space.name: space.row_bytes for space in model.spaces}
    for entry in entries:
        path = entry.path
        if not path or "\0" in path:
            raise ValueError("an image needs a path or URL, without zero bytes")
        for what, text in (("path or URL", path), ("metadata", entry.metadata), ("state of fetching", entry.fetched)):
            if text is None or text.isascii():
                continue
            try:
                text.encode()
            except UnicodeEncodeError as error:
                raise ValueError(f"the {what} is no valid Unicode") from error
        given = {name: len(vector) for name, vector in entry.vectors.items()}
        if given != wanted:
            raise ValueError(
                f"{path}: the code has {_bits(given)} bits, and codes of {model.name} have {_bits(wanted)}"
            )


def require_json(entries: Sequence[Entry]) -> None:
    """Raise ValueError, naming the entry, unless metadata and states of fetching are JSON."""
    for entry in entries:
        for text in (entry.metadata, entry.fetched):
            try:
                if text:
                    _strict.decode(text)
            except (ValueError, RecursionError) as error:
                raise ValueError(f"{entry.path}: the metadata is no JSON") from error


def _no_json(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


_strict = json.JSONDecoder(parse_constant=_no_json)


def _bits(widths: Mapping[str, int]) -> str:
    return " + ".join(str(8 * width) for width in widths.values())
