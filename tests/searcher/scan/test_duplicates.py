"""Pairs and groups are those that counting every bit of every pair finds, however the search goes about it."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from searcher.scan import duplicates, neighbours
from searcher.scan.duplicates import Pairs, groups, pairs
from tests.searcher.scan import plain_neighbours
from tests.searcher.scan.oracle import Codes, bits_apart, far_from_zero, near, random_codes
from tests.searcher.versions.versions_by_hand import as_codes

REPOSITORY = Path(__file__).parents[3]

#: Bytes of codes: parts of a word, a word, some words, and the widest there are.
WIDTHS = [1, 2, 3, 5, 8, 9, 16, 33, 128]

#: Every way to find pairs.
Way = Callable[[Codes, int], Iterator[tuple[int, Any]]]
WAYS: dict[str, Way] = {
    "tables": neighbours.by_tables,
    "scan": neighbours.by_scan,
    "plain": plain_neighbours.near_pairs,
}

Triple = tuple[int, int, int]


def right_pairs(codes: Codes, radius: int) -> list[Triple]:
    found = []
    for first, code in enumerate(codes):
        distances = bits_apart(codes[first + 1 :], code)
        found += [(first, first + 1 + at, int(distances[at])) for at in np.flatnonzero(distances <= radius).tolist()]
    return found


def right_groups(codes: Codes, radius: int) -> list[tuple[list[int], list[int]]]:
    """By going through the codes in order: each is a copy of the nearest one that is kept, or is kept itself."""
    kept: dict[int, list[int]] = {}  # place → itself and its copies
    seen: dict[bytes, int] = {}
    for place, code in enumerate(codes):
        if code.tobytes() not in seen:
            distances = bits_apart(codes[list(kept)], code)
            copy = len(kept) > 0 and distances.min() <= radius
            seen[code.tobytes()] = list(kept)[int(distances.argmin())] if copy else place
        kept.setdefault(seen[code.tobytes()], []).append(place)
    return [(group, bits_apart(codes[group], codes[first]).tolist()) for first, group in kept.items() if len(group) > 1]


def listed(found: Iterator[Pairs]) -> list[Triple]:
    triples: list[Triple] = []
    for each in found:
        assert (each.first.dtype, each.second.dtype, each.distances.dtype) == (np.int64, np.int64, np.int32)
        assert len(each.first) == len(each.second) == len(each.distances) > 0
        triples += zip(each.first.tolist(), each.second.tolist(), each.distances.tolist(), strict=True)
    return triples


def grouped(codes: Codes, radius: int) -> list[tuple[list[int], list[int]]]:
    found = list(groups(codes, radius))
    assert all((each.positions.dtype, each.distances.dtype) == (np.int64, np.int32) for each in found)
    return [(each.positions.tolist(), each.distances.tolist()) for each in found]


def ways_for(width: int) -> list[str]:
    return [name for name in WAYS if name != "tables" or width <= 8]


@pytest.fixture
def go(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Says how pairs and groups are searched, whatever would be fastest."""

    def choose(way: str) -> None:
        engine: ModuleType = plain_neighbours if way == "plain" else neighbours
        for function in ("near_pairs", "keep"):
            monkeypatch.setattr(duplicates, function, getattr(engine, function))
        monkeypatch.setattr(neighbours, "tables_pay_off", lambda codes, radius: way == "tables")

    return choose


@st.composite
def collections(draw: st.DrawFn) -> tuple[Codes, int]:
    """Codes and a radius: some far apart, some near, many equal, in any order."""
    width = draw(st.sampled_from(WIDTHS))
    count = draw(st.sampled_from([0, 1, 2, 3, 31, 32, 33, 100, 129, 300]))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    centres = random_codes(random, draw(st.integers(1, 20)), width)
    codes = near(random, centres[random.integers(0, len(centres), count)], draw(st.integers(0, 6)))
    copies = draw(st.floats(0, 1))
    if count:
        codes = np.where(random.random((count, 1)) < copies, codes[random.integers(0, count, count) // 7], codes)
    bits = 8 * width
    return codes, draw(st.sampled_from([0, 1, 2, 3, 4, 5, 8, min(13, bits), bits // 2, bits - 1, bits]))


class TestEveryWay:
    @settings(max_examples=200)
    @given(given=collections())
    def test_pairs_are_those_that_differ_in_so_few_bits(self, given: tuple[Codes, int]) -> None:
        codes, radius = given
        expected = right_pairs(codes, radius)
        assert listed(pairs(codes, radius)) == expected
        for name in ways_for(codes.shape[1]):
            if name == "tables" and radius > 8:  # thousands of buckets to open for each code
                continue
            found = [
                ((pair >> 43) + start, pair >> 11 & 0xFFFFFFFF, pair & 0x7FF)
                for start, part in WAYS[name](codes, radius)
                for pair in part.tolist()
            ]
            assert sorted(found) == expected, name

    @settings(max_examples=100)
    @given(given=collections())
    def test_groups_are_what_is_kept_and_its_copies(self, given: tuple[Codes, int]) -> None:
        codes, radius = given
        assert grouped(codes, radius) == right_groups(codes, radius)

    @pytest.mark.parametrize("way", WAYS)
    def test_groups_are_the_same_each_way(self, way: str, go: Callable[[str], None]) -> None:
        go(way)
        random = np.random.default_rng(0)
        for width in (1, 3, 8):
            codes = near(random, random_codes(random, 30, width).repeat(9, axis=0), 3)
            random.shuffle(codes)
            for radius in (0, 1, 2, 3, 5):
                assert grouped(codes, radius) == right_groups(codes, radius)

    def test_by_hand(self) -> None:
        codes = as_codes(0x0000, 0xFF00, 0x0001, 0xFF00, 0x0007, 0xFF03, 0x5555)
        assert listed(pairs(codes, 2)) == [(0, 2, 1), (1, 3, 0), (1, 5, 2), (2, 4, 2), (3, 5, 2)]
        # The fifth is near to the third, which is a copy of the first: it is kept itself.
        assert grouped(codes, 2) == [([0, 2], [0, 1]), ([1, 3, 5], [0, 0, 2])]
        assert grouped(as_codes(0x0000, 0x000F, 0x0007, 0x0007), 3) == [([1, 2, 3], [0, 1, 1])], "the nearest kept one"
        assert grouped(codes, 0) == [([1, 3], [0, 0])]
        assert grouped(codes, 16) == [([0, 1, 2, 3, 4, 5, 6], [0, 8, 1, 8, 3, 10, 8])]

    @pytest.mark.parametrize("width", WIDTHS)
    def test_the_farthest_pair_there_can_be(self, width: int) -> None:
        codes = np.array([[0x00] * width, [0xFF] * width], np.uint8)
        assert listed(pairs(codes, 8 * width - 1)) == []
        for radius in (8 * width, 8 * width + 1, 1 << 70):
            assert listed(pairs(codes, radius)) == [(0, 1, 8 * width)]
            assert grouped(codes, radius) == [([0, 1], [0, 8 * width])]


class TestMany:
    @pytest.mark.parametrize("way", ["tables", "scan"])
    def test_thousands_of_codes_in_clusters(self, way: str, go: Callable[[str], None]) -> None:
        go(way)
        random = np.random.default_rng(0)
        codes = near(random, random_codes(random, 150, 8)[random.integers(0, 150, 4500)], 5)
        for radius in (0, 4, 5, 10):
            assert listed(pairs(codes, radius)) == right_pairs(codes, radius)

    def test_two_codes_that_differ_in_all_substrings_but_one(self, go: Callable[[str], None]) -> None:
        """Whichever table it is that leads from one to the other."""
        go("tables")
        for codes in (far_from_zero(200, 4, 1), far_from_zero(200, 5, 0)):
            zero = np.zeros((1, 8), np.uint8)
            for radius in range(3, 9):
                assert listed(pairs(np.concatenate([codes, zero]), radius)) == right_pairs(
                    np.concatenate([codes, zero]), radius
                )

    @pytest.mark.parametrize("way", ["tables", "scan"])
    def test_a_million_pairs_come_in_parts(self, way: str, go: Callable[[str], None]) -> None:
        go(way)
        codes = np.repeat(as_codes(0x1234), 2500, axis=0)
        parts = list(pairs(codes, 0))
        assert len(parts) > 2
        assert max(len(part.first) for part in parts) < (1 << 20) + 2500
        first, second = np.triu_indices(2500, 1)
        assert np.array_equal(np.concatenate([part.first for part in parts]), first)
        assert np.array_equal(np.concatenate([part.second for part in parts]), second)
        assert not any(part.distances.any() for part in parts)

    @pytest.mark.parametrize("way", WAYS)
    def test_copies_are_one_code_for_groups(
        self, way: str, go: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        go(way)
        compared, near_pairs = [], duplicates.near_pairs

        def counted(codes: Codes, radius: int) -> Iterator[tuple[int, Any]]:
            for start, found in near_pairs(codes, radius):
                compared.append(len(found))
                yield start, found

        monkeypatch.setattr(duplicates, "near_pairs", counted)
        random = np.random.default_rng(0)
        codes = as_codes(0x0000, 0x0001, 0xFF00)[random.integers(0, 3, 50_000)]
        same, other = list(groups(codes, 1))
        assert sum(compared) == 1
        for group in (same, other):
            chosen = np.isin(codes[:, 0], codes[group.positions[0], 0])
            assert np.array_equal(group.positions, np.flatnonzero(chosen))
            assert np.array_equal(group.distances, bits_apart(codes[chosen], codes[group.positions[0]]))


class TestChoice:
    """The tables where they open few buckets, the scan elsewhere."""

    @pytest.mark.parametrize(
        ("count", "width", "radius", "tables"),
        [
            (100_000, 8, 0, True),
            (100_000, 8, 4, True),
            (100_000, 8, 20, False),  # nearly every bucket
            (100_000, 8, 64, False),
            (500, 8, 4, False),  # few codes
            (100_000, 16, 0, False),  # wide ones
            (0, 8, 0, False),
        ],
    )
    def test_by_expected_cost(self, count: int, width: int, radius: int, tables: bool) -> None:
        codes = random_codes(np.random.default_rng(0), count, width)
        assert neighbours.tables_pay_off(codes, radius) is tables

    def test_buckets_that_hold_nearly_all_codes_are_no_help(self) -> None:
        codes = np.zeros((100_000, 8), np.uint8)
        assert not neighbours.tables_pay_off(codes, 8)


class TestRefusals:
    @pytest.mark.parametrize("search", [pairs, groups])
    def test_before_anything_is_searched(self, search: Callable[[Any, int], object]) -> None:
        with pytest.raises(ValueError, match="max_distance must be 0 or more, and is -1"):
            search(np.zeros((2, 8), np.uint8), -1)
        for codes in (
            np.zeros((2, 8), np.int8),
            np.zeros(8, np.uint8),
            np.zeros((2, 0), np.uint8),
            np.zeros((2, 129), np.uint8),
        ):
            with pytest.raises(ValueError, match=r"codes must be uint8 \(n, 1 to 128\), and are u?int8 \("):
                search(codes, 0)


CHECKED = """
import numpy as np
from searcher.scan import neighbours
from tests.searcher.scan.oracle import near, random_codes
from tests.searcher.scan.test_duplicates import right_pairs

random = np.random.default_rng(0)
for width in (1, 8, 16):
    for count in (1, 31, 32, 33, 127, 128, 129, 2500):
        codes = near(random, random_codes(random, 1, width).repeat(count, axis=0), 1)
        for way in (neighbours.by_tables, neighbours.by_scan)[width > 8 :]:
            assert sum(len(found) for _, found in way(codes, 2)) == len(right_pairs(codes, 2))
kept, nearest = np.arange(2500), np.full(2500, 2048)
for first, found in neighbours.by_scan(codes, 2):
    neighbours.keep(kept, nearest, first, np.sort(found))
"""


def test_nothing_is_written_beyond_the_room_for_it(tmp_path: Path) -> None:
    """With numba's checks of every index, which it has only where it compiles anew."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", CHECKED],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        env=os.environ | {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path)},
    )
    assert (done.returncode, done.stderr) == (0, "")
