"""Pictures in zip and tar archives: names, versions, and archives that are none, or damaged."""

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from sources.errors import SourceError, Unreadable
from sources.registry import open_source
from tests.fakes import code_bytes, png_of, write_grid_model
from tests.hashlake.command import hashlake
from tests.indexer.stored import codes_by_path

CONTENTS = {"a/1.png": png_of(1), "été.PNG": png_of(2), "b.txt": b"text", "c.cr2": b"raw", "__MACOSX/a.png": b"x"}


def write_zip(path: Path, contents: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("a")
        for name, content in contents.items():
            archive.writestr(name, content)
    return path


def write_tar(path: Path, contents: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in contents.items():
            info = tarfile.TarInfo(f"./{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize(
    ("name", "mode"),
    [("a.zip", ""), ("A.ZIP", ""), ("a.tar", "w"), ("a.tar.gz", "w:gz"), ("a.tgz", "w:gz"), ("a.tar.xz", "w:xz")],
)
def test_an_archive_is_indexed_where_it_lies(tmp_path: Path, name: str, mode: str) -> None:
    path = tmp_path / name
    written = write_tar(path, CONTENTS, mode) if mode else write_zip(path, CONTENTS)
    model = write_grid_model(tmp_path / "grid.pt")
    run = ["index", "--source", written, "--model_path", model, "--index_store", tmp_path / "store"]
    answer = hashlake(*run, "--new_index_database_version", "1")
    assert answer.status == 0, answer.err
    assert codes_by_path(tmp_path / "store" / "1") == {
        f"{written}#a/1.png": code_bytes(1),
        f"{written}#été.PNG": code_bytes(2),
    }
    again = hashlake(*run, "--new_index_database_version", "2", "--base_version", "1")
    assert "2 images (2 of them known before)" in again.out


def test_files_that_are_no_archives(tmp_path: Path) -> None:
    for name in ("a.zip", "a.tar"):
        (tmp_path / name).write_bytes(b"no archive at all" * 100)
        with (
            pytest.raises(SourceError, match=f"{name} cannot be read as a {name[2:]} archive: "),
            open_source(str(tmp_path / name)),
        ):
            pass
    with pytest.raises(SourceError, match="no such file"), open_source(f"zip:{tmp_path}/nothing"):
        pass
    with (
        pytest.raises(SourceError, match=r"no image in .*empty\.zip; left out: 1 cr2"),
        open_source(str(write_zip(tmp_path / "empty.zip", {"a.cr2": b""}))),
    ):
        pass


def test_a_tar_that_ends_too_early(tmp_path: Path) -> None:
    whole = write_tar(tmp_path / "a.tar", {"1.png": bytes(5000), "2.png": bytes(5000)}).read_bytes()
    (tmp_path / "a.tar").write_bytes(whole[:3000])
    with pytest.raises(SourceError, match=r"a\.tar is damaged: "), open_source(str(tmp_path / "a.tar")):
        pass


def test_a_member_that_is_damaged_or_too_large_is_its_own_reason(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"1.png": b"x" * 1000, "2.png": png_of(2), "3.png": bytes((32 << 20) + 1)})
    whole = bytearray(path.read_bytes())
    place = whole.index(b"1.png") + len("1.png")
    whole[place : place + 4] = b"\xff" * 4
    path.write_bytes(whole)
    with open_source(str(path)) as source:
        broken, good, large = source.items()
        with pytest.raises(Unreadable, match=r"^the archive cannot be read here: "):
            source.read(broken)
        assert source.read(good)[1] == png_of(2)
        with pytest.raises(Unreadable, match=r"^the image has 33,554,433 bytes"):
            source.read(large)


def test_an_encrypted_member_says_so(tmp_path: Path) -> None:
    whole = bytearray(write_zip(tmp_path / "a.zip", {"1.png": png_of(1)}).read_bytes())
    for mark, offset in ((b"PK\1\2", 8), (b"PK\3\4", 6)):  # of the member, after that of the folder "a"
        whole[whole.rindex(mark) + offset] |= 1
    (tmp_path / "a.zip").write_bytes(whole)
    with open_source(str(tmp_path / "a.zip")) as source:
        (item,) = source.items()
        with pytest.raises(Unreadable, match=r"^it is encrypted in the archive, and opens with a password only$"):
            source.read(item)
