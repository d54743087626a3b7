"""Every command that shows names from elsewhere shows them, whatever they hold; JSON is exact."""

import json
import os
import shutil
from pathlib import Path

import pytest

from contract.terminal import visible
from tests.fakes import png_of
from tests.hashlake.client.conftest import fake, url  # noqa: F401 (fixtures)
from tests.hashlake.client.fake_gateway import KEY, Fake, Image
from tests.hashlake.command import Answer, hashlake

#: A title, a cleared screen, a line over another one, C1, a turned direction, another line.
BAD = "esc\x1b[2J\x1b]0;pwn\x07 cr\rFAKE: all ok. \x9b31m \u202egpj.\u2066 \u2028"
LINES = f"{BAD}\nFAKE: all ok."
NOT_UTF8 = b"data/\xff\x1b.png"


def told(answer: Answer, status: int = 0) -> str:
    """All that was said, in lines that a terminal only shows."""
    said = answer.out + answer.err
    assert answer.status == status, said
    assert visible(said.replace("\n", "")) == said.replace("\n", "")
    assert not any(line.startswith("FAKE") for line in said.split("\n"))
    return said


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, grid_path: Path) -> Path:
    """A datalake of four pictures, three of which can be read."""
    data = tmp_path / "data"
    data.mkdir()
    (data / f"{BAD}.png").write_bytes(png_of(0xFF00))
    (data / "plain.png").write_bytes(png_of(0xFF01))
    (data / f"torn {BAD}.png").write_bytes(b"torn")
    (data / f"{LINES}.png").write_bytes(png_of(1))
    (tmp_path / os.fsdecode(NOT_UTF8)).write_bytes(png_of(1))
    (data / f"{BAD}").symlink_to(data)
    shutil.copy(grid_path, tmp_path / f"{BAD}.pt")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_listing_indexing_and_searching(place: Path) -> None:
    model = f"{BAD}.pt"
    name = f"data/{BAD}.png"
    listed = told(hashlake("listing", "data", f"{BAD}.txt"))
    assert f"{visible(BAD)}.txt: 4 images" in listed and "a link back" in listed
    new = ("--model_path", model, "--new_index_database_version")
    indexed = told(hashlake("index", "--database", f"{BAD}.txt", *new, "1.0.0"))
    assert f"skipped data/torn {visible(BAD)}.png: not an image" in indexed
    assert "skipped data/\\xff\\u001b.png: the name is not UTF-8" in indexed
    told(hashlake("index", "--source", "folder:data", *new, "1.1.0"))
    told(hashlake("refresh", "data", "--model_path", model, "--new_index_database_version", "1.2.0"))
    found = hashlake("search", "data/plain.png", "--model_path", model)
    assert told(found) and found.out == f"   0  data/plain.png\n   1  {visible(name)}\n"
    as_json = hashlake("search", "data/plain.png", "--model_path", model, "--json")
    assert told(as_json) and json.loads(as_json.out)["relevant"] == ["data/plain.png", name]
    for words in (("list",), ("verify",), ("rollback",)):
        told(hashlake("versions", *words))
    told(hashlake("archive", "--model_path", model, "--model_store", f"store {BAD}"))


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (1, ("listing", BAD)),
        (1, ("index", "--database", BAD, "--model_path", BAD, "--new_index_database_version", "1")),
        (1, ("index", "--source", f"folder:{BAD}", "--model_path", BAD, "--new_index_database_version", "1")),
        (1, ("index", "--database", BAD, "--model_path", BAD, "--new_index_database_version", BAD)),
        (1, ("refresh", BAD, "--model_path", BAD)),
        (1, ("archive", "--model_path", BAD)),
        (2, ("search", BAD, "--model_path", BAD)),
        (2, ("search", "data/plain.png", LINES, "--model_path", BAD)),
        (2, ("search", f"--{LINES}")),
        (2, (LINES,)),
        (1, ("search", "data/plain.png", "--model_path", BAD, "--collection", BAD)),
        (1, ("versions", "promote", BAD)),
        (1, ("versions", "verify", LINES)),
        (1, ("keys", "create", LINES, "--role", "search", "--state", "state")),
        (1, ("keys", "revoke", LINES, "--state", "state")),
        (2, ("train", BAD, "--out", "out.pt")),
        (2, ("evaluate", BAD, BAD)),
        (1, ("evaluate", f"data/torn {BAD}.png", f"data/torn {BAD}.png")),
    ],
)
def test_errors(place: Path, status: int, words: tuple[str, ...]) -> None:
    (place / "state").mkdir()
    told(hashlake(*words), status)


def test_collections(place: Path, url: str, fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setenv("HASHLAKE_URL", url)
    monkeypatch.setenv("HASHLAKE_KEY", KEY)
    names = [f"https://example.org/{LINES}", BAD]
    fake.collections["shoes"] = {name: Image(0, {"of": name}) for name in names}
    fake.collections["hats"] = {}
    collections = ("collections",)
    shown = sorted(map(visible, names))
    assert sorted(told(hashlake(*collections, "urls", "shoes")).splitlines()) == shown
    assert sorted(line[7:] for line in told(hashlake(*collections, "search", "shoes", BAD)).splitlines()) == shown
    as_json = hashlake(*collections, "search", "shoes", names[0], "--json")
    assert told(as_json) and {match["url"] for match in json.loads(as_json.out)} == set(names)
    dumped = hashlake(*collections, "dump", "shoes")
    assert told(dumped) and {json.loads(line)["url"] for line in dumped.out.splitlines()} == set(names)
    for options in ((), ("--pairs",), ("--json",)):
        assert visible(BAD) in told(hashlake("duplicates", "shoes", *options))
    told(hashlake(*collections, "list"))
    told(hashlake(*collections, "add", "hats", f"https://{LINES}", BAD), 1)
    (place / "urls").write_text(json.dumps({"url": f"https://{LINES}"}) + "\n" + "{\x1b\n")
    told(hashlake(*collections, "add_bulk", "hats", "urls"), 1)
    told(hashlake(*collections, "restore", "hats", "urls"), 1)
    told(hashlake(*collections, "stats", LINES), 1)
    told(hashlake(*collections, "remove", "hats", LINES), 1)
    told(hashlake(*collections, "remove", "shoes", BAD))
