"""Files as items: their versions, and why some cannot be read."""

import os
from pathlib import Path

import pytest

from sources.errors import Unreadable
from sources.folder import FileVersion, FolderSource
from sources.listing import Listing
from sources.source import Item


def test_a_version_is_size_and_time(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"12345")
    os.utime(path, ns=(0, 1_600_000_000_123_456_789))
    item = FolderSource(tmp_path).with_version(Item("a.jpg"))
    assert item == Item("a.jpg", version="5 1600000000123456789")
    assert FileVersion.parse(item.version) == FileVersion(5, 1_600_000_000_123_456_789)


@pytest.mark.parametrize("version", [None, "", "5", "5 ", " 5", '"an ETag"', "5 x", "x 5", "5 6 7"])
def test_what_is_no_version_of_a_file(version: str | None) -> None:
    assert FileVersion.parse(version) is None


@pytest.mark.parametrize("mtime_ns", [0, -1, 1_600_000_000_123_456_789])
def test_a_version_as_text_and_back(mtime_ns: int) -> None:
    assert FileVersion.parse(str(FileVersion(7, mtime_ns))) == FileVersion(7, mtime_ns)


def test_why_a_file_cannot_be_read(tmp_path: Path) -> None:
    source = FolderSource(tmp_path)
    (tmp_path / "folder.jpg").mkdir()
    os.mkfifo(tmp_path / "pipe.jpg")
    with (tmp_path / "huge.jpg").open("wb") as stream:
        stream.truncate((32 << 20) + 1)
    for name, reason in {
        "missing.jpg": "no such file or directory",
        "folder.jpg": "not a regular file",
        "pipe.jpg": "not a regular file",
        "huge.jpg": "the image has 33,554,433 bytes; the limit is 33,554,432",
        "zero\0byte.jpg": "embedded null byte",
        os.fsdecode(b"\xe9.jpg"): "the name is not UTF-8, and answers could not spell it",
    }.items():
        with pytest.raises(Unreadable) as refused:
            source.with_version(Item(name))
        assert str(refused.value) == reason


def test_a_file_that_vanished_after_it_was_looked_at(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    source = FolderSource(tmp_path)
    item = source.with_version(Item("a.jpg"))
    (tmp_path / "a.jpg").unlink()
    with pytest.raises(Unreadable, match="no such file or directory"):
        source.read(item)


def test_relative_names_start_from_the_root_and_absolute_ones_dont(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "a.jpg").write_bytes(b"a")
    source = FolderSource(tmp_path / "below")
    assert source.read(Item("a.jpg"))[1] == source.read(Item(f"{tmp_path}/below/a.jpg"))[1] == b"a"


def test_nothing_is_read_outside_the_folder_that_it_is_confined_to(tmp_path: Path) -> None:
    (tmp_path / "lake").mkdir()
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    (tmp_path / "lake" / "a.jpg").write_bytes(b"a")
    (tmp_path / "lake" / "link.jpg").symlink_to("../secret.jpg")
    source = FolderSource(tmp_path, confined_to=tmp_path / "lake")
    assert source.read(Item("lake/a.jpg"))[1] == b"a"
    for name in ("secret.jpg", "lake/../secret.jpg", "lake/link.jpg", f"{tmp_path}/secret.jpg", "lake", "lake/\0"):
        with pytest.raises(Unreadable):
            source.read(Item(name))


def test_the_state_tells_listings_and_roots_apart(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(f"{name}\n")
    one, other = (Listing(tmp_path / name) for name in ("a.txt", "b.txt"))
    (tmp_path / "a.jpg").touch()
    states = {
        source.state
        for source in (
            FolderSource(tmp_path, one),
            FolderSource(tmp_path, other),
            FolderSource(tmp_path / "below", one),
            FolderSource(tmp_path),
        )
    }
    assert len(states) == 4
