"""Files that were cut or whose bits flipped: what is damaged is refused by name, or makes no difference to any answer.

Each trial damages one file of a copy, verifies the version, and asks the collection for everything; all trials of a
file run in one process, which must live to the end.
"""

import os
import random
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from searcher.entry import Entry
from searcher.errors import SearcherError
from searcher.live.collection import Collection
from searcher.versions.store import IndexStore
from tests.reliability.campaign import Sizes, Tell
from tests.searcher.live.fixtures import DETAILED, addition, publish, query
from tests.searcher.live.killed import processes

_IMAGES, _ADDED = 200, 40
_QUERIES = [query(code, code % 251, 20, rank=rank) for code in (0, 0x1234, 0xFFFF) for rank in ("distance", "detail")]


@dataclass(frozen=True)
class Whole:
    """A collection, and all that it answers."""

    folder: Path
    answers: object


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """A collection as a killed process leaves it: additions are in the journal, and in its log."""
    folder = tmp_path_factory.mktemp("corruption")
    store = IndexStore(folder / "open")
    publish(store, "1.0", [_image("base", number) for number in range(_IMAGES)], model=DETAILED)
    collection = Collection("default", store.folder)
    for number in range(_ADDED):
        collection.add([_image("added", number)])
    collection.remove(["base/7"])
    shutil.copytree(store.folder, folder / "whole")
    assert (folder / "whole" / "journal.db-wal").stat().st_size
    shutil.copytree(folder / "whole", folder / "another")
    right = answers(store.folder)
    assert answers(folder / "another") == right
    return Whole(folder / "whole", right)


def _image(kind: str, number: int) -> Entry:
    return addition(f"{kind}/{number}", number * 331 % 65536, number % 251, f'{{"n": {number}}}')


def answers(folder: Path) -> object:
    """All that the collection in ``folder`` answers, once its version is verified."""
    view = Collection("default", folder).view()
    IndexStore(folder).verify(view.version.name)
    found = view.search(_QUERIES)
    return (
        view.count,
        [(image.path, image.vectors, image.metadata) for image in view.images(limit=1000)],
        [(each.paths, each.distances, each.metadata) for each in found],
    )


# --- Damage


def _flip(path: Path, moment: random.Random) -> None:
    with path.open("r+b") as file:
        place = moment.randrange(path.stat().st_size)
        file.seek(place)
        (byte,) = file.read(1)
        file.seek(place)
        file.write(bytes([byte ^ 1 << moment.randrange(8)]))


def _cut(path: Path, moment: random.Random) -> None:
    os.truncate(path, moment.randrange(path.stat().st_size))


def _lose(path: Path, _moment: random.Random) -> None:
    path.unlink()


Damage = Callable[[Path, random.Random], None]


def _outcome(folder: Path, file: str, right: object) -> str:
    try:
        found = answers(folder)
    except SearcherError as error:
        return "refused by name" if _names(file, str(error)) else f"refused without the file's name: {error}"
    except Exception as error:
        return f"failed: {type(error).__name__}: {error}"
    return "no difference" if found == right else "a wrong answer"


def _names(file: str, message: str) -> bool:
    """Whether ``message`` says where to look: at a version, where its manifest is gone or says something else, and at
    the store, where it has no CURRENT."""
    other = {"1.0/manifest.json": "version 1.0", "CURRENT": "no version is published in "}.get(file)
    return Path(file).name in message or (other is not None and other in message)


def _try(whole: Whole, scratch: Path, file: str, damages: list[Damage], trials: int, told: Connection) -> None:
    moment = random.Random(file)
    for trial in range(trials):
        folder = scratch / str(trial)
        shutil.copytree(whole.folder, folder)
        damages[trial % len(damages)](folder / file, moment)
        told.send(_outcome(folder, file, whole.answers))
        shutil.rmtree(folder)
    told.close()


def _outcomes(whole: Whole, scratch: Path, file: str, damages: list[Damage], trials: int) -> Counter[str]:
    ours, theirs = processes.Pipe(duplex=False)
    process = processes.Process(target=_try, args=(whole, scratch, file, damages, trials, theirs))
    process.start()
    theirs.close()
    found: Counter[str] = Counter()
    try:
        while True:
            found[ours.recv()] += 1
    except EOFError:
        process.join()
    assert (process.exitcode, found.total()) == (0, trials), f"trial {found.total()} of {file} ended the process"
    return found


@pytest.mark.parametrize(
    "file",
    ["CURRENT", "1.0/manifest.json", "1.0/index.faiss", "1.0/details.faiss", "1.0/images.db", "journal.db",
     "journal.db-wal", "journal.db-shm"],
)  # fmt: skip
def test_one_file_is_damaged(whole: Whole, tmp_path: Path, file: str, sizes: Sizes, tell: Tell) -> None:
    found = _outcomes(whole, tmp_path, file, [_flip, _cut], sizes.trials)
    if file != "journal.db-shm":  # SQLite makes it anew
        found += _outcomes(whole, tmp_path, file, [_lose], 1)
    tell(", ".join(f"{number} {outcome}" for outcome, number in found.most_common(5)))
    assert found.keys() <= {"refused by name", "no difference"}
