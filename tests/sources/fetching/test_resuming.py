"""A download that breaks off goes on where it stopped, from a real server, if the file is still the same."""

import asyncio
from typing import Any

import pytest

from contract.amounts import size
from sources.errors import FetchRefused, OriginFailed
from sources.fetching.fetcher import Fetched, Fetcher, FetchLimits
from tests.sources.fetching.test_fetcher import LOOPBACK, PICTURE, Page, Pauses, Site, Turns, page, run, serving

HALF = len(PICTURE) // 2
DATES = {"Last_Modified": "Wed, 21 Oct 2015 07:28:00 GMT", "Date": "Wed, 21 Oct 2015 07:28:01 GMT"}


def half(**headers: str) -> Page:
    """The first half of the picture, and then nothing more."""

    async def broken_off(writer: asyncio.StreamWriter) -> None:
        whole = page(**headers)
        writer.write(whole[: len(whole) - len(PICTURE) + HALF])
        await writer.drain()
        writer.close()

    return broken_off


def rest(start: int = HALF, end: int = len(PICTURE), **headers: str) -> bytes:
    content_range = f"bytes {start}-{end - 1}/{len(PICTURE)}"
    return page(PICTURE[start:end], "206 Partial Content", Content_Range=content_range, **headers)


def fetched(*answers: Page, **limits: Any) -> tuple[Fetched | FetchRefused, list[str]]:
    """What comes of a page that answers so, one after the other, and the ranges that were asked for."""
    site = Site({"/": Turns(*answers)})
    found: list[Fetched | FetchRefused] = []

    async def test() -> None:
        async with serving(site), Fetcher(FetchLimits(LOOPBACK, **limits), Pauses()) as fetcher:
            try:
                found.append(await fetcher.fetch(site.url()))
            except FetchRefused as error:
                found.append(error)

    run(test())
    asked = [[line for line in head.split("\r\n") if "Range" in line] for head in site.requests]
    return found[0], ["; ".join(lines) for lines in asked]


def test_the_rest_is_asked_for_by_its_tag() -> None:
    found, asked = fetched(half(ETag='"a"'), rest(ETag='"a"'))
    assert found == Fetched(PICTURE, '"a"', None)
    assert asked == ["", f'Range: bytes={HALF}-; If-Range: "a"']


def test_the_rest_of_the_rest() -> None:
    async def quarter(writer: asyncio.StreamWriter) -> None:
        whole = rest(ETag='"a"')
        writer.write(whole[: len(whole) - HALF // 2])
        await writer.drain()
        writer.close()

    found, asked = fetched(half(ETag='"a"'), quarter, rest(HALF + HALF // 2, ETag='"a"'))
    assert found == Fetched(PICTURE, '"a"', None)
    assert asked[2] == f'Range: bytes={HALF + HALF // 2}-; If-Range: "a"'


def test_a_time_of_change_will_do_without_a_tag() -> None:
    found, asked = fetched(half(**DATES), rest(**DATES))
    assert isinstance(found, Fetched) and found.data == PICTURE
    assert asked[1] == f"Range: bytes={HALF}-; If-Range: {DATES['Last_Modified']}"


@pytest.mark.parametrize(
    "headers",
    [{}, {"ETag": 'W/"a"'}, {"ETag": 'W/"a"'} | DATES, {"Last_Modified": DATES["Last_Modified"]},
     DATES | {"Date": DATES["Last_Modified"]}, {"ETag": "none"}],
)  # fmt: skip
def test_what_no_server_can_compare_is_sent_again_as_a_whole(headers: dict[str, str]) -> None:
    found, asked = fetched(half(**headers), page(**headers))
    assert isinstance(found, Fetched) and found.data == PICTURE
    assert asked == ["", ""]


def test_a_file_that_has_changed_is_sent_as_a_whole() -> None:
    found, _ = fetched(half(ETag='"a"'), page(b"another", ETag='"b"'))
    assert found == Fetched(b"another", '"b"', None)


@pytest.mark.parametrize(
    "wrong",
    [rest(0), rest(HALF + 1), rest(ETag='"b"'), page(b"x", "206 Partial Content"),
     page(b"x", "206 Partial Content", Content_Range="bytes */9"), page(b"", "416 Range Not Satisfiable")],
)  # fmt: skip
def test_another_part_than_was_asked_for_begins_anew(wrong: bytes) -> None:
    found, asked = fetched(half(ETag='"a"'), wrong, page(ETag='"c"'))
    assert found == Fetched(PICTURE, '"c"', None)
    assert asked[2] == ""


def test_both_parts_together_keep_the_limit() -> None:
    found, _ = fetched(half(ETag='"a"'), rest(ETag='"a"'), bytes=HALF + 1)
    assert str(found) == f"127.0.0.1 sends more than {size(HALF + 1)}"
    found, _ = fetched(half(ETag='"a"'), half(ETag='"a"'), half(ETag='"a"'))
    assert isinstance(found, OriginFailed)
    assert str(found) == "127.0.0.1 broke the connection off, asked 3 times"
