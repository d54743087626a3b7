"""The image table gives every row back as the listing spelled it, and knows what has no row."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from searcher.versions.images import ImageFile, ImageTable
from tests.searcher.versions.versions_by_hand import file_of

AWKWARD = (
    "data/abc.com/69_abc_com.jpg",
    "with space.jpg",
    " leading and trailing ",
    'it\'s "quoted".jpg',
    "-rf",
    "--help.png",
    "größe/Übergröße.jpg",
    "gro\u0308ße/U\u0308bergröße.jpg",  # the same to the eye, another file to Linux
    "画像/写真 🐞.png",
    "100%_wild*card?.jpg",
    "back\\slash.jpg",
    "tab\tname.jpg",
    "UPPER.JPG",
    "upper.jpg",
    "'; DROP TABLE images; --",
    "x" * 4096,
)


def table_of(path: Path, *names: str) -> Path:
    with ImageTable(path, writable=True) as table:
        table.begin()
        for row, name in enumerate(names):
            assert table.add(row, file_of(name))
        table.commit()
    return path


class TestPaths:
    def test_every_name_comes_back_as_it_was(self, tmp_path: Path) -> None:
        with ImageTable(table_of(tmp_path / "images.db", *AWKWARD)) as table:
            assert table.paths(list(range(len(AWKWARD)))) == list(AWKWARD)

    @settings(deadline=None, max_examples=60)
    @given(
        names=st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1, unique=True),
        data=st.data(),
    )
    def test_any_rows_in_any_order(self, names: list[str], data: st.DataObject) -> None:
        rows = data.draw(st.lists(st.integers(0, len(names) - 1)))
        table = ImageTable(Path(":memory:"), writable=True)
        for row, name in enumerate(names):
            assert table.add(row, file_of(name))
        assert table.paths(rows) == [names[row] for row in rows]
        assert [found[0] for name in names if (found := table.find(name))] == list(range(len(names)))
        table.close()

    def test_a_row_asked_for_twice_is_given_twice(self, tmp_path: Path) -> None:
        with ImageTable(table_of(tmp_path / "images.db", "a", "b", "c")) as table:
            assert table.paths([2, 0, 2]) == ["c", "a", "c"]
            assert table.paths([]) == []

    @pytest.mark.parametrize("row", [3, -1, 2**40])
    def test_a_row_that_is_not_there(self, row: int, tmp_path: Path) -> None:
        with ImageTable(table_of(tmp_path / "images.db", "a", "b", "c")) as table, pytest.raises(KeyError):
            table.paths([0, row])

    def test_a_gap_is_no_row(self, tmp_path: Path) -> None:
        with ImageTable(tmp_path / "images.db", writable=True) as table:
            for row in (0, 1, 3):
                table.add(row, file_of(str(row)))
            assert table.paths([3, 0]) == ["3", "0"]
            with pytest.raises(KeyError):
                table.paths([2])

    def test_thousands_of_rows_at_once(self, tmp_path: Path) -> None:
        names = [f"{number}.jpg" for number in range(3000)]
        with ImageTable(table_of(tmp_path / "images.db", *names)) as table:
            assert table.paths(list(range(2999, -1, -1))) == names[::-1]


class TestRows:
    def test_the_length_is_the_number_of_rows(self, tmp_path: Path) -> None:
        with (
            ImageTable(table_of(tmp_path / "none.db")) as none,
            ImageTable(table_of(tmp_path / "a.db", "a", "b")) as two,
        ):
            assert (len(none), len(two)) == (0, 2)

    def test_a_file_is_found_with_all_that_is_known_of_it(self, tmp_path: Path) -> None:
        file = ImageFile("ä.jpg", size=2**40, mtime_ns=2**62, digest=b"\x00\xff" * 8)
        with ImageTable(tmp_path / "images.db", writable=True) as table:
            table.add(5, file)
        with ImageTable(tmp_path / "images.db") as table:
            assert table.find("ä.jpg") == (5, file)
            assert table.find("Ä.jpg") is None

    def test_the_file_on_a_row(self, tmp_path: Path) -> None:
        with ImageTable(table_of(tmp_path / "images.db", *AWKWARD)) as table:
            assert [table.file(row) for row in range(len(AWKWARD))] == [file_of(name) for name in AWKWARD]
            assert table.file(len(AWKWARD)) is None and table.file(-1) is None

    def test_a_path_has_one_row_only(self, tmp_path: Path) -> None:
        with ImageTable(tmp_path / "images.db", writable=True) as table:
            assert table.add(0, file_of("a"))
            assert not table.add(1, file_of("a"))
            assert len(table) == 1 and table.find("a") == (0, file_of("a"))

    def test_rows_that_were_not_committed_are_gone(self, tmp_path: Path) -> None:
        with ImageTable(table_of(tmp_path / "images.db", "a"), writable=True) as table:
            table.begin()
            table.add(1, file_of("b"))
            assert len(table) == 2
        with ImageTable(tmp_path / "images.db") as table:
            assert len(table) == 1


class TestSkipped:
    def test_reasons_are_kept_in_order(self, tmp_path: Path) -> None:
        with ImageTable(tmp_path / "images.db", writable=True) as table:
            for path, reason in (("z", "empty"), ("a", "truncated"), ("a", "listed twice")):
                table.skip(path, reason)
        with ImageTable(tmp_path / "images.db") as table:
            assert table.skipped_count() == 3
            assert table.skipped(10) == [("z", "empty"), ("a", "truncated"), ("a", "listed twice")]
            assert table.skipped(1) == [("z", "empty")]
            assert table.skipped(2, 1) == [("a", "truncated"), ("a", "listed twice")]
            assert table.skipped(2, 3) == []

    def test_a_skipped_path_has_no_row(self, tmp_path: Path) -> None:
        with ImageTable(tmp_path / "images.db", writable=True) as table:
            table.skip("a", "empty")
            assert len(table) == 0 and table.find("a") is None


class TestBuildFacts:
    def test_the_last_word_counts(self, tmp_path: Path) -> None:
        with ImageTable(tmp_path / "images.db", writable=True) as table:
            assert table.build_facts() == {}
            table.note([("lines_done", 1), ("model", "grid")])
            table.note([("lines_done", 2)])
        with ImageTable(tmp_path / "images.db") as table:
            assert table.build_facts() == {"lines_done": 2, "model": "grid"}


class TestPublishedTable:
    def test_it_cannot_be_written_to(self, tmp_path: Path) -> None:
        path = table_of(tmp_path / "images.db", "a")
        before = path.read_bytes()
        with ImageTable(path) as table, pytest.raises(sqlite3.OperationalError, match="readonly"):
            table.add(1, file_of("b"))
        assert path.read_bytes() == before

    def test_reading_leaves_no_file_behind(self, tmp_path: Path) -> None:
        path = table_of(tmp_path / "images.db", "a")
        with ImageTable(path) as table:
            table.paths([0])
            assert [each.name for each in tmp_path.iterdir()] == ["images.db"]

    def test_it_is_read_where_nothing_may_be_written(self, tmp_path: Path) -> None:
        path = table_of(tmp_path / "images.db", "a")
        path.chmod(0o444)
        tmp_path.chmod(0o555)
        try:
            with ImageTable(path) as table:
                assert table.paths([0]) == ["a"]
        finally:
            tmp_path.chmod(0o755)

    @pytest.mark.parametrize("folder", ["with space", "100%", "a?b", "a#b", "größe", "it's", "a&mode=rw"])
    def test_its_folder_may_be_called_anything(self, folder: str, tmp_path: Path) -> None:
        (tmp_path / folder).mkdir()
        with ImageTable(table_of(tmp_path / folder / "images.db", "a")) as table:
            assert table.paths([0]) == ["a"]

    def test_a_relative_path_is_meant_from_the_working_folder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        table_of(tmp_path / "images.db", "a")
        monkeypatch.chdir(tmp_path)
        with ImageTable(Path("images.db")) as table:
            assert table.paths([0]) == ["a"]

    def test_threads_share_it(self, tmp_path: Path) -> None:
        names = [f"{number}.jpg" for number in range(200)]
        with ImageTable(table_of(tmp_path / "images.db", *names)) as table, ThreadPoolExecutor(8) as pool:
            found = list(pool.map(table.find, names))
            paths = list(pool.map(lambda row: table.paths([row]), range(200)))
        assert [each[0] for each in found if each] == list(range(200))
        assert paths == [[name] for name in names]
