"""Amounts read as people say them."""

import pytest

from contract.amounts import bytes_beyond, pixels, size


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0 bytes"), (1023, "1,023 bytes"), (1024, "1.0 KiB"), (41_943_040, "40.0 MiB"), (3 * 2**40, "3.0 TiB")],
)
def test_sizes(count: int, shown: str) -> None:
    assert size(count) == shown


@pytest.mark.parametrize(("count", "shown"), [(999_999, "999,999 pixels"), (89_478_485, "89.5 megapixels")])
def test_pixels(count: int, shown: str) -> None:
    assert pixels(count) == shown


def test_more_than_there_may_be() -> None:
    assert bytes_beyond(41_943_040, 33_554_432) == "40.0 MiB; the limit is 32.0 MiB"
    assert bytes_beyond(33_554_433, 33_554_432) == "33,554,433 bytes; the limit is 33,554,432"
