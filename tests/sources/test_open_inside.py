"""A file is opened where it truly lies, or not at all. What pictures and models do with it is in their own tests."""

from pathlib import Path

import pytest

from sources.open_inside import OutsideFolder, open_inside


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "file").write_text("inside")
    (tmp_path / "secret").write_text("outside")
    return tmp_path / "in"


def test_a_file_inside(folder: Path) -> None:
    with open_inside(folder, folder / "file") as file:
        assert file.read() == b"inside"


def test_a_relative_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    with open_inside(Path("in"), Path("in/file")) as file:
        assert file.read() == b"inside"
    with pytest.raises(OutsideFolder):
        open_inside(Path("in"), Path("secret"))


def test_a_link_exchanged_while_it_is_looked_at(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = folder / "link"
    look = Path.readlink

    def exchange(path: Path, target: str) -> Path:
        found = look(path)
        link.unlink()
        link.symlink_to(target)
        return found

    link.symlink_to("file")
    with monkeypatch.context() as race:
        race.setattr(Path, "readlink", lambda path: exchange(path, "../secret"))
        file = open_inside(folder, link)
    with file:
        assert file.read() == b"inside"
    with monkeypatch.context() as race, pytest.raises(OutsideFolder):
        race.setattr(Path, "readlink", lambda path: exchange(path, "file"))
        open_inside(folder, link)


def test_a_file_deleted_while_it_is_looked_at(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has it open may read it to its end."""
    look = Path.readlink

    def delete_first(path: Path) -> Path:
        (folder / "file").unlink()
        return look(path)

    monkeypatch.setattr(Path, "readlink", delete_first)
    with open_inside(folder, folder / "file") as file:
        assert file.read() == b"inside"
