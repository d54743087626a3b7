"""An image as collections store it: its path, its vectors, and the data given with it."""

from dataclasses import dataclass

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
