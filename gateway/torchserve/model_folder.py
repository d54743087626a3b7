"""Lists the model files that versions can be made with, and finds the one that a request names.

A TorchScript file is a zip archive with the model's card as a member: reading it needs no torch.
"""

import hashlib
import os
import re
import threading
import zipfile
from collections.abc import Iterator
from http import HTTPStatus
from io import BufferedReader
from pathlib import Path, PurePosixPath

from pydantic import BaseModel, Field, JsonValue, TypeAdapter

from gateway.errors import RequestRefused
from sources.open_inside import OutsideFolder, open_inside

SUFFIX = ".pt"
_CARD = re.compile(r"[^/]+/extra/card\.json")
_MAX_CARD_BYTES = 1 << 20

Card = dict[str, JsonValue]
_card = TypeAdapter(Card)


class Model(BaseModel):
    """One model file."""

    model_path: str = Field(description="below the models' folder, as reindexing takes it", examples=["small/64.pt"])
    bytes: int = Field(description="size of the file", examples=[12866340])
    sha256: str = Field(description="of the file, hex", examples=["9f86d081884c7d65…"])
    card: Card | None = Field(
        description="what the model says of itself; null where it has no card, or is damaged",
        examples=[{"format": 1, "name": "relahash-small-64bits", "bits": 64}],
    )
    current: bool = Field(description="whether it made the current version's codes", examples=[True])


class ModelFolder:
    """The models below ``folder``. Each file is read once, and again if it changes. Threads may share it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._read: dict[tuple[str | int, ...], tuple[str, Card | None]] = {}

    def models(self, current_sha256: str | None) -> list[Model]:
        """Returns the models, sorted by path; the one with ``current_sha256`` is marked as current. Files that cannot
        be read, or lie outside the folder, are left out."""
        found = []
        with self._lock:
            kept, self._read = self._read, {}
            for path in sorted(_model_paths(self.folder)):
                try:
                    with open_inside(self.folder, self.folder / path) as file:
                        status = os.fstat(file.fileno())
                        key = (path, status.st_size, status.st_mtime_ns, status.st_ino)
                        sha256, card = self._read[key] = kept.get(key) or (_sha256(file), _read_card(file))
                except (OutsideFolder, OSError):
                    continue
                found.append(
                    Model(
                        model_path=path,
                        bytes=status.st_size,
                        sha256=sha256,
                        card=card,
                        current=sha256 == current_sha256,
                    )
                )
        return found


def find_model(folder: Path, model_path: str) -> Path:
    """Returns the model file that ``model_path`` names below ``folder``: a .pt file, or a folder that holds one.

    The path may begin with ``folder``'s own name. Raises RequestRefused (422) for anything else, and for paths that
    lead out of ``folder``.
    """
    given = PurePosixPath(model_path)
    if not model_path or given.is_absolute() or ".." in given.parts:
        raise _refused(model_path, "give the path of a file or folder below the models' folder")
    try:
        path = folder / given
        if not path.exists() and given.parts[:1] == (folder.absolute().name,):
            path = folder / PurePosixPath(*given.parts[1:])
        if path.is_dir() and _is_inside(folder, path):
            path = _only_model(folder, path, model_path)
        if not path.is_file() or not _is_inside(folder, path):
            raise _refused(model_path, "there is no such model")
    except (OSError, ValueError) as error:  # a name too long, or with a zero byte
        raise _refused(model_path, "there is no such model") from error
    if path.suffix != SUFFIX:
        raise _refused(model_path, f"a model is a {SUFFIX} file")
    return path.resolve()


def _model_paths(folder: Path) -> Iterator[str]:
    """Yields the paths of the .pt files below ``folder``, except those that aren't UTF-8, which JSON cannot spell."""
    for place, _, names in os.walk(folder):
        for name in names:
            path = (Path(place) / name).relative_to(folder).as_posix()
            if path.endswith(SUFFIX) and path == path.encode("utf-8", "replace").decode():
                yield path


def _sha256(file: BufferedReader) -> str:
    return hashlib.file_digest(file, "sha256").hexdigest()


def _read_card(file: BufferedReader) -> Card | None:
    try:
        with zipfile.ZipFile(file) as archive:
            member = next(each for each in archive.infolist() if _CARD.fullmatch(each.filename))
            if member.file_size > _MAX_CARD_BYTES:
                return None
            return _card.validate_json(archive.read(member))
    except Exception:  # zipfile raises all kinds of exceptions for damaged bytes
        return None


def _only_model(folder: Path, place: Path, model_path: str) -> Path:
    """Returns the one .pt file in the folder ``place``. Raises RequestRefused if there isn't exactly one."""
    models = [path for path in place.iterdir() if path.suffix == SUFFIX and path.is_file() and _is_inside(folder, path)]
    if len(models) != 1:
        raise _refused(model_path, f"a folder must hold one {SUFFIX} file, and this one holds {len(models)}")
    return models[0]


def _is_inside(folder: Path, path: Path) -> bool:
    """Whether ``path``, which exists, is below ``folder`` once symbolic links are resolved."""
    return path.resolve().is_relative_to(folder.resolve())


def _refused(model_path: str, why: str) -> RequestRefused:
    return RequestRefused(HTTPStatus.UNPROCESSABLE_ENTITY, f"model_path {model_path!r}: {why}")
