"""Small pictures of figures, for people who look at what is similar.

    DIR/pictures/DIGEST.jpg      at most 320 pixels a side; DIGEST tells document, figure and version

They are for looking only: a figure without one is compared like any other.
"""

import hashlib
from collections.abc import Container
from pathlib import Path

from pictures.decode import shrunken
from pictures.errors import ImageError

PICTURES = "pictures"
_SIDE = 320
_QUALITY = 80


class Portraits:
    """The small pictures in the folder of results ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / PICTURES

    def keep(self, document: str, name: str, version: str | None, data: bytes) -> None:
        """Keep a small picture of the figure called ``name`` in ``document``, whose file is ``data``. Raises OSError if
        it cannot be written."""
        try:
            picture = shrunken(data, _SIDE)
        except ImageError:  # there are pictures that only a model can use
            return
        path = self._folder / portrait_name(document, name, version)
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(".new")
        picture.save(beside, "JPEG", quality=_QUALITY)
        beside.replace(path)  # without waiting for the disk: there may be thousands

    def has(self, portrait: str) -> bool:
        try:
            return (self._folder / portrait).stat().st_size > 0
        except OSError:
            return False

    def forget_all_but(self, portraits: Container[str | None]) -> None:
        """Remove those that aren't called by one of ``portraits``."""
        for path in self._folder.glob("*"):
            if path.name not in portraits:
                path.unlink(missing_ok=True)


def portrait_name(document: str, name: str, version: str | None) -> str:
    """Returns what the small picture of a figure is called."""
    told = "\0".join((document, name, version or "")).encode("utf-8", "surrogatepass")
    return f"{hashlib.sha256(told).hexdigest()[:32]}.jpg"
