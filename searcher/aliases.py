"""Names that stand for collections: the file ``.aliases.json`` beside the collections' folders.

    {"shoes": "shoes-pg", "shoes-before": "shoes"}     a name → the folder of the collection that it means

Such a name comes before a folder's own: who asks for ``shoes`` gets ``shoes-pg``, and the collection in the folder
``shoes`` is called ``shoes-before``. So a name moves to another collection when one file is replaced, and no folder is
renamed under those who read it.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from searcher.errors import AliasesDamaged, StoreUnwritable
from searcher.versions.acknowledged import sync_folder

ALIASES_FILE = ".aliases.json"


class Aliases:
    """What names mean, as ``said``; all others mean the folders called so."""

    def __init__(self, said: Mapping[str, str]) -> None:
        self.said = MappingProxyType({name: folder for name, folder in said.items() if name != folder})

    def folder(self, name: str) -> str:
        """The folder of the collection that ``name`` means."""
        return self.said.get(name, name)

    def name(self, folder: str) -> str:
        """What the collection in ``folder`` is called: like it, or where that means another one, the first name that
        means it."""
        if folder not in self.said:
            return folder
        return min((name for name, meant in self.said.items() if meant == folder), default=folder)

    def others(self, folder: str) -> list[str]:
        """The further names of the collection in ``folder``."""
        return sorted(name for name, meant in self.said.items() if meant == folder and name != self.name(folder))


class AliasFile:
    """The aliases of the collections in ``folder``. Threads may share it."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / ALIASES_FILE
        self._known = b"{}", Aliases({})

    def read(self) -> Aliases:
        """Raises AliasesDamaged."""
        try:
            content = self._path.read_bytes()
            known, aliases = self._known
            if content != known:
                aliases = Aliases(_parsed(content))
                self._known = content, aliases
        except (FileNotFoundError, NotADirectoryError):
            return Aliases({})
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise AliasesDamaged(
                f"{ALIASES_FILE}, which says what the collections are called, cannot be read ({reason}): bring it "
                "back, or delete it to call them as their folders"
            ) from error
        return aliases

    def write(self, said: Mapping[str, str]) -> None:
        """Replace them, whole or not at all; nobody else may be writing. Raises StoreUnwritable."""
        new = self._path.with_name(f"{ALIASES_FILE}.new")
        try:
            with new.open("w", encoding="utf-8") as file:
                file.write(json.dumps(dict(Aliases(said).said), indent=1, sort_keys=True) + "\n")
                file.flush()
                os.fsync(file.fileno())
            os.replace(new, self._path)
            sync_folder(self._path.parent)
        except OSError as error:
            raise StoreUnwritable(f"{self._path} cannot be written ({error.strerror})") from error


def _parsed(content: bytes) -> dict[str, str]:
    said = json.loads(content)
    if not isinstance(said, dict) or not all(isinstance(each, str) for each in said.values()):
        raise ValueError("it is no object of names")
    return said
