"""What reading every byte of a version found, kept beside it for all processes that serve it.

    index_store/.verdicts/1.5.0.json     when it was read · the state of its files then · the damaged one, if any

A verdict holds as long as no file has been touched since: size, times and inode of each are what they were. So a change
that any program makes is noticed by a few ``stat`` calls, and one that a disk makes by itself by reading again.

Where it cannot be written, as on a disk that is read only, it is in the memory of the process that found it.
"""

import os
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from searcher.errors import VersionDamaged

VERDICTS = ".verdicts"
#: By the version's folder, absolute: verdicts that could not be written.
_unwritten: dict[Path, "Verdict"] = {}

#: Size, modification and change time (ns), inode.
Stamp = tuple[int, int, int, int]


class Verdict(BaseModel):
    """``checked``: when the last byte was read, UTC. ``damaged`` is the file that isn't what was published, and
    ``message`` says so in a line; None for a version that is whole."""

    model_config = ConfigDict(frozen=True)

    checked: AwareDatetime
    stamps: dict[str, Stamp]
    damaged: str | None = None
    message: str | None = None

    @classmethod
    def now(cls, stamps: dict[str, Stamp], damaged: str | None = None, message: str | None = None) -> "Verdict":
        return cls(checked=datetime.now(UTC), stamps=stamps, damaged=damaged, message=message)


def path_of(folder: Path) -> Path:
    """Where the verdict on the version in ``folder`` is kept."""
    return folder.parent / VERDICTS / f"{folder.name}.json"


def stamps_of(folder: Path) -> dict[str, Stamp]:
    """The state of each file in ``folder``; empty if there is no such folder."""
    try:
        with os.scandir(folder) as found:
            return {each.name: _stamp(each.stat()) for each in found}
    except OSError:
        return {}


def verdict_on(folder: Path) -> Verdict | None:
    """The verdict on the version in ``folder``, if there is one and no file has been touched since."""
    unwritten = _unwritten.get(folder.absolute())
    found = [] if unwritten is None else [unwritten]
    with suppress(OSError, ValidationError):
        found.append(Verdict.model_validate_json(path_of(folder).read_bytes()))
    stamps = stamps_of(folder) if found else {}
    return max((each for each in found if each.stamps == stamps), key=lambda each: each.checked, default=None)


def record(folder: Path, verdict: Verdict) -> None:
    """Keep ``verdict`` on the version in ``folder``: for all processes, or for this one where it cannot be written."""
    path = path_of(folder)
    new = path.with_name(f".{uuid4().hex}")
    try:
        path.parent.mkdir(exist_ok=True)
        new.write_text(verdict.model_dump_json(), encoding="utf-8")
        os.replace(new, path)
    except OSError:
        _unwritten[folder.absolute()] = verdict
        with suppress(OSError):
            new.unlink(missing_ok=True)
    else:
        _unwritten.pop(folder.absolute(), None)


def forget(folder: Path) -> None:
    """Drop the verdict on the version that was in ``folder``."""
    _unwritten.pop(folder.absolute(), None)
    path_of(folder).unlink(missing_ok=True)


def edition(folder: Path) -> tuple[int, float]:
    """Changes with each new verdict on the version in ``folder``; cheaper than the verdict."""
    unwritten = _unwritten.get(folder.absolute())
    try:
        written = os.stat(path_of(folder)).st_ino  # a verdict is a new file
    except OSError:
        written = 0
    return written, unwritten.checked.timestamp() if unwritten else 0.0


def refuse_if_damaged(folder: Path) -> None:
    """Raise VersionDamaged, naming the file, if the version in ``folder`` is known to be damaged."""
    verdict = verdict_on(folder)
    if verdict is not None and verdict.damaged is not None:
        raise VersionDamaged(verdict.message or f"{verdict.damaged} of version {folder.name} is damaged")


def is_verified(folder: Path) -> bool:
    """Whether the version in ``folder`` is known to be whole."""
    verdict = verdict_on(folder)
    return verdict is not None and verdict.damaged is None


def _stamp(status: os.stat_result) -> Stamp:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino
