"""The listing is read as people's editors and systems write it, and what it cannot spell is kept for the report."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources.errors import ListingError
from sources.listing import Listing


def listing_of(folder: Path, content: bytes) -> Listing:
    path = folder / "database_info.txt"
    path.write_bytes(content)
    return Listing(path)


@pytest.mark.parametrize(
    "content",
    [
        b"data/a.jpg\ndata/b.jpg\n",
        b"data/a.jpg\ndata/b.jpg",
        b"data/a.jpg\r\ndata/b.jpg\r\n",
        b"data/a.jpg\r\ndata/b.jpg",
        b"\n\ndata/a.jpg\n\r\n\ndata/b.jpg\n\n",
    ],
    ids=["plain", "no last newline", "windows", "windows, no last newline", "empty lines"],
)
def test_two_images_whatever_the_line_ends(tmp_path: Path, content: bytes) -> None:
    listing = listing_of(tmp_path, content)
    assert list(listing.names()) == ["data/a.jpg", "data/b.jpg"]
    assert listing.count == 2


def test_spaces_belong_to_the_name(tmp_path: Path) -> None:
    assert list(listing_of(tmp_path, b" a .jpg \n\tb.jpg\n").names()) == [" a .jpg ", "\tb.jpg"]


def test_a_name_that_is_not_utf8_keeps_its_bytes(tmp_path: Path) -> None:
    names = list(listing_of(tmp_path, "été.jpg\n".encode() + b"\xe9t\xe9.jpg\n").names())
    assert names[0] == "été.jpg"
    assert names[1].encode("utf-8", "surrogateescape") == b"\xe9t\xe9.jpg"


def test_no_other_character_ends_a_line(tmp_path: Path) -> None:
    """str.splitlines would break at each of these."""
    name = "a\x0b\x0c\x1c\x85\u2028\rb.jpg"
    assert list(listing_of(tmp_path, f"{name}\n".encode()).names()) == [name]


@pytest.mark.parametrize(("start", "expected"), [(0, ["a", "b", "c"]), (1, ["b", "c"]), (3, []), (9, [])])
def test_reading_starts_at_an_image_and_empty_lines_do_not_count(
    tmp_path: Path, start: int, expected: list[str]
) -> None:
    assert list(listing_of(tmp_path, b"\na\n\n\nb\nc\n").names(start)) == expected


ENCODINGS = ["utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"]


@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["unix", "windows"])
@pytest.mark.parametrize("mark", ["\ufeff", ""], ids=["with a byte-order mark", "without"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_listing_in_another_encoding_is_read_by_its_first_bytes(
    tmp_path: Path, encoding: str, mark: str, end: str
) -> None:
    """PowerShell writes UTF-16 with ``dir -Name > database_info.txt``."""
    names = ["data/a.jpg", "data/été-日本-👗.jpg", "data/\u0a0d\u0a0a.jpg", "data/z.jpg"]
    listing = listing_of(tmp_path, (mark + "".join(name + end for name in names)).encode(encoding))
    assert list(listing.names()) == names
    assert list(listing.names(2)) == names[2:]
    assert listing.count == 4
    assert listing.state == listing_of(tmp_path, "".join(name + end for name in names).encode()).state


@pytest.mark.parametrize(
    "content", [b"\xff\xfea\0b", b"\xff\xfe\x00\xd8a\0", b"\xff\xfe\0\0a"], ids=["cut short", "half a pair", "utf-32"]
)
def test_a_listing_that_isnt_in_the_encoding_that_it_begins_with_is_named(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ListingError, match=r"database_info.txt begins like text in UTF-(16|32)-LE and isn't: "):
        listing_of(tmp_path, content)


def test_an_empty_listing_has_no_image(tmp_path: Path) -> None:
    listing = listing_of(tmp_path, b"\n\r\n")
    assert listing.count == 0
    assert list(listing.names()) == []


def test_the_checksum_tells_listings_apart(tmp_path: Path) -> None:
    first = listing_of(tmp_path, b"a\nb\n").state
    assert listing_of(tmp_path, b"a\nb\n").state == first
    assert listing_of(tmp_path, b"b\na\n").state != first


@pytest.mark.parametrize("name", ["missing.txt", "."], ids=["missing", "a folder"])
def test_a_listing_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(ListingError, match="cannot be read") as refused:
        Listing(tmp_path / name)
    assert str(tmp_path / name) in str(refused.value)


@given(st.lists(st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), min_size=1)), st.data())
def test_every_name_without_a_line_break_survives(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], data: st.DataObject
) -> None:
    listing = listing_of(tmp_path_factory.mktemp("listing"), "".join(f"{name}\n" for name in names).encode())
    start = data.draw(st.integers(0, len(names)))
    assert listing.count == len(names)
    assert list(listing.names(start)) == names[start:]
