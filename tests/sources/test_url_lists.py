"""Lists of URLs with metadata, in every format, and rows that are wrong."""

import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from contract.registry import NotRegistered
from sources.errors import ListingError
from sources.registry import open_source
from sources.url_lists import listed
from tests.fakes import code_bytes, png_of, write_grid_model
from tests.hashlake.command import hashlake
from tests.indexer.stored import codes_by_path, skipped_of
from tests.sources.fetching.picture_site import PictureSite

ROWS = [{"url": "http://e.org/a.jpg", "caption": "a, «b»", "width": 7}, {"url": "http://e.org/é.jpg", "caption": None}]
NAMES = ["http://e.org/a.jpg", "http://e.org/%C3%A9.jpg"]


def write(path: Path) -> Path:
    match path.suffix:
        case ".parquet":
            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), path)
        case ".csv":
            path.write_text('url,caption,width\nhttp://e.org/a.jpg,"a, «b»",7\nhttp://e.org/é.jpg,,\n')
        case ".tsv":
            path.write_text("URL\tcaption\twidth\nhttp://e.org/a.jpg\ta, «b»\t7\nhttp://e.org/é.jpg\t\t\n")
        case _:
            path.write_text("".join(json.dumps(row) + "\n\n" for row in ROWS))
    return path


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.ndjson", "a.parquet"])
def test_a_row_is_a_name_and_what_is_known_of_it(tmp_path: Path, name: str) -> None:
    first, second = listed(write(tmp_path / name))
    assert [first.name, second.name] == NAMES
    known = json.loads(first.metadata or "")
    assert (known["caption"], int(known["width"])) == ("a, «b»", 7)
    assert not any(json.loads(second.metadata or "{}").values())
    with open_source(f"urls:{tmp_path / name}") as source:
        assert (source.count, [item.name for item in source.items(1)]) == (2, NAMES[1:])
        assert str(source) == str(tmp_path / name)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32-be"])
@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl"])
def test_a_list_in_another_encoding(tmp_path: Path, name: str, encoding: str) -> None:
    text = write(tmp_path / name).read_text()
    (tmp_path / name).write_bytes(text.replace("\n", "\r\n").encode(encoding))
    assert [item.name for item in listed(tmp_path / name)] == NAMES


def test_halves_of_characters(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(
        '{"url": "http://e.org/a", "caption": "\\ud800!"}\n{"url": "http://e.org/\\ud800"}\n'
    )
    rows = listed(tmp_path / "a.jsonl")
    assert next(rows).metadata == '{"caption": "?!"}'
    with pytest.raises(ListingError, match="row 2: the url has half a character in it"):
        next(rows)


def test_lines_as_bulk_additions_have_them(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('"http://e.org/a"\n{"url": "http://e.org/b", "metadata": {"c": 1}}\n')
    assert [(item.name, item.metadata) for item in listed(tmp_path / "a.jsonl")] == [
        ("http://e.org/a", None),
        ("http://e.org/b", '{"c": 1}'),
    ]


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("a.jsonl", '{"url": "http://e.org/a"}\n{"link": 1}\n', "row 2: there is no url"),
        ("a.jsonl", '{"url": "http://e.org/a"}\n\n{"url"\n', "line 3: it is no JSON"),
        ("a.csv", "link\nhttp://e.org/a\n", "row 1: there is no url"),
        ("a.jsonl", '{"url": "http://e.org/a", "x": NaN}\n', "row 1: Out of range float"),
        ("a.parquet", "PAR1 and so on", "is no Parquet file: "),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, name: str, text: str, reason: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ListingError, match=reason), open_source(f"urls:{tmp_path / name}"):
        pass


def test_a_list_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ListingError, match=r"nothing\.csv cannot be read: No such file"):
        list(listed(tmp_path / "nothing.csv"))


def test_without_its_library_parquet_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(NotRegistered, match=r"pip install 'hashlake\[parquet\]'"):
        list(listed(tmp_path / "a.parquet"))


def test_what_a_list_knows_is_indexed_and_kept_up_to_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HASHLAKE_FETCH_ALLOW", "127.0.0.0/8")
    model = write_grid_model(tmp_path / "grid.pt")
    with PictureSite() as site:
        good, missing = site.put("/a.png", png_of(7)), site.url("/b.png")
        run = ["index", "--source", f"urls:{tmp_path / 'list.jsonl'}", "--model_path", model]
        run += ["--index_store", tmp_path / "store", "--new_index_database_version"]
        for version, caption in (("1", "one"), ("2", "two")):
            rows = [{"url": good, "caption": caption}, {"url": missing}]
            (tmp_path / "list.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
            answer = hashlake(*run, version, *(["--base_version", "1"] if version == "2" else []))
            assert answer.status == 0, answer.err
            assert codes_by_path(tmp_path / "store" / version) == {good: code_bytes(7)}
            assert skipped_of(tmp_path / "store" / version) == [(missing, "127.0.0.1 answers with status 404")]
            assert metadata_of(tmp_path / "store" / version) == {"caption": caption}


def metadata_of(version: Path) -> object:
    with closing(sqlite3.connect(version / "images.db")) as table:
        return json.loads(table.execute("SELECT metadata FROM images").fetchone()[0])
