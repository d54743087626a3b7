"""`hashlake refresh` does what has to be done to serve a folder as it is now, and no more; it is fit for a cron job, as
refresh_index.sh."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from embedding.model_files import current_model
from indexer import builder, refresh_command
from indexer.hasher import CHUNK, Hasher
from indexer.outcome import Outcome
from pictures.formats import SUFFIXES
from searcher.collections import Collections
from searcher.versions.images import ImageTable
from searcher.versions.store import IndexStore
from sources.source import Item
from tests.fakes import code_bytes, png_of, write_datalake, write_grid_model
from tests.hashlake.command import Answer, hashlake
from tests.indexer.stored import codes_by_path, skipped_of
from tests.vectors import entry_of

REPOSITORY = Path(__file__).parents[2]
SCRIPT = REPOSITORY / "indexer" / "refresh_index.sh"


@dataclass(frozen=True)
class Place:
    """The working folder, with a datalake ``data`` and a model; the store is made by the first run."""

    folder: Path

    @property
    def store(self) -> IndexStore:
        return IndexStore(self.folder / "index_store")

    def run(self, folder: str = "data", *more: str, model: str = "model.pt") -> Answer:
        return hashlake("refresh", folder, "--model_path", model, *more)

    def refresh(self, folder: str = "data", *more: str, model: str = "model.pt") -> str:
        """Refresh, which must succeed; its last line."""
        done = self.run(folder, *more, model=model)
        assert done.status == 0, done.out + done.err
        return done.out.splitlines()[-1]

    def index(self, name: str, *more: str) -> None:
        """Publish a version by hand."""
        command = ["--database", "by-hand.txt", "--model_path", "model.pt", "--new_index_database_version", name]
        assert hashlake("listing", "data", "by-hand.txt").status == 0
        assert hashlake("index", *command, *more).status == 0

    def script(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("HASHLAKE_")}
        environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
        return subprocess.run(
            ["bash", SCRIPT, *arguments], cwd=self.folder, env=environment, capture_output=True, text=True, timeout=120
        )

    def current(self) -> str:
        name = self.store.current()
        assert name is not None
        return name


@pytest.fixture
def place(tmp_path: Path, grid_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    write_datalake(tmp_path, {"data/a.png": 1, "data/sub/b.png": 2})
    shutil.copy(grid_path, tmp_path / "model.pt")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HASHLAKE_INDEX_STORE", raising=False)
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


def test_codes_are_kept_however_the_store_is_spelled(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HASHLAKE_INDEX_STORE", "index_store/")
    place.refresh()
    write_datalake(place.folder, {"data/new.png": 3})
    assert "(2 of them known before)" in place.refresh()


def test_a_folder_and_a_model_with_spaces(place: Place) -> None:
    (place.folder / "data").rename(place.folder / "my photos")
    (place.folder / "model.pt").rename(place.folder / "my model.pt")
    assert "is current: 2 images, 0 skipped, " in place.refresh("my photos", model="my model.pt")
    assert list(codes_by_path(place.store.folder / place.current())) == ["my photos/a.png", "my photos/sub/b.png"]


@pytest.mark.parametrize(
    ("folder", "model", "complaint"),
    [
        ("missing", "model.pt", "Error: missing is not a folder"),
        ("data", "missing.pt", "Error: missing.pt: No such file or directory"),
        (
            "empty",
            "model.pt",
            f"Error: no image below empty (known: {' '.join(suffix[1:] for suffix in SUFFIXES)})",
        ),
    ],
)
def test_what_cannot_be_done_is_said_and_changes_nothing(place: Place, folder: str, model: str, complaint: str) -> None:
    (place.folder / "empty").mkdir()
    done = place.run(folder, model=model)
    assert (done.status, done.err) == (1, complaint + "\n")
    assert not place.store.folder.exists()


def test_a_version_that_changes_were_folded_into_is_as_good(place: Place) -> None:
    place.refresh()
    name = place.current()
    collection = Collections(place.store.folder).open("default")
    collection.add([entry_of("http://example.org/1.png", code_bytes(3))])
    collection.fold()
    assert place.refresh() == f"version {name} is current, and nothing has changed since"
    assert place.current() == f"{name}-f1"


class TestByHand:
    """Versions that somebody published under a name, and in a mode, of their own."""

    def test_the_same_files_are_not_undone(self, place: Place) -> None:
        (place.folder / "data" / "text.jpg").write_text("no picture")
        place.index("1.5.0", "--mode", "unnecessary fast")
        assert place.refresh() == "version 1.5.0 is current, and nothing has changed since"
        assert (place.store.names(), place.current()) == (["1.5.0"], "1.5.0")

    def test_one_new_file_is_hashed_and_the_mode_stays(self, place: Place) -> None:
        place.index("1.5.0", "--mode", "unnecessary fast")
        write_datalake(place.folder, {"data/new.png": 3})
        assert "is current: 3 images (2 of them known before), 0 skipped" in place.refresh()
        assert place.store.manifest(place.current()).mode == "unnecessary fast"
        assert "nothing has changed since" in place.refresh()

    def test_a_file_that_can_be_read_now_is_a_change(self, place: Place) -> None:
        """Another size, and the old time, as archives are unpacked."""
        path = place.folder / "data" / "c.png"
        path.write_text("no picture")
        os.utime(path, ns=(0, 0))
        place.index("1.5.0")
        path.write_bytes(png_of(3))
        os.utime(path, ns=(0, 0))
        assert "is current: 3 images (2 of them known before), 0 skipped" in place.refresh()

    def test_files_in_another_order_are_another_state(self, place: Place) -> None:
        (place.folder / "by-hand.txt").write_text("data/sub/b.png\ndata/a.png\n")
        command = ["--database", "by-hand.txt", "--model_path", "model.pt", "--new_index_database_version", "1.5.0"]
        assert hashlake("index", *command).status == 0
        assert "(2 of them known before)" in place.refresh()
        assert list(codes_by_path(place.store.folder / place.current())) == ["data/a.png", "data/sub/b.png"]

    def test_a_state_that_comes_back_is_promoted_in_the_mode_that_is_used(self, place: Place) -> None:
        place.refresh()
        plain = place.current()
        place.index("fast", "--mode", "unnecessary fast")
        write_datalake(place.folder, {"data/new.png": 3})
        place.refresh()
        (place.folder / "data" / "new.png").unlink()
        assert place.refresh() == "fast is current"
        place.store.promote(plain)
        assert place.refresh() == f"version {plain} is current, and nothing has changed since"

    def test_a_name_that_is_taken_gets_a_number(self, place: Place) -> None:
        place.refresh()
        plain = place.current()
        write_datalake(place.folder, {"data/new.png": 3})
        place.index("fast", "--mode", "unnecessary fast")
        (place.folder / "data" / "new.png").unlink()
        place.refresh()
        assert place.current() == f"{plain}-2"
        assert place.store.manifest(place.current()).mode == "unnecessary fast"
        assert place.refresh() == f"version {plain}-2 is current, and nothing has changed since"

    def test_one_that_was_promoted_again_says_the_mode(self, place: Place) -> None:
        place.index("1")
        place.index("2", "--mode", "unnecessary fast")
        place.store.promote("1")
        write_datalake(place.folder, {"data/new.png": 3})
        assert "(2 of them known before)" in place.refresh()
        assert place.store.manifest(place.current()).mode == "default"

    def test_the_mode_can_be_changed(self, place: Place) -> None:
        place.index("1", "--mode", "unnecessary fast")
        place.refresh("data", "--mode", "default")
        assert place.store.manifest(place.current()).mode == "default"


class TestBase:
    """Codes are taken from the newest version of the model."""

    def test_a_fold(self, place: Place) -> None:
        place.index("1.5.0", "--mode", "unnecessary fast")
        collection = Collections(place.store.folder).open("default")
        collection.add([entry_of("http://example.org/1.png", code_bytes(3))])
        collection.fold()
        assert place.refresh() == "version 1.5.0 is current, and nothing has changed since"
        write_datalake(place.folder, {"data/new.png": 4})
        assert "is current: 4 images (2 of them known before), 0 skipped" in place.refresh()
        assert place.store.manifest(place.current()).mode == "unnecessary fast"
        assert "nothing has changed since" in place.refresh()

    def test_another_model_keeps_no_code_and_its_own_mode(self, place: Place) -> None:
        place.index("1.5.0", "--mode", "unnecessary fast")
        write_grid_model(place.folder / "other.pt", name="other")
        assert place.refresh(model="other.pt").split(": ")[1].startswith("2 images, 0 skipped, 16 bits, model other, ")
        assert place.store.manifest(place.current()).mode == "default"
        assert place.refresh() == "1.5.0 is current"

    def test_one_that_was_deleted(self, place: Place) -> None:
        place.index("1")
        write_datalake(place.folder, {"data/new.png": 3})
        place.index("2", "--base_version", "1")
        place.store.promote("1")
        place.store.delete("2")
        assert "is current: 3 images (2 of them known before)" in place.refresh()

    def test_a_damaged_one_is_passed_over(self, place: Place) -> None:
        place.index("1")
        write_datalake(place.folder, {"data/new.png": 3})
        place.index("2")
        os.truncate(place.store.folder / "2" / "index.faiss", 3)
        write_datalake(place.folder, {"data/newer.png": 4})
        assert "is current: 4 images (2 of them known before)" in place.refresh()

    def test_versions_from_before_states_were_noted_are_known_by_their_names(self, place: Place) -> None:
        place.refresh()
        name = place.current()
        with ImageTable(place.store.folder / name / "images.db", writable=True) as table:
            table._connection.execute("DELETE FROM build WHERE key = 'files_state'")
        assert place.refresh() == f"version {name} is current, and nothing has changed since"


def test_a_file_that_vanished_is_reported_once_and_then_the_same_state(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between listing and looking."""
    write = refresh_command.write_listing

    def vanish(folder: str, listing: Path, *more: object, **options: object) -> int:
        count = write(folder, listing, *more, **options)  # type: ignore[arg-type]
        (place.folder / "data" / "a.png").unlink()
        return count

    monkeypatch.setattr(refresh_command, "write_listing", vanish)
    assert "is current: 1 images, 1 skipped" in place.refresh()
    assert skipped_of(place.store.folder / place.current()) == [("data/a.png", "no such file or directory")]
    monkeypatch.undo()
    monkeypatch.chdir(place.folder)
    assert "nothing has changed since" in place.refresh()


def test_what_is_left_out_is_told_last_and_recorded(place: Place) -> None:
    for name in ("b.cr2", ".Trash-1000/files/c.png"):
        (place.folder / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(place.folder / "data/a.png", place.folder / "data" / name)
    told = "left out: 1 cr2, 1 in trash and thumbnail folders (--keep_hidden lists them)"
    assert place.run().err.splitlines()[-1] == told
    with ImageTable(place.store.folder / place.current() / "images.db") as table:
        assert json.loads(str(table.build_facts()["left_out"])) == {"cr2": 1, "hidden": 1}
    assert place.run().err.splitlines() == [told], "when nothing has changed, too"
    listed = json.loads(place.run("data", "--json").out.splitlines()[0])
    assert listed == {"listed": 2, "left_out": {"cr2": 1, "hidden": 1}}
    assert "current: 3 images" in place.refresh("data", "--keep_hidden")


def test_stopped_half_way_it_goes_on(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed at any moment: tests/indexer/test_resume.py."""
    write_datalake(place.folder, {f"data/{number}.png": number for number in range(10 * CHUNK)})
    hash_batch = Hasher.outcomes

    def stop(hasher: Hasher, items: Sequence[Item]) -> list[Outcome]:
        if any(item.name == "data/90.png" for item in items):
            raise MemoryError
        return hash_batch(hasher, items)

    with monkeypatch.context() as stopped:
        stopped.setattr(Hasher, "outcomes", stop)
        stopped.setattr(builder, "_CHECKPOINT_SECONDS", 0.0)
        with pytest.raises(MemoryError):
            place.run()
    assert place.store.current() is None
    done = place.run()
    assert done.status == 0 and done.err.startswith("going on after "), done.err
    assert "is current: 162 images (" in done.out
    assert not list((place.store.folder / ".building").iterdir())


def test_a_version_by_name_is_built_whatever_there_is(place: Place) -> None:
    """As POST /api/reindex wants it."""
    place.refresh()
    first = place.current()
    options = ["--new_index_database_version", "2", "--mode", "unnecessary fast", "--keep_current", "--json"]
    done = place.run("data", *options)
    listed, *_, manifest = [json.loads(line) for line in done.out.splitlines()]
    assert listed == {"listed": 2, "left_out": {}}
    assert (manifest["version"], manifest["mode"], manifest["count"]) == ("2", "unnecessary fast", 2)
    assert place.current() == first
    again = place.run("data", "--new_index_database_version", "2")
    assert again.status == 1 and "version 2 exists already" in again.err


def test_a_listing_instead_of_a_folder(place: Place) -> None:
    (place.folder / "mine.txt").write_text("sub/b.png\n")
    arguments = ["--database", "mine.txt", "--datalake_root", "data", "--model_path", "model.pt"]
    assert "is current: 1 images, " in hashlake("refresh", *arguments).out
    assert list(codes_by_path(place.store.folder / place.current())) == ["sub/b.png"]
    assert hashlake("refresh", "--model_path", "model.pt").status == 2
    assert (place.folder / "mine.txt").read_text() == "sub/b.png\n"


def test_the_model_that_serves_is_the_one_that_is_meant(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    done = hashlake("refresh", "data")
    assert done.err.startswith("Error: no model in torchscripts_models made the current version of index_store: ")
    (place.folder / "torchscripts_models").mkdir()
    (place.folder / "model.pt").rename(place.folder / "torchscripts_models" / "model.pt")
    place.refresh(model="torchscripts_models/model.pt")
    assert "nothing has changed since" in hashlake("refresh", "data").out
    (place.folder / "torchscripts_models").rename(place.folder / "models")
    monkeypatch.setenv("HASHLAKE_MODELS", "models")
    assert "nothing has changed since" in hashlake("refresh", "data").out


def test_what_it_leaves_in_the_working_folder_is_the_store(place: Place) -> None:
    place.refresh()
    assert {path.name for path in place.folder.iterdir()} == {"data", "model.pt", "index_store"}


def test_the_script_keeps_the_listing_too(place: Place) -> None:
    done = place.script("data", "model.pt")
    assert (done.returncode, done.stderr.count("\n")) == (0, 1), done.stderr  # its progress
    name = place.current()
    first, last = done.stdout.splitlines()
    assert first == "database_info.txt: 2 images"
    assert last.startswith(f"version {name} is current: 2 images, 0 skipped, ")
    assert (place.folder / "database_info.txt").read_text() == "data/a.png\ndata/sub/b.png\n"
    assert place.script("data").stderr.startswith("usage: bash ")


class TestCurrentModel:
    """Which model `make serve` goes on with."""

    def told(self, place: Place, *, store: str = "index_store") -> Path | None:
        return current_model(place.folder / store, Path("models"))

    def test_it_is_the_one_that_made_the_current_version(self, place: Place) -> None:
        models = place.folder / "models" / "a b"
        models.mkdir(parents=True)
        shutil.copy(place.folder / "model.pt", models / "grid.pt")
        write_grid_model(models / "other.pt", name="other")
        assert self.told(place) is None  # there is no version yet
        place.refresh(model="models/a b/other.pt")
        assert self.told(place) == Path("models/a b/other.pt")
        place.refresh(model="model.pt")
        assert self.told(place) == Path("models/a b/grid.pt")
        (models / "grid.pt").unlink()
        assert self.told(place) is None
        (place.store.folder / place.current() / "manifest.json").write_text("[]")
        assert self.told(place) is None

    def test_it_is_told_before_anything_is_installed(self, place: Place) -> None:
        """make asks each time, and at first there is no environment."""
        models = place.folder / "torchscripts_models"
        models.mkdir()
        shutil.copy(place.folder / "model.pt", models)
        place.refresh()
        command = [sys.executable, "-I", "-S", REPOSITORY / "embedding" / "model_files.py"]
        for folder in ("torchscripts_models", "elsewhere"):
            models = models.rename(place.folder / folder)
            variables = {"HASHLAKE_MODELS": "" if folder == "torchscripts_models" else folder}
            done = subprocess.run(
                command, cwd=place.folder, env=os.environ | variables, capture_output=True, text=True, timeout=60
            )
            assert (done.stdout, done.stderr) == (f"{folder}/model.pt\n", "")
