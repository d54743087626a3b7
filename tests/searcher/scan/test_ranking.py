"""Two codes put images in order: by either first, with the other for ties, exactly and over all rows."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from searcher.scan import flat
from searcher.scan.codes import DETAILS_FILE, INDEX_FILE, write_codes
from searcher.scan.question import Ties
from searcher.scan.ranking import Query, Ranked, Ranking, nearest_of
from searcher.scan.search import CodeIndex
from searcher.scan.table_builder import build_tables
from searcher.scan.tables import write_tables
from tests.searcher.scan.oracle import Codes, bits_apart, random_codes
from tests.searcher.scan.plain import PlainScan
from tests.searcher.versions.versions_by_hand import as_codes, as_details
from tests.vectors import query_of

Rankings = dict[str, Ranking]


@pytest.fixture(autouse=True, scope="module")
def _threads_for_few_codes() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flat, "_ROWS_PER_THREAD", 1000)
        yield


def rankings(codes: Codes, details: Codes | None, folder: Path) -> Rankings:
    """Every way to search the same codes: in both modes, on three threads, and in NumPy."""
    write_codes(codes, folder / INDEX_FILE)
    write_tables(build_tables(codes), folder)
    if details is not None:
        write_codes(details, folder / DETAILS_FILE)

    def ranking(**arguments: Any) -> dict[str, CodeIndex]:
        index = CodeIndex.open(folder, count=len(codes), bits=8 * codes.shape[1], **arguments)
        if details is None:
            return {"code": index}
        threads = arguments.get("threads", 1)
        second = CodeIndex.open(folder, count=len(codes), bits=8 * details.shape[1], threads=threads, file=DETAILS_FILE)
        return {"code": index, "detail": second}

    plain = ranking()
    for index in plain.values():
        index.__dict__["_search"] = PlainScan(index.codes)
    return {
        "default": Ranking(ranking()),
        "three threads": Ranking(ranking(threads=3)),
        "unnecessary fast": Ranking(ranking(mode="unnecessary fast")),
        "in NumPy": Ranking(plain),
    }


@pytest.fixture
def opened(tmp_path: Path) -> Callable[[Codes, Codes | None], Rankings]:
    return lambda codes, details=None: rankings(codes, details, tmp_path)


def listed(hits: Ranked) -> tuple[list[int], list[int]]:
    assert hits.of_order.dtype == np.int32 and hits.rows.dtype == np.int64
    return hits.of_order.tolist(), hits.rows.tolist()


def right_answer(codes: Codes, details: Codes, query: Query, allowed: Codes | None) -> tuple[list[int], list[int]]:
    """Every distance counted, and all rows sorted."""
    rows = np.arange(len(codes))
    code, detail = query.vectors["code"], query.vectors.get("detail")
    distances = bits_apart(codes, code)
    seconds = np.zeros_like(distances) if detail is None else bits_apart(details, detail)
    order = np.lexsort((rows, distances, seconds) if query.rank == "detail" else (rows, seconds, distances))
    if query.max_distance is not None:
        order = order[distances[order] <= query.max_distance]
    if allowed is not None:
        order = order[np.unpackbits(allowed, bitorder="little")[order] == 1]
    order = order[: query.top_k]
    return (seconds if query.rank == "detail" else distances)[order].tolist(), order.tolist()


def assert_right(found: Rankings, codes: Codes, details: Codes, queries: list[Query], allowed: Codes | None) -> None:
    expected = [right_answer(codes, details, query, allowed) for query in queries]
    for name, ranking in found.items():
        assert [listed(hits) for hits in ranking.search(queries, allowed)] == expected, name


def test_several_positions_are_one_answer() -> None:
    """The rows nearest to any of the queries, every distance counted."""
    random = np.random.default_rng(0)
    codes, details = random_codes(random, 300, 2), random_codes(random, 300, 1)
    ranking = Ranking({"code": CodeIndex(codes), "detail": CodeIndex(details)})
    asked = list(zip(random_codes(random, 8, 2), random_codes(random, 8, 1), strict=True))
    for rank, top_k, most in itertools.product(("distance", "detail"), (1, 7, 300), (None, 3)):
        queries = [query_of(code, detail, top_k, most, rank) for code, detail in asked]
        keys = []
        for row in range(300):
            apart = [
                (int(bits_apart(codes[[row]], code)[0]), int(bits_apart(details[[row]], detail)[0]))
                for code, detail in asked
            ]
            near = [
                ((far if rank == "distance" else far[::-1]), row, place)
                for place, far in enumerate(apart)
                if most is None or far[0] <= most
            ]
            keys += [min(near)] if near else []
        expected = sorted(keys)[:top_k]
        found, answers = nearest_of(ranking.search(queries), top_k)
        assert found.rows.tolist() == [row for _, row, _ in expected]
        assert answers.tolist() == [place for *_, place in expected]
        assert list(zip(*(each.tolist() for each in found.distances.values()), strict=True)) == [
            key for key, *_ in expected
        ]


#       row      0       1       2       3       4       5
CODES = as_codes(0x0003, 0x0000, 0xFFFF, 0x0001, 0x0000, 0x0000)
DETAILS = as_details(0x01, 0x0F, 0x00, 0xFF, 0x01, 0x0F)
CODE, DETAIL = as_codes(0x0000)[0], as_details(0x00)[0]


class TestOrders:
    @pytest.mark.parametrize(
        ("query", "distances", "rows"),
        [
            (query_of(CODE), [0, 0, 0, 1, 2, 16], [1, 4, 5, 3, 0, 2]),
            (query_of(CODE, DETAIL), [0, 0, 0, 1, 2, 16], [4, 1, 5, 3, 0, 2]),
            (query_of(CODE, DETAIL, top_k=1), [0], [4]),
            (query_of(CODE, DETAIL, top_k=2), [0, 0], [4, 1]),
            (query_of(CODE, DETAIL, max_distance=1), [0, 0, 0, 1], [4, 1, 5, 3]),
            (query_of(CODE, DETAIL, rank="detail"), [0, 1, 1, 4, 4, 8], [2, 4, 0, 1, 5, 3]),
            (query_of(CODE, DETAIL, top_k=2, rank="detail"), [0, 1], [2, 4]),
            (query_of(CODE, DETAIL, top_k=2, max_distance=2, rank="detail"), [1, 1], [4, 0]),
            (query_of(CODE, DETAIL, max_distance=0, rank="detail"), [1, 4, 4], [4, 1, 5]),
            (query_of(CODE, DETAIL, max_distance=16, rank="detail"), [0, 1, 1, 4, 4, 8], [2, 4, 0, 1, 5, 3]),
            (query_of(as_codes(0x00F0)[0], DETAIL, max_distance=2, rank="detail"), [], []),
        ],
        ids=str,
    )
    def test_a_worked_example(
        self, query: Query, distances: list[int], rows: list[int], opened: Callable[..., Rankings]
    ) -> None:
        for name, ranking in opened(CODES, DETAILS).items():
            (hits,) = ranking.search([query])
            assert listed(hits) == (distances, rows), name

    def test_a_batch_of_all_kinds_is_answered_query_by_query(self, opened: Callable[..., Rankings]) -> None:
        queries = [
            query_of(CODE, DETAIL, top_k=2, rank="detail"),
            query_of(CODE, top_k=2),
            query_of(CODE, DETAIL, top_k=2),
            query_of(CODE, DETAIL, top_k=9, max_distance=1, rank="detail"),
            query_of(CODE, top_k=1),
            query_of(CODE, DETAIL, top_k=1, rank="detail"),
        ]
        for name, ranking in opened(CODES, DETAILS).items():
            assert [hits.rows.tolist() for hits in ranking.search(queries)] == (
                [[2, 4], [1, 4], [4, 1], [4, 1, 5, 3], [1], [2]]
            ), name
            assert ranking.search([]) == []

    @pytest.mark.parametrize(
        ("mask", "first", "second"),
        [([1, 1, 1, 1, 0, 1], [1, 5, 3, 0, 2], [2, 0, 1, 5, 3]), ([0, 0, 0, 1, 0, 0], [3], [3]), ([0] * 6, [], [])],
    )
    def test_only_rows_of_the_mask(
        self, mask: list[int], first: list[int], second: list[int], opened: Callable[..., Rankings]
    ) -> None:
        allowed = np.packbits(np.array(mask, bool), bitorder="little")
        queries = [query_of(CODE, DETAIL), query_of(CODE, DETAIL, rank="detail")]
        queries.append(query_of(CODE, DETAIL, max_distance=16, rank="detail"))
        for name, ranking in opened(CODES, DETAILS).items():
            found = [hits.rows.tolist() for hits in ranking.search(queries, allowed)]
            assert found == [first, second, second], name

    def test_no_codes_answer_nothing(self, opened: Callable[..., Rankings]) -> None:
        queries = [query_of(CODE, DETAIL), query_of(CODE, DETAIL, rank="detail")]
        queries.append(query_of(CODE, DETAIL, max_distance=3, rank="detail"))
        for ranking in opened(as_codes(), as_details()).values():
            assert [listed(hits) for hits in ranking.search(queries)] == [([], [])] * 3


class TestManyTies:
    @pytest.mark.parametrize("top_k", [1, 10, 1000, 1700, 5000, 5001])
    def test_thousands_of_rows_with_three_codes(self, top_k: int, opened: Callable[..., Rankings]) -> None:
        random = np.random.default_rng(0)
        codes = random_codes(random, 3, 8)[random.integers(0, 3, 5000)]
        details = random_codes(random, 5000, 32)
        query = query_of(codes[0] ^ 1, details[7], top_k)
        found = opened(codes, details)
        mask = np.packbits(random.random(5000) < 0.1, bitorder="little")
        for allowed in (None, mask):
            batch = [
                query,
                query_of(codes[1], details[8], top_k, 10),
                query_of(codes[2], details[9], top_k, 40, "detail"),
            ]
            assert_right(found, codes, details, batch, allowed)

    def test_the_best_is_the_last_of_thousands(self, opened: Callable[..., Rankings]) -> None:
        codes = np.zeros((20_001, 8), np.uint8)
        details = np.full((20_001, 32), 0xFF, np.uint8)
        details[20_000] = 0
        query = query_of(np.zeros(8, np.uint8), np.zeros(32, np.uint8), top_k=3)
        for name, ranking in opened(codes, details).items():
            assert listed(ranking.search([query])[0]) == ([0, 0, 0], [20_000, 0, 1]), name

    def test_rows_equal_in_both_codes_are_in_their_own_order(self, opened: Callable[..., Rankings]) -> None:
        codes, details = np.zeros((5000, 8), np.uint8), np.zeros((5000, 32), np.uint8)
        for name, ranking in opened(codes, details).items():
            for rank in ("distance", "detail"):
                query = query_of(codes[0], details[0], 20, None, rank)  # type: ignore[arg-type]
                assert listed(ranking.search([query])[0]) == ([0] * 20, list(range(20))), name

    def test_a_batch_whose_histograms_are_too_large_for_one_search(
        self, opened: Callable[..., Rankings], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(flat, "_PLACES", 40_000)
        random = np.random.default_rng(0)
        codes, details = random_codes(random, 600, 8), random_codes(random, 600, 32)
        queries = [query_of(code, detail, 20) for code, detail in zip(codes[:7], details[:7], strict=True)]
        assert_right(opened(codes, details), codes, details, queries, None)


@settings(max_examples=150)
@given(
    widths=st.sampled_from([(1, 3), (8, 32)]),
    count=st.integers(0, 300) | st.sampled_from([255, 256, 257, 2048, 5000]),
    distinct=st.sampled_from([1, 3, 20, 5000]),
    distinct_details=st.sampled_from([1, 3, 5000]),
    top_k=st.lists(st.sampled_from([1, 10, 1000, 6000]) | st.integers(1, 300), min_size=1),
    radii=st.lists(st.none() | st.integers(0, 64), min_size=1),
    ranks=st.lists(st.sampled_from(["distance", "distance", "detail", "no details"]), min_size=1, max_size=6),
    share=st.none() | st.sampled_from([0.0, 0.01, 0.3, 0.9]),
    seed=st.integers(0, 2**32),
)
@example(
    widths=(8, 32),
    count=5000,
    distinct=3,
    distinct_details=5000,
    top_k=[10],
    radii=[None],
    ranks=["distance", "detail"],
    share=None,
    seed=0,
)
def test_every_way_gives_the_right_answers(
    widths: tuple[int, int],
    count: int,
    distinct: int,
    distinct_details: int,
    top_k: list[int],
    radii: list[int | None],
    ranks: list[str],
    share: float | None,
    seed: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    random = np.random.default_rng(seed)
    different, different_details = random_codes(random, distinct, widths[0]), random_codes(random, 5000, widths[1])
    codes = different[random.integers(0, distinct, count)]
    details = different_details[random.integers(0, distinct_details, count)]
    queries = []
    for place, rank in enumerate(ranks):
        code = different[random.integers(0, distinct)] ^ np.uint8(random.integers(0, 2))
        detail = None if rank == "no details" else different_details[random.integers(0, 5000)]
        by: Any = "detail" if rank == "detail" else "distance"
        queries.append(query_of(code, detail, top_k[place % len(top_k)], radii[place % len(radii)], by))
    allowed = None if share is None else np.packbits(random.random(count) < share, bitorder="little")
    found = rankings(codes, details, tmp_path_factory.getbasetemp())
    assert_right(found, codes, details, queries, allowed)


class TestWrongQueries:
    @pytest.fixture
    def ranking(self, opened: Callable[..., Rankings]) -> Ranking:
        return opened(CODES, DETAILS)["default"]

    @pytest.mark.parametrize(
        ("query", "message"),
        [
            (query_of(CODE, rank="detail"), "rank 'detail' needs the space 'detail', which the query lacks"),
            (query_of(CODE, DETAIL, rank="nearest"), "rank must be 'distance' or 'detail', and is 'nearest'"),  # type: ignore[arg-type]
            (query_of(DETAIL), r"a query's code must be uint8 \(2,\), and is uint8 \(1,\)"),
            (query_of(CODE[None]), r"a query's code must be uint8 \(2,\), and is uint8 \(1, 2\)"),
            (query_of(CODE.astype(np.int64)), r"a query's code must be uint8 \(2,\), and is int64 \(2,\)"),
            (query_of(CODE, CODE), r"a query's detail must be uint8 \(1,\), and is uint8 \(2,\)"),
            (query_of(CODE, CODE, rank="detail"), r"a query's detail must be uint8 \(1,\), and is uint8 \(2,\)"),
            (query_of(DETAIL, DETAIL, rank="detail"), r"a query's code must be uint8 \(2,\)"),
            (query_of(DETAIL, DETAIL, max_distance=1, rank="detail"), r"a query's code must be uint8 \(2,\)"),
            (query_of(CODE, DETAIL, top_k=0), "top_k must be 1 or more"),
            (query_of(CODE, DETAIL, top_k=0, rank="detail"), "top_k must be 1 or more"),
            (query_of(CODE, DETAIL, max_distance=-1), "max_distance must be 0 or more"),
            (query_of(CODE, DETAIL, max_distance=-1, rank="detail"), "max_distance must be 0 or more"),
            (query_of(CODE, DETAIL, max_distance=2.5, rank="detail"), "max_distance must be 0 or more"),  # type: ignore[arg-type]
        ],
        ids=str,
    )
    def test_a_valueerror_says_what_is_wrong(self, query: Query, message: str, ranking: Ranking) -> None:
        with pytest.raises(ValueError, match=message):
            ranking.search([query_of(CODE, DETAIL), query])

    def test_a_version_without_details_has_no_rank_by_them(self, opened: Callable[..., Rankings]) -> None:
        ranking = opened(CODES)["default"]
        with pytest.raises(ValueError, match="rank 'detail' needs the space 'detail', which the version lacks"):
            ranking.search([query_of(CODE, DETAIL, rank="detail")])
        assert listed(ranking.search([query_of(CODE, DETAIL, top_k=3)])[0]) == ([0, 0, 0], [1, 4, 5])

    @pytest.mark.parametrize("rank", ["distance", "detail"])
    @pytest.mark.parametrize("radius", [None, 3])
    def test_a_mask_of_another_size(self, rank: Any, radius: int | None, ranking: Ranking) -> None:
        for allowed in (np.zeros(2, np.uint8), np.zeros(1, np.int8)):
            with pytest.raises(ValueError, match="allowed must be a bitmap of 6 rows"):
                ranking.search([query_of(CODE, DETAIL, 10, radius, rank)], allowed)

    def test_as_many_second_codes_as_codes(self, tmp_path: Path) -> None:
        write_codes(CODES, tmp_path / INDEX_FILE)
        index = CodeIndex.open(tmp_path, count=6, bits=16)
        for codes, queries in ((DETAILS[:5], DETAILS[:1]), (DETAILS, DETAILS[:2])):
            with pytest.raises(ValueError, match="every code and every query needs a second code"):
                index.search(CODE[None], 1, ties=Ties(codes, queries))


@pytest.mark.parametrize("width", [1, 3, 8, 33])
@pytest.mark.parametrize("count", [0, 1, 8, 1001, 20_000])
def test_rows_within_a_distance(count: int, width: int, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    codes, (query,) = random_codes(random, count, width), random_codes(random, 1, width)
    write_codes(codes, tmp_path / INDEX_FILE)
    compiled, plain = (CodeIndex.open(tmp_path, count=count, bits=8 * width) for _ in range(2))
    plain.__dict__["_search"] = PlainScan(plain.codes)
    mask = random.integers(0, 256, -(-count // 8), np.uint8)
    for radius in (0, 4 * width, 8 * width, 10_000):
        near = np.packbits(bits_apart(codes, query) <= radius, bitorder="little")
        for index in (compiled, plain):
            assert index.within(query, radius).tolist() == near.tolist()
            assert index.within(query, radius, mask).tolist() == (near & mask).tolist()
