"""The folder of thumbnails keeps to its size, forgets what was used longest ago, and never stands in the way."""

import errno
import logging
import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.images.thumbnail_cache import ThumbnailCache


def webp(mark: int, size: int = 100) -> bytes:
    """What passes for a WebP file of ``size`` bytes; its content is ``mark``."""
    return b"RIFF" + (size - 8).to_bytes(4, "little") + b"WEBP" + bytes([mark]) * (size - 12)


def files(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in folder.iterdir()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "thumbnails"


def test_what_was_put_is_got(folder: Path) -> None:
    cache = ThumbnailCache(folder, 1000)
    assert cache.get("a") is None
    cache.put("a", webp(1))
    cache.put("b", webp(2))
    assert (cache.get("a"), cache.get("b")) == (webp(1), webp(2))
    assert files(folder) == {"a.webp": 100, "b.webp": 100}


class TestBound:
    def test_what_was_used_longest_ago_goes_first(self, folder: Path) -> None:
        cache = ThumbnailCache(folder, 350)
        for mark, name in enumerate("abc"):
            cache.put(name, webp(mark))
        assert cache.get("a") == webp(0)
        cache.put("d", webp(3))
        assert files(folder).keys() == {"a.webp", "c.webp", "d.webp"}
        assert [cache.get(name) for name in "abcd"] == [webp(0), None, webp(2), webp(3)]

    def test_one_takes_the_place_of_several(self, folder: Path) -> None:
        cache = ThumbnailCache(folder, 350)
        for mark, name in enumerate("abc"):
            cache.put(name, webp(mark))
        cache.put("d", webp(3, 250))
        assert files(folder) == {"c.webp": 100, "d.webp": 250}

    def test_the_same_again_counts_once(self, folder: Path) -> None:
        cache = ThumbnailCache(folder, 250)
        cache.put("a", webp(1))
        for mark in range(5):
            cache.put("b", webp(mark))
        assert (cache.get("a"), cache.get("b")) == (webp(1), webp(4))

    def test_one_that_is_too_large_drives_out_no_other(self, folder: Path) -> None:
        cache = ThumbnailCache(folder, 250)
        cache.put("a", webp(1))
        cache.put("b", webp(2, 251))
        assert files(folder) == {"a.webp": 100}

    def test_it_holds_after_a_new_start(self, folder: Path) -> None:
        cache = ThumbnailCache(folder, 1000)
        for number, name in enumerate("abcd"):
            cache.put(name, webp(number))
            os.utime(folder / f"{name}.webp", (1000 - number, 0))  # a was used last
        cache = ThumbnailCache(folder, 250)
        assert files(folder).keys() == {"a.webp", "b.webp"}
        cache.put("e", webp(9))
        assert files(folder).keys() == {"a.webp", "e.webp"}

    def test_what_a_killed_process_left_is_deleted_and_nothing_of_others(self, folder: Path) -> None:
        folder.mkdir()
        for name in ("a.webp.tmp", "notes.txt", "b.webp"):
            (folder / name).write_bytes(webp(1))
        ThumbnailCache(folder, 1000)
        assert files(folder).keys() == {"notes.txt", "b.webp"}


class TestDisturbed:
    def test_files_are_deleted_under_it(self, folder: Path) -> None:
        cache = ThumbnailCache(folder, 250)
        cache.put("a", webp(1))
        cache.put("b", webp(2))
        (folder / "a.webp").unlink()
        assert cache.get("a") is None
        cache.put("c", webp(3))
        assert files(folder).keys() == {"b.webp", "c.webp"}, "the vanished one takes no place"

    def test_the_folder_is_deleted_under_it(self, folder: Path) -> None:
        cache = ThumbnailCache(folder, 250)
        cache.put("a", webp(1))
        shutil.rmtree(folder)
        assert cache.get("a") is None
        cache.put("a", webp(2))
        assert cache.get("a") == webp(2)

    @pytest.mark.parametrize("content", [b"", webp(1)[:-1], webp(1) + b"x", bytes(100)])
    def test_one_that_a_power_failure_cut_is_made_again(self, content: bytes, folder: Path) -> None:
        cache = ThumbnailCache(folder, 250)
        cache.put("a", webp(1))
        (folder / "a.webp").write_bytes(content)
        assert cache.get("a") is None
        assert files(folder) == {}

    def test_another_process_put_it_there(self, folder: Path) -> None:
        cache = ThumbnailCache(folder, 250)
        ThumbnailCache(folder, 250).put("a", webp(1))
        assert cache.get("a") == webp(1)
        cache.put("b", webp(2))
        cache.put("c", webp(3))
        assert files(folder).keys() == {"b.webp", "c.webp"}

    @pytest.mark.parametrize("failing", ["write", "rename"])
    def test_a_full_disk_means_not_kept(
        self, failing: str, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        cache = ThumbnailCache(folder, 1000)
        cache.put("a", webp(1))

        def half_of_it(path: Path, content: bytes) -> int:
            with path.open("wb") as stream:
                stream.write(content[:50])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        def nothing(_one: Path, _other: Path) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with monkeypatch.context() as full, caplog.at_level(logging.WARNING):
            full.setattr(*((Path, "write_bytes", half_of_it) if failing == "write" else (os, "replace", nothing)))
            for name in "bcd":
                cache.put(name, webp(2))
        assert [record.getMessage() for record in caplog.records] == [
            "thumbnails cannot be kept: No space left on device"
        ], "once, not once a picture"
        assert files(folder) == {"a.webp": 100}
        assert (cache.get("a"), cache.get("b")) == (webp(1), None)
        cache.put("b", webp(2))
        assert cache.get("b") == webp(2)

    def test_a_file_stands_where_the_folder_should(self, folder: Path) -> None:
        folder.write_text("in the way")
        cache = ThumbnailCache(folder, 1000)
        cache.put("a", webp(1))
        assert cache.get("a") is None
        assert folder.read_text() == "in the way"


def test_what_another_thread_deletes_while_it_is_read_isnt_counted(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = ThumbnailCache(folder, 100)
    cache.put("a", webp(1))
    read = Path.read_bytes

    def read_late(path: Path) -> bytes:
        content = read(path)
        monkeypatch.undo()
        cache.put("b", webp(2))
        return content

    monkeypatch.setattr(Path, "read_bytes", read_late)
    assert cache.get("a") == webp(1)
    assert files(folder) == {"b.webp": 100}
    assert cache.get("b") == webp(2)


def test_threads_share_it(folder: Path) -> None:
    cache = ThumbnailCache(folder, 1000)
    start = threading.Barrier(8)
    largest = []

    def work(worker: int) -> None:
        start.wait()
        for step in range(100):
            mark = (worker * 7 + step) % 20
            found = cache.get(f"{mark}")
            assert found in (None, webp(mark))
            if found is None:
                cache.put(f"{mark}", webp(mark))
            largest.append(sum(size for name, size in files_now(folder).items() if name.endswith(".webp")))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert max(largest) <= 1000 + 100  # one is in place a moment before another one goes
    assert files(folder).keys() <= {f"{mark}.webp" for mark in range(20)}
    again = ThumbnailCache(folder, 1000)
    assert sum(files(folder).values()) == again._total == cache._total <= 1000


def files_now(folder: Path) -> dict[str, int]:
    """As ``files``, while others delete."""
    found = {}
    for path in folder.iterdir():
        try:
            found[path.name] = path.stat().st_size
        except FileNotFoundError:
            continue
    return found
