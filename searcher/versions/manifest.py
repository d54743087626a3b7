"""The description of an index version: ``manifest.json``, the last file written before a version is published.

It holds the checksums of all other files, and its own: of all its other fields, however they are spaced and ordered.
Manifests from before have none.
"""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, computed_field, model_validator

from contract.model import ModelIdentity
from contract.space import CODE, Space
from searcher.errors import ModelMismatch, VersionDamaged
from searcher.scan.shortlist import Shortlist
from searcher.scan.tables import Mode
from searcher.versions.vectors import file_of

MANIFEST_FILE = "manifest.json"

_CHUNK = 1 << 20


class FileEntry(BaseModel):
    """Size in bytes and sha256 (hex) of one file of the version."""

    model_config = ConfigDict(frozen=True)

    size: int = Field(ge=0)
    sha256: str


class StoredSpace(Space):
    """A space and the file of its vectors."""

    file: str = Field(description="in the version's folder", examples=["index.faiss"])


class Manifest(BaseModel):
    """The content of ``manifest.json``. Format 1, from before spaces had names, gives the widths of its model's codes.

    ``created`` is UTC; ``skipped`` counts the images that have no row; ``folded`` is the last change of the
    collection's journal that the rows contain; ``shortlists`` are those of the embeddings, as measured on the rows.
    ``checksum`` is that of the manifest itself; older ones have none.
    """

    model_config = ConfigDict(frozen=True)

    format: Literal[1, 2] = 2
    version: str
    created: AwareDatetime
    model: ModelIdentity
    count: int = Field(ge=0)
    skipped: int = Field(ge=0)
    mode: Mode = "default"
    folded: int = Field(default=0, ge=0)
    shortlists: Annotated[tuple[Shortlist, ...], Field(exclude_if=lambda measured: not measured)] = ()
    files: dict[str, FileEntry]
    checksum: str | None = None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def spaces(self) -> tuple[StoredSpace, ...]:
        """The model's spaces, each with the file of its vectors."""
        return tuple(StoredSpace(**space.model_dump(), file=file_of(space)) for space in self.model.spaces)

    @model_validator(mode="after")
    def _has_codes_for_tables(self) -> Self:
        if self.mode == "unnecessary fast" and self.model.space(CODE) is None:
            raise ValueError("tables are of codes, and the model makes none")
        return self

    def require_model(self, model: ModelIdentity) -> None:
        """Raise ModelMismatch, naming both sides, unless codes of ``model`` mean the same as this version's.

        Precision and decoder may differ; the manifest records them. Half precision flips one bit in a few hundred;
        another version of the JPEG library changes some pixels by one.
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
        if made_with.spaces != asked.spaces:
            raise ModelMismatch(
                f"version {self.version} holds {_names(made_with)}, and the model {asked.name} makes {_names(asked)}"
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


def _names(model: ModelIdentity) -> str:
    return ", ".join(f"{space.name} ({space.kind}, {space.width})" for space in model.spaces)


def read_manifest(folder: Path) -> Manifest:
    """The manifest in ``folder``. Raises VersionDamaged if it is missing or unusable."""
    try:
        text = (folder / MANIFEST_FILE).read_bytes()
        manifest = Manifest.model_validate_json(text)
    except OSError as error:
        raise VersionDamaged(f"version {folder.name} has no readable {MANIFEST_FILE} ({error.strerror})") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole file"
        raise VersionDamaged(f"{MANIFEST_FILE} of version {folder.name}: {where}: {first['msg']}") from error
    if manifest.version != folder.name:
        raise VersionDamaged(f"{MANIFEST_FILE} of version {folder.name} is that of version {manifest.version}")
    if manifest.checksum is not None and manifest.checksum != _checksum(json.loads(text)):
        raise VersionDamaged(f"{MANIFEST_FILE} of version {folder.name} has changed: its checksum is another")
    return manifest


def with_checksum(manifest: Manifest) -> Manifest:
    """``manifest`` with its checksum, as it is written."""
    return manifest.model_copy(update={"checksum": _checksum(json.loads(manifest.model_dump_json()))})


def _checksum(content: dict[str, Any]) -> str:
    """The sha256, in hex, of all of a manifest's ``content`` but the checksum, however it is spaced or ordered."""
    rest = {key: value for key, value in content.items() if key != "checksum"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def file_entry(path: Path) -> FileEntry:
    """Size and checksum of the file at ``path``, read from the disk in pieces."""
    digest = hashlib.sha256()
    size = 0
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return FileEntry(size=size, sha256=digest.hexdigest())
