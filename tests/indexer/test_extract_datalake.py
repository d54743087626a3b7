"""extract_datalake.sh writes every image below a folder once, as the folder was typed, in an order that is the same
everywhere; and when it cannot, the listing that was there stays."""

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hashlake.command import Answer, hashlake

SCRIPT = Path(__file__).parents[2] / "indexer" / "extract_datalake.sh"


def extract(cwd: Path, *arguments: str) -> Answer:
    """What the script runs, in this process."""
    with contextlib.chdir(cwd):
        return hashlake("listing", "--", *arguments)


def script(cwd: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", SCRIPT, *arguments],
        cwd=cwd,
        env=os.environ | {"PATH": path} | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def listed(cwd: Path, *arguments: str) -> list[str]:
    """The listing's lines, after a run that had nothing to warn of."""
    done = extract(cwd, *arguments)
    assert (done.status, done.err) == (0, "")
    return read(cwd / "database_info.txt")


def read(listing: Path) -> list[str]:
    text = listing.read_bytes().decode("utf-8", "surrogateescape")
    assert text.endswith("\n")
    return text.split("\n")[:-1]


def touch(folder: Path, *names: str | bytes) -> Path:
    for name in names:
        path = folder / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


@pytest.mark.parametrize(
    ("typed", "prefix"),
    [
        ("data", "data/"),
        ("data/", "data/"),
        ("data///", "data/"),
        ("./data", "./data/"),
        ("../here/data", "../here/data/"),
        (".", "./"),
    ],
)
def test_lines_start_with_the_folder_as_typed(tmp_path: Path, typed: str, prefix: str) -> None:
    here = tmp_path / "here"
    touch(here / "data", "abc.com/69_abc_com.jpg")
    below = "data/abc.com/69_abc_com.jpg" if typed == "." else "abc.com/69_abc_com.jpg"
    assert listed(here, typed) == [prefix + below]


@pytest.mark.parametrize("ending", ["", "/"])
def test_an_absolute_folder_stays_absolute(tmp_path: Path, ending: str) -> None:
    touch(tmp_path / "data", "a.jpg")
    assert listed(tmp_path, f"{tmp_path}/data{ending}") == [f"{tmp_path}/data/a.jpg"]


@pytest.mark.parametrize(
    "folder",
    ["-data", "--", "-n", "my photos", " ", 'O\'Hara "2"', "été-日本", "50% off", "back\\slash", "a&b", "$HOME", "*"],
)
def test_a_folder_may_have_any_name(tmp_path: Path, folder: str) -> None:
    touch(tmp_path / folder, "a.jpg")
    assert listed(tmp_path, folder) == [f"{folder}/a.jpg"]


@pytest.mark.parametrize(
    ("folder", "environment"),
    [("-", {"OLDPWD": "elsewhere"}), ("data", {"CDPATH": "elsewhere"}), ("data", {"LC_ALL": "en_US.UTF-8"})],
    ids=["a folder called dash is not the previous folder", "a search path for cd leads nowhere else", "language"],
)
def test_the_script_goes_where_it_is_told(tmp_path: Path, folder: str, environment: dict[str, str]) -> None:
    """Where the system has this locale, its own order would be _ a b B é."""
    touch(tmp_path / "here" / folder, "b.jpg", "B.jpg", "a.jpg", "é.jpg", "_.jpg")
    touch(tmp_path / "elsewhere" / folder, "elsewhere.jpg")
    environment = {name: value.replace("elsewhere", f"{tmp_path}/elsewhere") for name, value in environment.items()}
    done = script(tmp_path / "here", folder, **environment)
    assert (done.returncode, done.stdout) == (0, "database_info.txt: 5 images\n")
    assert read(tmp_path / "here" / "database_info.txt") == [
        f"{folder}/{name}.jpg" for name in ("B", "_", "a", "b", "é")
    ]


def test_images_are_found_at_any_depth_and_sorted_by_bytes(tmp_path: Path) -> None:
    names = ["b/c/d/e/f/g/deep.jpg", "a.jpg", "Z.jpg", "a/b.jpg", "a b.jpg", "é.jpg", "a-b.jpg", "10.jpg", "9.jpg"]
    touch(tmp_path / "data", *names)
    assert listed(tmp_path, "data") == sorted((f"data/{name}" for name in names), key=str.encode)


AWKWARD = [
    "name with spaces.jpg", "  two leading.jpg", "O'Hara \"quoted\".jpg", "-leading-dash.jpg", "--help.jpg",
    "vêtement-été-日本.jpg", "back\\slash\\n.jpg", "100%s %P.jpg", "a&b.jpg", "$(date).jpg", "`date`.jpg",
    "tab\there.jpg",
    "semi;colon.jpg", "star*.jpg", "hash#.jpg", "carriage\rreturn.jpg", "dots..jpg", ".hidden.jpg", "emoji-👗.jpg",
]  # fmt: skip


def test_awkward_names_survive(tmp_path: Path) -> None:
    touch(tmp_path / "data", *AWKWARD)
    assert sorted(listed(tmp_path, "data")) == sorted(f"data/{name}" for name in AWKWARD)


def test_a_name_that_is_not_utf8_is_listed_byte_for_byte(tmp_path: Path) -> None:
    touch(tmp_path / "data", b"\xe9t\xe9.jpg")
    listed(tmp_path, "data")
    assert (tmp_path / "database_info.txt").read_bytes() == b"data/\xe9t\xe9.jpg\n"


def test_images_are_told_by_their_extension_in_any_case(tmp_path: Path) -> None:
    images = [
        "a.jpg", "a.JPG", "a.Jpeg", "a.jpe", "a.jfif", "a.mpo", "a.PNG", "a.webp", "a.gif", "a.BMP", "a.tif", "a.TIFF",
        "a.avif",
    ]  # fmt: skip
    touch(tmp_path / "data", *images, "notes.txt", "a.jpg.part", "jpg", "ajpg", "a.jpgx", "Thumbs.db")
    (tmp_path / "data" / "folder.jpg").mkdir()
    assert listed(tmp_path, "data") == [f"data/{name}" for name in sorted(images)]


def test_names_with_a_line_break_are_left_out_and_counted(tmp_path: Path) -> None:
    touch(tmp_path / "data", "a.jpg", "two\nlines.jpg", "folder\nof two/b.jpg")
    done = extract(tmp_path, "data")
    assert done.status == 0
    assert done.err.splitlines() == [
        "Warning: left out 2 images whose names hold a line break, which a listing cannot spell"
    ]
    assert read(tmp_path / "database_info.txt") == ["data/a.jpg"]


def test_a_folder_typed_with_a_line_break_is_refused(tmp_path: Path) -> None:
    touch(tmp_path / "two\nlines", "a.jpg")
    done = extract(tmp_path, "two\nlines")
    assert done.status != 0
    assert done.err.startswith("Error: ")
    assert not (tmp_path / "database_info.txt").exists()


def test_links_to_files_and_folders_are_followed(tmp_path: Path) -> None:
    touch(tmp_path / "elsewhere", "real.jpg", "more/b.jpg")
    data = tmp_path / "data"
    data.mkdir()
    (data / "link.jpg").symlink_to(tmp_path / "elsewhere" / "real.jpg")
    (data / "folder").symlink_to(tmp_path / "elsewhere" / "more")
    (data / "broken.jpg").symlink_to("nowhere.jpg")
    (tmp_path / "linked").symlink_to("data")
    assert listed(tmp_path, "data") == ["data/folder/b.jpg", "data/link.jpg"]
    assert listed(tmp_path, "linked") == ["linked/folder/b.jpg", "linked/link.jpg"]


def test_a_link_back_into_the_folder_is_warned_of_and_ends(tmp_path: Path) -> None:
    touch(tmp_path / "data", "sub/a.jpg")
    (tmp_path / "data" / "sub" / "loop").symlink_to("..")
    done = extract(tmp_path, "data")
    assert done.status == 0
    assert "Warning: some folders could not be read" in done.err
    assert read(tmp_path / "database_info.txt") == ["data/sub/a.jpg"]


def test_the_listing_may_be_named(tmp_path: Path) -> None:
    touch(tmp_path / "data", "a.jpg")
    done = extract(tmp_path, "data", "my listing.txt")
    assert done.out == "my listing.txt: 1 images\n"
    assert read(tmp_path / "my listing.txt") == ["data/a.jpg"]
    assert not (tmp_path / "database_info.txt").exists()


def test_a_second_run_replaces_the_listing_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    data = touch(tmp_path / "data", "a.jpg", "b.jpg")
    listed(tmp_path, "data")
    (data / "a.jpg").unlink()
    assert listed(tmp_path, "data") == ["data/b.jpg"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "database_info.txt"]


@pytest.mark.parametrize(
    ("typed", "complaint"),
    [
        ("missing", "Error: missing is not a folder"),
        ("file.jpg", "Error: file.jpg is not a folder"),
        ("", "Error:  is not a folder"),
        ("empty", "Error: no image below empty"),
        ("texts", "Error: no image below texts"),
    ],
)
def test_an_error_is_one_line_and_leaves_the_existing_listing_alone(tmp_path: Path, typed: str, complaint: str) -> None:
    touch(tmp_path, "file.jpg", "texts/notes.txt")
    (tmp_path / "empty").mkdir()
    (tmp_path / "database_info.txt").write_text("earlier/a.jpg\n")
    before = sorted(path.name for path in tmp_path.iterdir())
    done = extract(tmp_path, typed)
    assert done.status == 1
    (line,) = done.err.splitlines()
    assert line.startswith(complaint)
    assert done.out == ""
    assert (tmp_path / "database_info.txt").read_text() == "earlier/a.jpg\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.mark.parametrize("arguments", [(), ("a", "b", "c")], ids=["none", "three"])
def test_a_wrong_number_of_arguments_is_answered_by_the_usage(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = script(tmp_path, *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: bash ")


def test_without_its_environment_the_script_says_how_to_get_it(tmp_path: Path) -> None:
    checkout = tmp_path / "indexer"
    checkout.mkdir()
    for name in ("extract_datalake.sh", "environment.sh"):
        shutil.copy(SCRIPT.with_name(name), checkout)
    done = subprocess.run(
        ["bash", checkout / SCRIPT.name, "data"],
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "Error: hashlake is not installed here: run `make serve` first, or enter its environment\n"


def test_what_is_left_out_is_told_in_the_last_line(tmp_path: Path) -> None:
    touch(tmp_path / "data", "a.jpg", "b.cr2", "c.dng", "d.dng", ".Trash-1000/files/e.jpg", "notes.txt")
    done = extract(tmp_path, "data")
    assert (done.status, done.out) == (0, "database_info.txt: 1 images\n")
    assert done.err == "left out: 2 dng, 1 cr2, 1 in trash and thumbnail folders (--keep_hidden lists them)\n"
    with contextlib.chdir(tmp_path):
        assert hashlake("listing", "--keep-hidden", "data").err == "left out: 2 dng, 1 cr2\n"
    assert read(tmp_path / "database_info.txt") == ["data/.Trash-1000/files/e.jpg", "data/a.jpg"]


def test_a_folder_of_nothing_that_is_read_says_what_there_is(tmp_path: Path) -> None:
    touch(tmp_path / "data", "b.cr2", ".thumbnails/e.jpg")
    done = extract(tmp_path, "data")
    assert done.status == 1
    assert done.err.startswith("Error: no image below data (known: jpg ")
    assert done.err.endswith("; left out: 1 cr2, 1 in trash and thumbnail folders (--keep_hidden lists them)\n")
