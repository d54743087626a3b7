"""Search is exact, in both modes and from the files: nearest first, ties in row order, and only what was asked for."""

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from searcher.errors import VersionDamaged
from searcher.scan.codes import INDEX_FILE, write_codes
from searcher.scan.question import Question
from searcher.scan.search import CodeIndex, Hits
from searcher.scan.table_builder import build_tables
from searcher.scan.tables import TABLE_FILES, Mode, write_tables
from tests.searcher.scan.oracle import Codes, near, random_codes, right_answers
from tests.searcher.versions.versions_by_hand import as_codes

REPOSITORY = Path(__file__).parents[3]
MODES: list[Mode] = ["default", "unnecessary fast"]

Open = Callable[..., CodeIndex]


def written(codes: Codes, folder: Path) -> Path:
    """``folder`` with the files of a version that has tables; the default mode needs none of them."""
    folder.mkdir(exist_ok=True)
    write_codes(codes, folder / INDEX_FILE)
    write_tables(build_tables(codes), folder)
    return folder


@pytest.fixture(params=MODES)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Write codes and open them, in each mode."""

    def write_and_open(codes: Codes, **arguments: Any) -> CodeIndex:
        written(codes, tmp_path / "version")
        return CodeIndex.open(
            tmp_path / "version", count=len(codes), bits=8 * codes.shape[1], mode=request.param, **arguments
        )

    return write_and_open


def listed(found: list[Hits]) -> list[tuple[list[int], list[int]]]:
    """Distances and rows of each answer, which are the numbers they should be."""
    for hits in found:
        assert hits.distances.dtype == np.int32 and hits.rows.dtype == np.int64
        assert hits.distances.ndim == hits.rows.ndim == 1
    return [(hits.distances.tolist(), hits.rows.tolist()) for hits in found]


EXAMPLE = as_codes(0x0003, 0x0000, 0xFFFF, 0x0001, 0x0000)


class TestAnswers:
    def test_a_worked_example(self, opened: Open) -> None:
        assert listed(opened(EXAMPLE).search(as_codes(0x0000, 0xFFFF), 4)) == [
            ([0, 0, 1, 2], [1, 4, 3, 0]),
            ([0, 14, 15, 16], [2, 0, 3, 1]),
        ]

    def test_every_query_has_its_own_top_k(self, opened: Open) -> None:
        assert listed(opened(EXAMPLE).search(as_codes(0x0000, 0xFFFF, 0x0003), [1, 9, 2])) == [
            ([0], [1]),
            ([0, 14, 15, 16, 16], [2, 0, 3, 1, 4]),
            ([0, 1], [0, 3]),
        ]

    @pytest.mark.parametrize(
        ("radius", "answer"),
        [
            (0, ([0, 0], [1, 4])),
            (1, ([0, 0, 1], [1, 4, 3])),
            (15, ([0, 0, 1, 2], [1, 4, 3, 0])),
            (16, ([0, 0, 1, 2, 16], [1, 4, 3, 0, 2])),
            (2**63 - 1, ([0, 0, 1, 2, 16], [1, 4, 3, 0, 2])),
        ],
    )
    def test_none_is_farther_than_the_radius(
        self, radius: int, answer: tuple[list[int], list[int]], opened: Open
    ) -> None:
        assert listed(opened(EXAMPLE).search(as_codes(0x0000), 9, radius)) == [answer]
        assert listed(opened(EXAMPLE).search(as_codes(0x0000, 0x0000), 9, [radius, None])) == [
            answer,
            ([0, 0, 1, 2, 16], [1, 4, 3, 0, 2]),
        ]

    def test_nothing_within_the_radius(self, opened: Open) -> None:
        assert listed(opened(EXAMPLE).search(as_codes(0x00FF), 9, 5)) == [([], [])]

    @pytest.mark.parametrize(
        ("mask", "rows"),
        [
            ([1, 1, 1, 1, 1], [1, 4, 3, 0, 2]),
            ([0, 0, 0, 0, 0], []),
            ([1, 0, 1, 0, 1], [4, 0, 2]),
            ([0, 0, 0, 0, 1], [4]),
            ([0, 0, 0, 0, 0, 1, 1, 1], []),
            ([0, 0, 1, 0, 0, 1, 1, 1], [2]),
        ],
    )
    def test_only_rows_of_the_mask(self, mask: list[int], rows: list[int], opened: Open) -> None:
        allowed = np.packbits(np.array(mask, bool), bitorder="little")
        ((_, found),) = listed(opened(EXAMPLE).search(as_codes(0x0000), 9, None, allowed))
        assert found == rows

    def test_mask_radius_and_top_k_together(self, opened: Open) -> None:
        allowed = np.packbits(np.array([1, 0, 1, 1, 1], bool), bitorder="little")
        assert listed(opened(EXAMPLE).search(as_codes(0x0000, 0x0000), [2, 3], [9, 1], allowed)) == [
            ([0, 1], [4, 3]),
            ([0, 1], [4, 3]),
        ]

    @pytest.mark.parametrize("width", [1, 8, 16])
    def test_thousands_of_codes_in_clusters(self, width: int, opened: Open) -> None:
        random = np.random.default_rng(width)
        codes = near(random, random_codes(random, 40, width).repeat(500, axis=0), 3)
        random.shuffle(codes)
        queries = np.concatenate([codes[:3], near(random, codes[3:6], 2), random_codes(random, 2, width)])
        top_k, radii = [1, 10, 1000, 10, 30_000, 1, 5, 700], [None, 5, None, 0, 8 * width, 9, None, 2]
        mask = random.integers(0, 256, len(codes) // 8, np.uint8)
        limits = [8 * width + 1 if radius is None else radius + 1 for radius in radii]
        for allowed in (None, mask):
            found = opened(codes).search(queries, top_k, radii, allowed)
            expected = right_answers(codes, Question(queries, np.array(top_k), np.array(limits), allowed))
            assert listed(found) == [((keys >> 32).tolist(), (keys & 0xFFFFFFFF).tolist()) for keys in expected]

    def test_the_middle_of_a_batch_is_answered_as_if_alone(self, opened: Open) -> None:
        random = np.random.default_rng(0)
        codes, queries = (random.integers(0, 4, (n, 8), dtype=np.uint8) for n in (50, 9))
        index = opened(codes)
        assert listed(index.search(queries, 20))[4:5] == listed(index.search(queries[4:5], 20))

    def test_a_search_on_several_threads_finds_the_same(self, opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("searcher.scan.flat._ROWS_PER_THREAD", 1000)
        random = np.random.default_rng(0)
        codes, queries = (random.integers(0, 4, (n, 8), dtype=np.uint8) for n in (9000, 20))
        assert listed(opened(codes, threads=4).search(queries, 50)) == listed(opened(codes).search(queries, 50))

    def test_eight_threads_that_search_find_what_one_finds(self, opened: Open) -> None:
        random = np.random.default_rng(0)
        codes, queries = (random.integers(0, 4, (n, 8), dtype=np.uint8) for n in (2000, 64))
        index = opened(codes)
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda query: index.search(query[None], 50)[0], queries))
        assert listed(found) == listed(index.search(queries, 50))


class TestEdges:
    def test_no_codes_answer_nothing(self, opened: Open) -> None:
        index = opened(as_codes())
        assert listed(index.search(as_codes(1, 2), 5)) == [([], []), ([], [])]
        assert listed(index.search(as_codes(1), [5], [3], np.zeros(0, np.uint8))) == [([], [])]

    def test_no_query_answers_nothing(self, opened: Open) -> None:
        index = opened(as_codes(1, 2, 3))
        assert index.search(as_codes(), 2) == index.search(as_codes(), [], []) == []

    def test_queries_and_mask_may_be_views(self, opened: Open) -> None:
        index = opened(as_codes(0x0000, 0xFFFF, 0x00FF))
        queries = as_codes(0x0000, 0xFFFF, 0x00FF)
        assert [rows for _, rows in listed(index.search(queries[::-1], 1))] == [[2], [1], [0]]
        mask = np.array([0b011, 0xFF, 0xFF, 0xFF], np.uint8)[::4]
        assert [rows for _, rows in listed(index.search(np.asfortranarray(queries), 1, None, mask))] == [[0], [1], [0]]

    def test_numbers_may_be_in_arrays_too(self, opened: Open) -> None:
        index = opened(EXAMPLE)
        queries = as_codes(0x0000, 0xFFFF)
        expected = listed(index.search(queries, [2, 1], [1, 16]))
        assert listed(index.search(queries, (2, 1), (1, 16))) == expected
        assert listed(index.search(queries, cast(Any, np.array([2, 1])), cast(Any, np.array([1, 16])))) == expected

    @pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int64, np.uint64])
    def test_numbers_may_be_numpy_s(self, kind: type[np.integer[Any]], opened: Open) -> None:
        index = opened(EXAMPLE)
        queries = as_codes(0x0000, 0xFFFF)
        assert listed(index.search(queries, kind(2), kind(16))) == listed(index.search(queries, 2, 16))
        assert listed(index.search(queries, [kind(2), 1], [None, kind(3)])) == listed(
            index.search(queries, [2, 1], [None, 3])
        )

    def test_sizes_are_known(self, opened: Open) -> None:
        index = opened(as_codes(1, 2, 3))
        assert (index.count, index.bits) == (3, 16)

    @pytest.mark.parametrize("count", [0, 1, 5000])
    def test_warming_up_changes_no_answer(self, count: int, opened: Open) -> None:
        codes = random_codes(np.random.default_rng(0), count, 8)
        index = opened(codes)
        before = listed(index.search(codes[:5], 10))
        index.warm_up()
        assert listed(index.search(codes[:5], 10)) == before

    def test_an_open_index_outlives_its_files(self, opened: Open, tmp_path: Path) -> None:
        codes = random_codes(np.random.default_rng(0), 5000, 8)
        index = opened(codes)
        for path in (tmp_path / "version").iterdir():
            path.unlink()
        assert listed(index.search(codes[4999:], 1)) == [([0], [4999])]
        assert index.codes[2500].tolist() == codes[2500].tolist()


#: No whole numbers of 64 bits.
ODD: list[Any] = [
    2.5,
    2.0,
    "2",
    "12",
    2**63,
    np.float64(2),
    np.uint64(2**63),
    [1, 2.5],
    [1, "2"],
    [1, 2**63],
    {},
    object,
]


class TestWrongArguments:
    QUERIES = as_codes(1, 2)

    @pytest.fixture
    def index(self, opened: Open) -> CodeIndex:
        return opened(as_codes(*range(20)))

    @pytest.mark.parametrize(
        "queries",
        [
            QUERIES.astype(np.int8),
            QUERIES.astype(np.uint16),
            QUERIES.astype(np.float32),
            QUERIES.astype(bool),
            QUERIES[0],
            QUERIES[None],
            QUERIES[:, :1],
            np.zeros((2, 3), np.uint8),
            np.zeros((0, 8), np.uint8),
        ],
        ids=lambda queries: f"{queries.dtype}{queries.shape}",
    )
    def test_queries_of_another_dtype_or_shape(self, queries: Any, index: CodeIndex) -> None:
        with pytest.raises(ValueError, match=r"queries must be uint8 \(n, 2\), and are "):
            index.search(queries, 1)

    @pytest.mark.parametrize("top_k", [0, -1, [1, 0], [-5, 3], [1, 2, 3], [1], [], *ODD, None, [1, None]], ids=str)
    def test_top_k(self, top_k: Any, index: CodeIndex) -> None:
        with pytest.raises(ValueError, match="top_k must be 1 or more, one number or one for each query"):
            index.search(self.QUERIES, top_k)

    @pytest.mark.parametrize("max_distance", [-1, [0, -1], [None, -7], [1, 2, 3], [1], [None], [], *ODD], ids=str)
    def test_max_distance(self, max_distance: Any, index: CodeIndex) -> None:
        with pytest.raises(ValueError, match="max_distance must be 0 or more, one number or one for each query"):
            index.search(self.QUERIES, 1, max_distance)

    @pytest.mark.parametrize(
        "allowed",
        [
            np.zeros(2, np.uint8),
            np.zeros(4, np.uint8),
            np.zeros(20, np.uint8),
            np.zeros((1, 3), np.uint8),
            np.zeros(3, np.int8),
            np.zeros(20, bool),
        ],
        ids=lambda allowed: f"{allowed.dtype}{allowed.shape}",
    )
    def test_allowed(self, allowed: Any, index: CodeIndex) -> None:
        with pytest.raises(ValueError, match=r"allowed must be a bitmap of 20 rows, uint8 \(3,\)"):
            index.search(self.QUERIES, 1, None, allowed)


class TestFiles:
    def test_the_default_mode_needs_no_tables(self, tmp_path: Path) -> None:
        write_codes(EXAMPLE, tmp_path / INDEX_FILE)
        assert listed(CodeIndex.open(tmp_path, count=5, bits=16).search(as_codes(0x0000), 1)) == [([0], [1])]

    @pytest.mark.parametrize("file", TABLE_FILES)
    def test_the_other_needs_each_of_them(self, file: str, tmp_path: Path) -> None:
        (written(EXAMPLE, tmp_path) / file).unlink()
        with pytest.raises(VersionDamaged, match=file):
            CodeIndex.open(tmp_path, count=5, bits=16, mode="unnecessary fast")

    @pytest.mark.parametrize("mode", MODES)
    def test_other_sizes_than_were_written(self, mode: Mode, tmp_path: Path) -> None:
        written(EXAMPLE, tmp_path)
        for count, bits in ((4, 16), (6, 16), (5, 8), (5, 32)):
            with pytest.raises(VersionDamaged, match=rf"{INDEX_FILE} is no flat index of {count} codes of {bits} bits"):
                CodeIndex.open(tmp_path, count=count, bits=bits, mode=mode)


def test_a_server_never_loads_faiss(tmp_path: Path) -> None:
    """It is for building; the process that searches does without its threads and its megabytes."""
    written(EXAMPLE, tmp_path)
    script = (
        "import sys; from pathlib import Path; import numpy as np; from searcher.scan.search import CodeIndex\n"
        "for mode in ('default', 'unnecessary fast'):\n"
        "    index = CodeIndex.open(Path(sys.argv[1]), count=5, bits=16, mode=mode)\n"
        "    print(index.search(np.zeros((1, 2), np.uint8), 2)[0].rows.tolist(), 'faiss' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, cwd=REPOSITORY)
    assert (done.stdout, done.stderr) == ("[1, 4] False\n" * 2, "")
