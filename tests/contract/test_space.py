"""A space says how its vectors lie in arrays and files, and refuses what could not lie there."""

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from contract.space import Space, row_of

CODE = Space(name="code", width=16)
COLOUR = Space(name="colour", kind="float16", width=3, metric="cosine")


def test_widths_in_numbers_and_bytes() -> None:
    assert (CODE.columns, CODE.row_bytes, CODE.dtype) == (2, 2, np.uint8)
    assert (COLOUR.columns, COLOUR.row_bytes, COLOUR.dtype) == (3, 6, np.float16)


@pytest.mark.parametrize("space", [CODE, COLOUR], ids=["binary", "float16"])
@pytest.mark.parametrize("count", [0, 1, 3])
def test_rows_to_an_array_and_back(count: int, space: Space) -> None:
    rows = [bytes(range(place, place + space.row_bytes)) for place in range(count)]
    array = space.array(rows)
    assert (array.dtype, array.shape) == (space.dtype, (count, space.columns))
    assert [row_of({"x": array}, row) for row in range(count)] == [{"x": row} for row in rows]
    assert space.empty(count).shape == array.shape


def test_a_row_of_another_width() -> None:
    with pytest.raises(ValueError, match="a vector of code has 2 bytes"):
        CODE.array([b"\0\0", b"\0"])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"name": "Code"}, "name"),
        ({"name": "a b"}, "name"),
        ({"name": "a.b"}, "name"),
        ({"name": ""}, "name"),
        ({"name": "a\n"}, "name"),
        ({"name": "x" * 33}, "name"),
        ({"name": "index"}, "a space cannot be called index"),
        ({"name": "details"}, "a space cannot be called details"),
        ({"name": "multi_index_rows"}, "a space cannot be called multi_index_rows"),
        ({"width": 12}, "a multiple of 8 bits, at most 1024, and not 12"),
        ({"width": 1032}, "a multiple of 8 bits, at most 1024, and not 1032"),
        ({"width": 0}, "width"),
        ({"metric": "cosine"}, "binary vectors aren't compared by cosine"),
        ({"kind": "float16"}, "float16 vectors aren't compared by hamming"),
        ({"name": "code", "kind": "float16", "metric": "cosine"}, "code is a binary space"),
        ({"kind": "float64"}, "kind"),
    ],
)
def test_what_is_no_space(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Space(**{"name": "green", "width": 16, **wrong})


def test_rows_of_other_widths_are_refused_even_where_they_add_up() -> None:
    space = Space(name="code", width=16)
    assert space.array([b"ab", b"cd"]).tolist() == [[97, 98], [99, 100]]
    with pytest.raises(ValueError, match="a vector of code has 2 bytes"):
        space.array([b"a", b"bcd"])
