"""What an index version says of itself: ``manifest.json``, the last file written before a version is published."""

import hashlib
import re
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, ValidationError

from searcher.errors import ModelMismatch, VersionDamaged

MANIFEST_FILE = "manifest.json"

#: ``default`` searches by comparing with every code, ``unnecessary fast`` has tables that say where to look.
Mode = Literal["default", "unnecessary fast"]

_CHUNK = 1 << 20


class FileEntry(BaseModel):
    """Size in bytes and sha256 (hex) of one file of the version."""

    model_config = ConfigDict(frozen=True)

    size: int = Field(ge=0)
    sha256: str


class ModelIdentity(BaseModel):
    """Which model made the codes: file, widths, arithmetic, and the preparation of pictures (the card's own words).

    ``detail_bits`` is None where the model gives no detail codes. ``decoder`` names Pillow and its JPEG library with
    their versions; it is None in index versions from before it was recorded.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    sha256: str
    bits: int
    detail_bits: int | None = None
    precision: str
    preprocessing: dict[str, JsonValue]
    decoder: str | None = None

    @property
    def served_name(self) -> str:
        """What the model is called where it serves collections beside the datalake's model: relahash-small-64bits-…"""
        return f"{re.sub('[^0-9A-Za-z._-]', '-', self.name)[:64]}-{self.sha256[:12]}"


class Manifest(BaseModel):
    """The whole of ``manifest.json``. ``created`` is UTC; ``skipped`` counts the images that have no row; ``folded`` is
    the last change of the collection's journal that the rows contain."""

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    version: str
    created: AwareDatetime
    model: ModelIdentity
    count: int = Field(ge=0)
    skipped: int = Field(ge=0)
    mode: Mode = "default"
    folded: int = Field(default=0, ge=0)
    files: dict[str, FileEntry]

    def require_model(self, model: ModelIdentity) -> None:
        """Raise ModelMismatch, naming both sides, unless ``model`` gives codes that mean the same as this version's.

        Precision and decoder may differ, and the manifest says so: half precision moves a bit in a few hundred, a
        JPEG library's next version some pixels by one.
        """
        made_with, asked = self.model, model
        if made_with.bits != asked.bits:
            raise ModelMismatch(
                f"version {self.version} holds codes of {made_with.bits} bits (model {made_with.name}), "
                f"and the model {asked.name} makes codes of {asked.bits} bits"
            )
        if made_with.sha256 != asked.sha256:
            raise ModelMismatch(
                f"version {self.version} was made with model {made_with.name} (sha256 {made_with.sha256[:12]}…), "
                f"and this is model {asked.name} (sha256 {asked.sha256[:12]}…)"
            )
        if made_with.preprocessing != asked.preprocessing:
            keys = made_with.preprocessing.keys() | asked.preprocessing.keys()
            differing = [
                key for key in sorted(keys) if made_with.preprocessing.get(key) != asked.preprocessing.get(key)
            ]
            there = ", ".join(f"{key} {made_with.preprocessing.get(key)}" for key in differing)
            here = ", ".join(f"{key} {asked.preprocessing.get(key)}" for key in differing)
            raise ModelMismatch(
                f"version {self.version} (model {made_with.name}) prepared its pictures with {there}, "
                f"and the model {asked.name} prepares them with {here}"
            )


def read_manifest(folder: Path) -> Manifest:
    """The manifest in ``folder``. Raises VersionDamaged when it is missing or unusable."""
    try:
        manifest = Manifest.model_validate_json((folder / MANIFEST_FILE).read_bytes())
    except OSError as error:
        raise VersionDamaged(f"version {folder.name} has no readable {MANIFEST_FILE} ({error.strerror})") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole file"
        raise VersionDamaged(f"{MANIFEST_FILE} of version {folder.name}: {where}: {first['msg']}") from error
    if manifest.version != folder.name:
        raise VersionDamaged(f"{MANIFEST_FILE} of version {folder.name} is that of version {manifest.version}")
    return manifest


def file_entry(path: Path) -> FileEntry:
    """Size and checksum of the file at ``path``, read from the disk in pieces."""
    digest = hashlib.sha256()
    size = 0
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return FileEntry(size=size, sha256=digest.hexdigest())
