"""Where a collection lives that another engine keeps: the file ``engine.json`` in its folder.

    {"address": "postgresql://hashlake:…@db/pictures", "place": "shoes", "model": {…}, "made": true, "index": null}

The file may hold a password, so only its owner may read it. Addresses without one work too, as each engine says.
"""

import os
from datetime import datetime
from pathlib import Path
from typing import Literal
from uuid import uuid4

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from contract.model import ModelIdentity
from searcher.errors import EngineUnavailable, StoreUnwritable
from searcher.versions.acknowledged import sync_folder

ENGINE_FILE = "engine.json"


class ApproximateIndex(BaseModel):
    """An index that is asked instead of comparing every vector. `recall` is the share of the nearest ten that it found
    for `queries` images of the collection, when that had `images`."""

    model_config = ConfigDict(frozen=True)

    kind: str = Field(examples=["hnsw"])
    recall: float = Field(ge=0, le=1, examples=[0.987])
    queries: int = Field(examples=[100])
    images: int = Field(examples=[100_000])
    measured: AwareDatetime = Field(examples=[datetime.fromisoformat("2026-11-30T12:00:00Z")])


class Configuration(BaseModel):
    """``address``: begins with the engine's name. ``place``: the table, or what it is called there. ``made``: whether
    hashlake made it; what was adopted is never deleted."""

    model_config = ConfigDict(frozen=True)

    address: str = Field(repr=False)
    place: str
    model: ModelIdentity
    made: bool = True
    index: ApproximateIndex | None = None
    format: Literal[1] = 1

    @property
    def engine(self) -> str:
        """The engine's name."""
        return self.address.partition(":")[0]

    @classmethod
    def read(cls, folder: Path) -> "Configuration":
        """Returns the configuration in ``folder``. Raises EngineUnavailable if it cannot be used."""
        try:
            return cls.model_validate_json((folder / ENGINE_FILE).read_bytes())
        except OSError as error:
            raise EngineUnavailable(f"{ENGINE_FILE} of {folder.name} cannot be read ({error.strerror})") from error
        except ValidationError as error:
            first = error.errors(include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "the whole file"
            raise EngineUnavailable(f"{ENGINE_FILE} of {folder.name}: {where}: {first['msg']}") from None

    def write(self, folder: Path) -> None:
        """Write it to ``folder``, whole or not at all. Raises StoreUnwritable."""
        new = folder / f".{ENGINE_FILE}-{uuid4().hex}"
        try:
            new.touch(0o600, exist_ok=False)
            with new.open("w", encoding="utf-8") as stream:
                stream.write(self.model_dump_json(indent=1) + "\n")
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(new, folder / ENGINE_FILE)
            sync_folder(folder)
        except OSError as error:
            raise StoreUnwritable(f"{folder / ENGINE_FILE} cannot be written ({error.strerror})") from error
