"""One name per image: spellings of URLs that are one, that are not, and names that are no URLs."""

from contextlib import suppress

import ada_url
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from contract.image_names import MAX_NAME, is_url, normalised

NAME = "http://example.org/%C3%A9/a.jpg"


@pytest.mark.parametrize(
    "spelling",
    [
        NAME,
        "HTTP://example.org/é/a.jpg",
        "http://EXAMPLE.Org:80/%c3%a9/a.jpg",
        "http://example.org:080/é/a.jpg",
        "http://example.org/é/a.jpg?",
        "http://example.org/é/a.jpg#top",
        "http://example.org/é/a.jpg?#",
        " \t\r\nhttp://example.org/é/a.jpg \n\x00",
        "ht\ttp://example\n.org/é\r/a.jpg",
        "http:\\\\example.org\\é\\a.jpg",
        "http:///example.org/é/a.jpg",
        "http://example.org/b/../é/./a.jpg",
        "http://example.org/b/%2E%2e/é/%2e/a.jpg",
        "http://example.org/%C3%A9/%61%2Ejpg",
        "http://ｅｘａｍｐｌｅ。org/é/a.jpg",
        "http://@example.org/é/a.jpg",
    ],
)
def test_spellings_of_one_url(spelling: str) -> None:
    assert normalised(spelling) == NAME
    assert is_url(spelling)


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("https://example.org", "https://example.org/"),
        ("https://example.org:443/?q", "https://example.org/?q"),
        ("http://bücher.example/", "http://xn--bcher-kva.example/"),
        ("http://[::0:1]:80/", "http://[::1]/"),
        ("http://example.org/a b?c d='é'", "http://example.org/a%20b?c%20d=%27%C3%A9%27"),
        ("http://example.org/%2f%7e%25", "http://example.org/%2F~%25"),
        ("http://example.org/%zz%", "http://example.org/%zz%"),
        ("http://example.org/%%34%31", "http://example.org/%%341"),
    ],
)
def test_normal_forms(spelling: str, name: str) -> None:
    assert normalised(spelling) == name


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://example.org/a", "https://example.org/a"),
        ("http://example.org/a", "http://example.org/A"),
        ("http://example.org/a", "http://example.org/a/"),
        ("http://example.org/a", "http://example.org:8080/a"),
        ("http://example.org/a?b", "http://example.org/a?c"),
        ("http://example.org/a%2Fb", "http://example.org/a/b"),
        ("http://example.org/?a=%26", "http://example.org/?a=&"),
        ("http://example.org/a%20b", "http://example.org/a+b"),
    ],
)
def test_urls_that_differ(one: str, other: str) -> None:
    assert normalised(one) != normalised(other)


@pytest.mark.parametrize(
    "name",
    [
        "data/A b/é.jpg", "http:/a.jpg", "http:a.jpg", "HTTP/a.jpg", "upload:00FF", "ftp://Example.org/", "s3://B/k",
        " a.jpg ", "x.jpg#xywh=1,2,3,4", "a/../b.jpg", "C:\\a.jpg", "",
    ],
)  # fmt: skip
def test_names_that_are_no_urls(name: str) -> None:
    assert normalised(name) == name
    assert not is_url(name)


@pytest.mark.parametrize("name", ["http://", "http://a:b/", "http://exa mple.org/", "http://e.org/\ud800"])
def test_urls_that_are_not_valid(name: str) -> None:
    """Whatever downloads them says what is wrong."""
    assert normalised(name) == name
    assert is_url(name)


def test_a_name_that_would_be_too_long() -> None:
    name = "HTTP://example.org/" + "é" * ((MAX_NAME - 19) // 6)
    assert len(normalised(name)) <= MAX_NAME and normalised(name) != name
    assert normalised(name + "é") == name + "é"


@given(st.text("http:/\\.%0123456789abcDEF?#@é \t", max_size=30).map("http://e.org/".__add__))
def test_a_normal_form_is_its_own(url: str) -> None:
    assert normalised(normalised(url)) == normalised(url)


_LABELS = ["a", "example", "xn--bcher-kva", "xn--", "0x7f", "127", "a--b", "-a", "a_b", "A", "é", "1a", ""]
_PATHS = ["a", "A.jpg", ".", "..", ".a", "a..", "%41", "%2e", "~;=@:,", "a'b", "a|b", "a^b", "a{b", "é", " ", ""]

_URLS = st.tuples(
    st.sampled_from(["http://", "https://", "HTTP://"]),
    st.lists(st.sampled_from(_LABELS), min_size=1, max_size=4).map(".".join),
    st.sampled_from(["", ":80", ":443", ":8080", ":08080", ":99999", ":0"]),
    st.lists(st.sampled_from(_PATHS), max_size=4).map(lambda parts: "".join(f"/{part}" for part in parts)),
    st.sampled_from(["", "?", "?a=b&c/d?e", "?'", "?é", "#", "#a", "?a#b"]),
).map("".join)


@given(_URLS)
def test_a_valid_url_is_its_own_normal_form_only_by_the_standard(url: str) -> None:
    assume(normalised(url) == url)
    with suppress(ValueError):  # not valid
        assert ada_url.URL(url).href == url
