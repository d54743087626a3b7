"""Search is exact: distances and rows are those of a NumPy oracle, to the last tie; any other file is refused."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import faiss
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from searcher.errors import VersionDamaged
from searcher.search import CodeIndex, use_one_core, write_codes
from tests.searcher.versions_by_hand import as_codes

Codes = NDArray[np.uint8]
REPOSITORY = Path(__file__).parents[2]


def oracle(codes: Codes, queries: Codes, top_k: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Distances and rows by counting every differing bit, ordered by distance and then by row."""
    distances = np.bitwise_count(queries[:, None] ^ codes[None]).sum(axis=2, dtype=np.int32)
    rows = np.argsort(distances, axis=1, kind="stable")[:, :top_k]
    return np.take_along_axis(distances, rows, axis=1), rows


def opened(codes: Codes, path: Path) -> CodeIndex:
    write_codes(codes, path)
    return CodeIndex(path, count=len(codes), bits=8 * codes.shape[1])


def assert_exact(codes: Codes, queries: Codes, top_k: int, path: Path) -> None:
    distances, rows = opened(codes, path).search(queries, top_k)
    expected_distances, expected_rows = oracle(codes, queries, top_k)
    assert distances.dtype == np.int32 and rows.dtype == np.int64
    assert np.array_equal(distances, expected_distances)
    assert np.array_equal(rows, expected_rows)


def packed(codes: list[bytes], width: int) -> Codes:
    return np.frombuffer(b"".join(codes), np.uint8).reshape(-1, width)


class Case(NamedTuple):
    codes: Codes
    queries: Codes
    top_k: int


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A few distinct codes, many times over: nearly every answer has ties."""
    width = draw(st.integers(1, 32))
    distinct = draw(st.lists(st.binary(min_size=width, max_size=width), min_size=1, max_size=6))
    chosen = st.sampled_from(distinct)
    codes = draw(st.lists(chosen, max_size=60))
    queries = draw(st.lists(chosen | st.binary(min_size=width, max_size=width), min_size=1, max_size=4))
    top_k = draw(st.sampled_from([1, 2, max(1, len(codes)), len(codes) + 1, 1000]) | st.integers(1, 70))
    return Case(packed(codes, width), packed(queries, width), top_k)


class TestExactness:
    @settings(deadline=None, max_examples=400)
    @given(case=cases())
    def test_few_distinct_codes(self, case: Case, tmp_path_factory: pytest.TempPathFactory) -> None:
        assert_exact(*case, tmp_path_factory.getbasetemp() / "few.faiss")

    @settings(deadline=None, max_examples=60)
    @given(width=st.integers(1, 32), count=st.integers(0, 300), top_k=st.integers(1, 320), seed=st.integers(0, 9999))
    @example(width=1, count=0, top_k=1, seed=0)
    @example(width=32, count=1, top_k=1, seed=0)
    def test_random_codes(
        self, width: int, count: int, top_k: int, seed: int, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        random = np.random.default_rng(seed)
        codes, queries = (random.integers(0, 256, (n, width), dtype=np.uint8) for n in (count, 3))
        assert_exact(codes, queries, top_k, tmp_path_factory.getbasetemp() / "random.faiss")

    @pytest.mark.parametrize("width", [1, 2, 3, 4, 8, 12, 16, 20, 32])
    def test_codes_that_differ_in_every_bit(self, width: int, tmp_path: Path) -> None:
        codes = np.array([[0xFF] * width, [0x00] * width], np.uint8)
        distances, rows = opened(codes, tmp_path / "i").search(codes[1:], 2)
        assert (distances.tolist(), rows.tolist()) == ([[0, 8 * width]], [[1, 0]])

    @pytest.mark.parametrize("top_k", [1, 10, 1000])
    def test_more_codes_than_faiss_takes_in_one_go(self, top_k: int, tmp_path: Path) -> None:
        random = np.random.default_rng(0)
        codes = random.integers(0, 256, (5, 8), dtype=np.uint8)[random.integers(0, 5, 70_000)]
        codes[::1000, 0] ^= 1
        assert_exact(codes, codes[[0, 1, 69_999]], top_k, tmp_path / "i")

    def test_more_queries_than_faiss_takes_in_one_go(self, tmp_path: Path) -> None:
        random = np.random.default_rng(0)
        codes, queries = (random.integers(0, 4, (n, 8), dtype=np.uint8) for n in (100, 500))
        assert_exact(codes, queries, 7, tmp_path / "i")

    def test_a_worked_example(self, tmp_path: Path) -> None:
        index = opened(as_codes(0x0003, 0x0000, 0xFFFF, 0x0001, 0x0000), tmp_path / "i")
        distances, rows = index.search(as_codes(0x0000, 0xFFFF), 4)
        assert distances.tolist() == [[0, 0, 1, 2], [0, 14, 15, 16]]
        assert rows.tolist() == [[1, 4, 3, 0], [2, 0, 3, 1]]

    def test_the_middle_row_of_a_batch_is_answered_as_if_alone(self, tmp_path: Path) -> None:
        random = np.random.default_rng(0)
        codes, queries = (random.integers(0, 4, (n, 8), dtype=np.uint8) for n in (50, 9))
        index = opened(codes, tmp_path / "i")
        distances, rows = index.search(queries, 20)
        alone = index.search(queries[4:5], 20)
        assert np.array_equal(distances[4], alone[0][0]) and np.array_equal(rows[4], alone[1][0])

    def test_queries_may_be_a_view(self, tmp_path: Path) -> None:
        codes = as_codes(0x0000, 0xFFFF, 0x00FF)
        index = opened(codes, tmp_path / "i")
        assert index.search(codes[::-1], 1)[1].tolist() == [[2], [1], [0]]


class TestEdges:
    def test_no_codes_answer_nothing(self, tmp_path: Path) -> None:
        distances, rows = opened(as_codes(), tmp_path / "i").search(as_codes(1, 2), 5)
        assert distances.shape == rows.shape == (2, 0)
        assert distances.dtype == np.int32 and rows.dtype == np.int64

    def test_no_query_answers_nothing(self, tmp_path: Path) -> None:
        distances, rows = opened(as_codes(1, 2, 3), tmp_path / "i").search(as_codes(), 2)
        assert distances.shape == rows.shape == (0, 2)

    def test_a_code_can_be_asked_for_by_its_row(self, tmp_path: Path) -> None:
        codes = np.random.default_rng(0).integers(0, 256, (20, 8), dtype=np.uint8)
        index = opened(codes, tmp_path / "i")
        assert [index.code(row).tolist() for row in range(20)] == codes.tolist()
        assert index.code(0).dtype == np.uint8

    def test_sizes_are_known(self, tmp_path: Path) -> None:
        index = opened(as_codes(1, 2, 3), tmp_path / "i")
        assert (index.count, index.bits) == (3, 16)

    def test_eight_threads_find_what_one_finds(self, tmp_path: Path) -> None:
        random = np.random.default_rng(0)
        codes, queries = (random.integers(0, 4, (n, 8), dtype=np.uint8) for n in (2000, 64))
        index = opened(codes, tmp_path / "i")
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda query: index.search(query[None], 50)[1][0], queries))
        assert np.array_equal(np.stack(found), oracle(codes, queries, 50)[1])

    def test_an_open_index_outlives_its_file(self, tmp_path: Path) -> None:
        codes = np.random.default_rng(0).integers(0, 256, (5000, 8), dtype=np.uint8)
        index = opened(codes, tmp_path / "i")
        (tmp_path / "i").unlink()
        assert index.search(codes[4999:], 1)[1].tolist() == [[4999]]
        assert index.code(2500).tolist() == codes[2500].tolist()


@pytest.fixture
def all_cores() -> Iterator[int]:
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(2)
    yield 2
    faiss.omp_set_num_threads(before)


def test_one_core_finds_what_all_find(all_cores: int, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    codes, queries = (random.integers(0, 4, (n, 8), dtype=np.uint8) for n in (2000, 20))
    index = opened(codes, tmp_path / "i")
    with_all = index.search(queries, 100)[1]
    assert faiss.omp_get_max_threads() == all_cores
    use_one_core()
    assert faiss.omp_get_max_threads() == 1
    assert np.array_equal(index.search(queries, 100)[1], with_all)


class TestFile:
    @pytest.mark.parametrize("count", [0, 1, 1000])
    def test_plain_faiss_reads_it(self, count: int, tmp_path: Path) -> None:
        codes = np.random.default_rng(0).integers(0, 256, (count, 8), dtype=np.uint8)
        write_codes(codes, tmp_path / "i")
        index = faiss.read_index_binary(str(tmp_path / "i"))
        assert isinstance(index, faiss.IndexBinaryFlat)
        assert (index.d, index.ntotal) == (64, count)
        held = faiss.vector_to_array(index.xb)  # type: ignore[attr-defined]
        assert np.array_equal(held.reshape(-1, 8), codes)

    def test_codes_may_be_a_view(self, tmp_path: Path) -> None:
        codes = np.random.default_rng(0).integers(0, 256, (10, 16), dtype=np.uint8)
        index = opened(codes[::2, ::2], tmp_path / "i")
        assert [index.code(row).tolist() for row in range(5)] == codes[::2, ::2].tolist()

    def test_a_file_that_cannot_be_written_is_an_oserror(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            write_codes(as_codes(1), tmp_path / "missing" / "index.faiss")


class TestRefusals:
    @pytest.mark.parametrize(
        ("count", "bits"), [(4, 16), (2, 16), (0, 16), (3, 8), (3, 32)], ids=lambda value: str(value)
    )
    def test_another_count_or_width(self, count: int, bits: int, tmp_path: Path) -> None:
        write_codes(as_codes(1, 2, 3), tmp_path / "i")
        with pytest.raises(VersionDamaged, match=f"no flat index of {count} codes of {bits} bits: .* with 3 of 16"):
            CodeIndex(tmp_path / "i", count=count, bits=bits)

    @pytest.mark.parametrize("kind", ["IndexBinaryHNSW", "IndexBinaryHash", "IndexBinaryMultiHash", "IndexBinaryIDMap"])
    def test_another_kind_of_index_over_the_same_codes(self, kind: str, tmp_path: Path) -> None:
        codes = as_codes(1, 2, 3)
        if kind == "IndexBinaryIDMap":
            flat = faiss.IndexBinaryFlat(16)
            index = faiss.IndexBinaryIDMap(flat)
            index.add_with_ids(codes, np.array([7, 8, 9]))
        else:
            arguments = {"IndexBinaryHNSW": (16, 4), "IndexBinaryHash": (16, 8), "IndexBinaryMultiHash": (16, 2, 8)}
            index = getattr(faiss, kind)(*arguments[kind])
            index.add(codes)
        faiss.write_index_binary(index, str(tmp_path / "i"))
        with pytest.raises(VersionDamaged, match=f"it is {kind}"):
            CodeIndex(tmp_path / "i", count=3, bits=16)

    def test_an_index_of_floats(self, tmp_path: Path) -> None:
        index = faiss.IndexFlatL2(16)
        index.add(np.zeros((3, 16), np.float32))
        faiss.write_index(index, str(tmp_path / "i"))
        with pytest.raises(VersionDamaged, match="cannot be read by FAISS"):
            CodeIndex(tmp_path / "i", count=3, bits=16)

    @pytest.mark.parametrize("content", [b"garbage", bytes(1000), b"IBxF" + b"\xff" * 100])
    def test_garbage(self, content: bytes, tmp_path: Path) -> None:
        (tmp_path / "i").write_bytes(content)
        with pytest.raises(VersionDamaged):
            CodeIndex(tmp_path / "i", count=3, bits=16)

    def test_a_missing_file_or_a_folder(self, tmp_path: Path) -> None:
        for path in (tmp_path / "missing", tmp_path):
            with pytest.raises(VersionDamaged, match="cannot be read by FAISS"):
                CodeIndex(path, count=3, bits=16)

    def test_a_file_cut_anywhere(self, tmp_path: Path) -> None:
        """In a process of its own: what is mapped and isn't there would end this one."""
        write_codes(as_codes(1, 2, 3), tmp_path / "whole")
        script = (
            "import sys; from pathlib import Path; from searcher.search import CodeIndex, VersionDamaged\n"
            "data, cut_file = Path(sys.argv[1]).read_bytes(), Path(sys.argv[2])\n"
            "for cut in range(len(data)):\n"
            "    cut_file.write_bytes(data[:cut])\n"
            "    print(cut, flush=True)\n"
            "    try: CodeIndex(cut_file, count=3, bits=16)\n"
            "    except VersionDamaged: continue\n"
            "    sys.exit(f'opened with {cut} of {len(data)} bytes')\n"
        )
        command = [sys.executable, "-c", script, str(tmp_path / "whole"), str(tmp_path / "cut")]
        done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY)
        tried = done.stdout.split()
        assert done.returncode == 0, f"cut after {tried[-1]} bytes: status {done.returncode}, {done.stderr}"
        assert len(tried) == (tmp_path / "whole").stat().st_size
