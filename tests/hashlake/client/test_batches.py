"""Arrays are bounded in items and in bytes, and together hold everything in its order."""

import json
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from hashlake.client.batches import batches
from hashlake.client.json_text import encode


@given(st.lists(st.text(max_size=20)), st.integers(1, 5), st.integers(1, 60))
def test_everything_in_its_order_within_the_bounds(items: list[str], most: int, most_bytes: int) -> None:
    found = list(batches(items, most, most_bytes))
    assert [item for _, body in found for item in json.loads(body)] == items
    for number, body in found:
        assert number == len(json.loads(body)) <= most
        assert len(body) <= most_bytes or number == 1


@given(st.lists(st.text(max_size=20)), st.integers(1, 60))
def test_no_array_would_have_had_room_for_the_next_item(items: list[str], most_bytes: int) -> None:
    found = [body for _, body in batches(items, 1000, most_bytes)]
    for body, following in pairwise(found):
        assert len(body) + 1 + len(encode(json.loads(following)[0])) > most_bytes


def test_items_are_taken_a_batch_at_a_time() -> None:
    """One more than the batch has, to know that it is full."""
    items = iter(range(10))
    assert next(batches(items, 3)) == (3, b"[0,1,2]")
    assert next(items) == 4
