"""Versions stay open while they are there, and are noticed to be gone as soon as they are."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.images.open_versions import OpenVersions, images_of
from searcher.errors import BadVersionName, VersionDamaged, VersionMissing
from searcher.versions.images import IMAGES_FILE
from searcher.versions.manifest import MANIFEST_FILE, Manifest
from searcher.versions.store import CURRENT_FILE, IndexStore
from tests.gateway.tiny_app import damage_first_images
from tests.searcher.versions.versions_by_hand import publish

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def store(tmp_path: Path) -> IndexStore:
    return IndexStore(tmp_path / "store")


@pytest.fixture
def versions(store: IndexStore) -> OpenVersions:
    return OpenVersions(store)


def open_files(name: str) -> list[str]:
    """What this process has open, or mapped, of files with ``name`` in their path; what was deleted is marked so."""
    mapped = [line.split(maxsplit=5)[5] for line in Path("/proc/self/maps").read_text().splitlines() if name in line]
    held = [os.path.realpath(each) for each in Path("/proc/self/fd").iterdir()]
    return mapped + [each for each in held if name in each]


class TestGet:
    def test_by_name_and_the_current_one(self, store: IndexStore, versions: OpenVersions) -> None:
        publish(store, "1.0", {"a.png": 0x8001})
        publish(store, "1.1", {"b.png": 0x00FF, "c.png": 0xFF00})
        assert versions.get().name == versions.get("1.1").name == versions.current() == "1.1"
        old = versions.get("1.0")
        assert old.images.paths([0]) == ["a.png"]
        assert (old.manifest.count, versions.get().manifest.count) == (1, 2)
        assert versions.get("1.0") is old and versions.get() is versions.get("1.1")

    def test_the_current_one_is_followed(self, store: IndexStore, versions: OpenVersions) -> None:
        publish(store, "1.0")
        publish(store, "1.1")
        assert versions.get().name == "1.1"
        store.promote("1.0")
        assert versions.get().name == "1.0"

    def test_none_is_published(self, store: IndexStore, versions: OpenVersions) -> None:
        assert versions.current() is None
        with pytest.raises(VersionMissing, match=r"^no version is published yet$"):
            versions.get()

    def test_a_missing_one_is_named_without_the_store_s_folder(self, store: IndexStore, versions: OpenVersions) -> None:
        publish(store, "1.0")
        with pytest.raises(VersionMissing, match=r"^there is no version 2\.0$"):
            versions.get("2.0")

    @pytest.mark.parametrize("name", ["", "..", "../1.0", ".building", "CURRENT"])
    def test_no_name(self, name: str, versions: OpenVersions) -> None:
        with pytest.raises(BadVersionName):
            versions.get(name)

    def test_nonsense_in_current_is_damage(self, store: IndexStore, versions: OpenVersions) -> None:
        publish(store, "1.0")
        (store.folder / CURRENT_FILE).write_text("../1.0\n")
        for ask in (versions.get, versions.current):
            with pytest.raises(VersionDamaged, match="CURRENT holds no version's name"):
                ask()
        assert versions.get("1.0").name == "1.0"

    @pytest.mark.parametrize("file", [IMAGES_FILE, MANIFEST_FILE])
    def test_a_damaged_one(self, file: str, store: IndexStore, versions: OpenVersions) -> None:
        publish(store, "1.0")
        path = store.folder / "1.0" / file
        whole = path.read_bytes()
        path.write_bytes(whole[:-10])
        for _ in range(2):
            with pytest.raises(VersionDamaged, match=file.replace(".", r"\.")):
                versions.get("1.0")
        path.write_bytes(whole)
        assert versions.get("1.0").name == "1.0"

    def test_a_damaged_page_of_the_image_table(self, store: IndexStore, versions: OpenVersions) -> None:
        publish(store, "1.0", {f"{row}.png": 0 for row in range(400)})
        damage_first_images(store.folder / "1.0" / IMAGES_FILE)
        with images_of(versions.get()) as images:
            last = images.file(399)
            assert last and last.path == "399.png"
        damage = pytest.raises(VersionDamaged, match=r"^images\.db of version 1\.0 cannot be read \(.*malformed\)$")
        with damage, images_of(versions.get()) as images:
            images.file(0)


class TestDeleted:
    def test_it_is_missing_at_once(self, store: IndexStore, versions: OpenVersions) -> None:
        publish(store, "1.0")
        publish(store, "1.1")
        versions.get("1.0")
        store.delete("1.0")
        with pytest.raises(VersionMissing, match=r"^there is no version 1\.0$"):
            versions.get("1.0")

    def test_who_has_it_keeps_it(self, store: IndexStore, versions: OpenVersions) -> None:
        publish(store, "1.0", {"a.png": 0x8001})
        publish(store, "1.1")
        version = versions.get("1.0")
        store.delete("1.0")
        versions.get()
        assert version.images.paths([0]) == ["a.png"]

    def test_its_place_on_the_disk_is_free_with_the_next_question(
        self, store: IndexStore, versions: OpenVersions
    ) -> None:
        publish(store, "1.0")
        publish(store, "1.1")
        versions.get("1.0")
        assert open_files(str(store.folder)) == [str(store.folder / "1.0" / IMAGES_FILE)]
        store.delete("1.0")
        versions.get("1.1")
        assert open_files(str(store.folder)) == [str(store.folder / "1.1" / IMAGES_FILE)]

    def test_another_one_of_its_name(self, store: IndexStore, versions: OpenVersions) -> None:
        publish(store, "1.0", {"a.png": 1})
        publish(store, "1.1")
        versions.get("1.0")
        store.delete("1.0")
        publish(store, "1.0", {"b.png": 2})
        assert versions.get("1.0").images.paths([0]) == ["b.png"]

    def test_while_it_is_being_opened(self, store: IndexStore, monkeypatch: pytest.MonkeyPatch) -> None:
        publish(store, "1.0")
        publish(store, "1.1")

        class Overtaken(IndexStore):
            def manifest(self, name: str) -> Manifest:
                found = super().manifest(name)
                self.delete("1.0")
                return found

        with pytest.raises(VersionMissing, match=r"^there is no version 1\.0$"):
            OpenVersions(Overtaken(store.folder)).get("1.0")

    def test_the_current_one_changes_and_goes_while_it_is_looked_for(self, store: IndexStore) -> None:
        publish(store, "1.1")
        publish(store, "1.0")
        answers: Iterator[str] = iter(["1.0"])

        class Overtaken(IndexStore):
            def current(self) -> str | None:
                for name in answers:  # the first time
                    store.promote("1.1")
                    store.delete("1.0")
                    return name
                return super().current()

        assert OpenVersions(Overtaken(store.folder)).get().name == "1.1"


class TestHowMany:
    def test_the_four_asked_for_last_stay_open(self, store: IndexStore, versions: OpenVersions) -> None:
        names = ["1", "2", "3", "4", "5"]
        for name in names:
            publish(store, name)
        opened = {name: versions.get(name) for name in names[:4]}
        versions.get("1")
        opened["5"] = versions.get("5")  # instead of 2
        assert [versions.get(name) is opened[name] for name in ("1", "3", "4", "5")] == [True] * 4
        assert versions.get("2") is not opened["2"]
        assert opened["2"].images.paths([0]) == ["2.png"], "not closed under those who use it"

    def test_threads_share_them(self, store: IndexStore, versions: OpenVersions) -> None:
        names = [str(number) for number in range(6)]
        for name in names:
            publish(store, name, {f"{name}-{row}.png": row for row in range(3)})
        start = threading.Barrier(8)

        def ask(worker: int) -> list[str]:
            start.wait()
            return [versions.get(names[(worker + step) % 6]).images.paths([step % 3])[0] for step in range(30)]

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(ask, range(8)))
        assert answers == [[f"{(worker + step) % 6}-{step % 3}.png" for step in range(30)] for worker in range(8)]


def test_nothing_that_searches_is_loaded(store: IndexStore) -> None:
    publish(store, "1.0", mode="unnecessary fast")
    script = f"""
import sys
from pathlib import Path
from gateway.images.open_versions import OpenVersions
from searcher.versions.store import IndexStore
version = OpenVersions(IndexStore(Path({str(store.folder)!r}))).get()
print(version.images.paths([0]), sorted({{"numba", "faiss", "torch"}} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=REPOSITORY, check=True)
    assert done.stdout == "['1.0.png'] []\n"
