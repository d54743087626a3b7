"""refresh_index.sh does what has to be done to serve a folder as it is now, and no more; it is fit for a cron job."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from searcher.collections_store import Collections
from searcher.journal import Addition
from searcher.store import IndexStore
from tests.fakes import code_bytes, png_of, write_datalake, write_grid_model
from tests.indexer.stored import codes_by_path

SCRIPT = Path(__file__).parents[2] / "indexer" / "refresh_index.sh"


@dataclass(frozen=True)
class Place:
    """A working folder with a datalake ``data`` and a model; the store is made by the first run."""

    folder: Path

    @property
    def store(self) -> IndexStore:
        return IndexStore(self.folder / "index_store")

    def run(self, *arguments: str, store: str | None = None) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("HASHLAKE_")}
        environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
        if store is not None:
            environment["HASHLAKE_INDEX_STORE"] = store
        return subprocess.run(
            ["bash", SCRIPT, *arguments], cwd=self.folder, env=environment, capture_output=True, text=True, timeout=120
        )

    def refresh(self, folder: str = "data", model: str = "model.pt", *, store: str | None = None) -> str:
        """Run the script, which must succeed; its last line."""
        done = self.run(folder, model, store=store)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.splitlines()[-1]

    def current(self) -> str:
        name = self.store.current()
        assert name is not None
        return name


@pytest.fixture
def place(tmp_path: Path, grid_path: Path) -> Place:
    write_datalake(tmp_path, {"data/a.png": 1, "data/sub/b.png": 2})
    shutil.copy(grid_path, tmp_path / "model.pt")
    return Place(tmp_path)


def test_a_folder_over_a_week(place: Place) -> None:
    monday = place.refresh()
    first = place.current()
    assert monday.startswith(f"version {first} is current: 2 images, 0 skipped, ")
    assert codes_by_path(place.store.folder / first) == {"data/a.png": code_bytes(1), "data/sub/b.png": code_bytes(2)}

    assert place.refresh() == f"version {first} is current, and nothing has changed since"

    write_datalake(place.folder, {"data/new.png": 3})
    wednesday = place.refresh()
    second = place.current()
    assert wednesday.startswith(f"version {second} is current: 3 images (2 of them known before), 0 skipped, ")
    assert second.split("-")[0] == first.split("-")[0]

    write_grid_model(place.folder / "other.pt", name="other")
    thursday = place.refresh(model="other.pt")
    third = place.current()
    assert thursday.startswith(f"version {third} is current: 3 images, 0 skipped, 16 bits, model other, ")
    assert third.split("-") == [third.split("-")[0], second.split("-")[1]]
    assert third != second

    (place.folder / "data" / "new.png").unlink()
    assert place.refresh() == f"{first} is current"
    assert place.current() == first
    assert {manifest.version for manifest in place.store.manifests()} == {first, second, third}


def test_a_changed_file_is_noticed_by_its_time(place: Place) -> None:
    place.refresh()
    first = place.current()
    path = place.folder / "data" / "a.png"
    path.write_bytes(png_of(1))
    os.utime(path, ns=(0, 1_000_000_000))
    assert "(1 of them known before)" in place.refresh()
    assert place.current() != first


def test_what_is_no_image_makes_no_new_version(place: Place) -> None:
    place.refresh()
    first = place.current()
    (place.folder / "data" / "notes.txt").write_text("Look at a.png")
    assert place.refresh() == f"version {first} is current, and nothing has changed since"


def test_the_working_folder_itself_may_be_the_datalake(place: Place) -> None:
    """The listing and the store then lie inside the datalake, and change with every run."""
    place.refresh(".")
    first = place.current()
    assert place.refresh(".") == f"version {first} is current, and nothing has changed since"


def test_a_link_back_into_the_folder_stops_nothing(place: Place) -> None:
    (place.folder / "data" / "sub" / "loop").symlink_to("..")
    assert "is current: 2 images, 0 skipped, " in place.refresh()


def test_codes_are_kept_however_the_store_is_spelled(place: Place) -> None:
    place.refresh(store="index_store/")
    write_datalake(place.folder, {"data/new.png": 3})
    assert "(2 of them known before)" in place.refresh(store="index_store/")


def test_a_folder_and_a_model_with_spaces(place: Place) -> None:
    (place.folder / "data").rename(place.folder / "my photos")
    (place.folder / "model.pt").rename(place.folder / "my model.pt")
    assert "is current: 2 images, 0 skipped, " in place.refresh("my photos", "my model.pt")
    assert list(codes_by_path(place.store.folder / place.current())) == ["my photos/a.png", "my photos/sub/b.png"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("missing", "model.pt"), "Error: missing is not a folder"),
        (("data", "missing.pt"), "missing.pt: No such file or directory"),
        (("data",), "usage: bash "),
    ],
)
def test_what_cannot_be_done_is_said_and_changes_nothing(
    place: Place, arguments: tuple[str, ...], complaint: str
) -> None:
    done = place.run(*arguments)
    assert done.returncode != 0
    assert complaint in done.stderr
    assert not place.store.folder.exists()


def test_a_version_that_changes_were_folded_into_is_as_good(place: Place) -> None:
    place.refresh()
    name = place.current()
    collection = Collections(place.store.folder).open("default")
    collection.add([Addition("http://example.org/1.png", code_bytes(3))])
    collection.fold()
    assert place.refresh() == f"version {name} is current, and nothing has changed since"
    assert place.current() == f"{name}-f1"


class TestCurrentModel:
    """current_model.sh tells which model `make serve` goes on with."""

    def told(self, place: Place, store: str = "index_store") -> str:
        command = ["bash", SCRIPT.with_name("current_model.sh"), "models"]
        environment = os.environ | {"HASHLAKE_INDEX_STORE": store}
        done = subprocess.run(command, cwd=place.folder, env=environment, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    def test_it_is_the_one_that_made_the_current_version(self, place: Place) -> None:
        models = place.folder / "models" / "a b"
        models.mkdir(parents=True)
        shutil.copy(place.folder / "model.pt", models / "grid.pt")
        write_grid_model(models / "other.pt", name="other")
        assert self.told(place) == ""  # there is no version yet
        place.refresh(model="models/a b/other.pt")
        assert self.told(place) == "models/a b/other.pt\n"
        place.refresh(model="model.pt")
        assert self.told(place) == "models/a b/grid.pt\n"
        (models / "grid.pt").unlink()
        assert self.told(place) == ""
