"""Lists the model files that versions can be made with, and finds the one that a request names.

A TorchScript file is a zip archive with the model's card as a member: reading it needs no torch.
"""

import hashlib
import os
import re
import threading
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from http import HTTPStatus
from io import BufferedReader
from pathlib import Path, PurePosixPath

from pydantic import BaseModel, Field, JsonValue, TypeAdapter

from contract.names import plain_model_name
from gateway.errors import RequestRefused
from gateway.torchserve.model_quality import Quality
from sources.open_inside import OutsideFolder, open_inside

SUFFIX = ".pt"
_CARD = re.compile(r"[^/]+/extra/card\.json")
#: What a detector has instead (detection/card.py); they lie in the same folder.
_DETECTOR = re.compile(r"[^/]+/extra/detector\.json")
_MAX_CARD_BYTES = 1 << 20

Card = dict[str, JsonValue]
_card = TypeAdapter(Card)


class ModelInMemory(BaseModel):
    """A model in TorchServe."""

    name: str = Field(description="in TorchServe", examples=["image-retrieval-v1.0"])
    workers: int = Field(description="processes that have it loaded", examples=[2])
    memory_bytes: int = Field(
        description="what they take together, and would give back; not the index versions, which all processes share",
        examples=[551550976],
    )


class Model(BaseModel):
    """One model file."""

    model_path: str = Field(description="below the models' folder, as reindexing takes it", examples=["small/64.pt"])
    bytes: int = Field(description="size of the file", examples=[12866340])
    sha256: str = Field(description="of the file, hex", examples=["9f86d081884c7d65…"])
    card: Card | None = Field(
        description="what the model says of itself; null where it has no card, or is damaged",
        examples=[{"format": 1, "name": "relahash-small-64bits", "bits": 64}],
    )
    quality: Quality | None = Field(description="what the card says of how good it is; null without a card")
    current: bool = Field(description="whether it made the current version's codes", examples=[True])
    served: ModelInMemory | None = Field(default=None, description="null while it isn't loaded")

    def answers_to(self, name: str) -> bool:
        """Whether ``name``, in any spelling, is what it is called."""
        return plain_model_name(name) in _names(self.card)


class ModelFolder:
    """The models below ``folder``. Each file is read once, and again if it changes. Threads may share it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._read: dict[tuple[str | int, ...], tuple[str, Card | None]] = {}

    def called(self, name: str) -> list[Model]:
        """Returns the models that answer to ``name``."""
        return [model for model in self.models(None) if model.answers_to(name)]

    def models(self, current_sha256: str | None) -> list[Model]:
        """Returns the models, sorted by path; the one with ``current_sha256`` is marked as current. Files that cannot
        be read, or lie outside the folder, are left out."""
        found = []
        with self._lock:
            kept, self._read = self._read, {}
            for path in sorted(_model_paths(self.folder)):
                try:
                    with open_inside(self.folder, self.folder / path) as file:
                        if _is_detector(file):
                            continue
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
                        quality=None if card is None else Quality.of(card),
                        current=sha256 == current_sha256,
                    )
                )
        return found


def find_model(folder: Path, model_path: str) -> Path:
    """Returns the model file that ``model_path`` names below ``folder``: a .pt file, a folder that holds one, or a name
    that one model there answers to.

    The path may begin with ``folder``'s own name. Raises RequestRefused (422) for anything else, and for paths that
    lead out of ``folder``.
    """
    try:
        return _file_at(folder, model_path)
    except RequestRefused:
        if model_path.endswith("/"):  # a folder, and no name
            raise
        named = _called(folder, model_path)
        if len(named) == 1:
            return (folder / named[0]).resolve()
        if named:
            raise _refused(model_path, f"several models are called so: name one of {', '.join(named)}") from None
        raise


def only_model_called(folder: Path, name: str) -> bool:
    """Whether one model below ``folder`` answers to ``name``, and no other."""
    return len(_called(folder, name)) == 1


def _called(folder: Path, name: str) -> list[str]:
    """Returns the paths of the models below ``folder`` that answer to ``name``; one of those that are the same file."""
    plain, found = plain_model_name(name), dict[Path, str]()
    for path in sorted(_model_paths(folder), reverse=True):
        with suppress(OutsideFolder, OSError), open_inside(folder, folder / path) as file:
            if plain in _names(_read_card(file)):
                found[(folder / path).resolve()] = path
    return sorted(found.values())


def _names(card: Card | None) -> set[str]:
    """Returns the plain names that a model with this card answers to; none without one."""
    named = card or {}
    aliases = named.get("aliases")
    given = [named.get("name"), *(aliases if isinstance(aliases, list) else [])]
    return {plain_model_name(name) for name in given if isinstance(name, str) and name}


def _file_at(folder: Path, model_path: str) -> Path:
    """Returns the model at ``model_path``. Raises RequestRefused."""
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


def _is_detector(file: BufferedReader) -> bool:
    """Whether ``file``, which is left at its begin, is a detector, which makes no codes."""
    try:
        with zipfile.ZipFile(file) as archive:
            return any(_DETECTOR.fullmatch(name) for name in archive.namelist())
    except Exception:  # as above
        return False
    finally:
        file.seek(0)


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
