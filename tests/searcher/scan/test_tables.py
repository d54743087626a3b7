"""Tables are what the files' names say, the same whenever they are built, and refused unless they fit the codes."""

import pickle
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from searcher.errors import CompilerMissing, ModeRefused, VersionDamaged
from searcher.scan.table_builder import build_tables, tables_for
from searcher.scan.tables import MAX_BITS, PADDING, TABLE_FILES, map_tables, require_suitable, substrings, write_tables
from tests.searcher.scan.oracle import Codes, random_codes


def bits_of(code: Codes) -> str:
    """The bits in the order in which substrings are cut: the least significant of the first byte first."""
    return "".join(map(str, np.unpackbits(code, bitorder="little")))


class TestSubstrings:
    def test_they_are_as_equal_as_can_be_the_wider_ones_first(self) -> None:
        assert substrings(64, 4) == [(0, 16), (16, 16), (32, 16), (48, 16)]
        assert substrings(64, 3) == [(0, 22), (22, 21), (43, 21)]
        assert substrings(8, 1) == [(0, 8)]

    @given(bits=st.integers(1, 128), data=st.data())
    def test_together_they_are_the_code(self, bits: int, data: st.DataObject) -> None:
        cuts = substrings(bits, data.draw(st.integers(1, bits)))
        assert [place for start, width in cuts for place in range(start, start + width)] == list(range(bits))
        widths = [width for _, width in cuts]
        assert widths == sorted(widths, reverse=True) and widths[0] - widths[-1] <= 1

    @pytest.mark.parametrize(
        ("count", "bits", "tables"),
        [
            (0, 8, 1),
            (1000, 16, 1),
            (1000, 64, 5),  # 13 bits, no fewer than 12
            (10_000_000, 64, 4),  # 16 bits: 150 codes to a bucket, where they are uniform; with 3 tables, 2 of them
            (10_000_000, 48, 3),
            (10_000_000, 128, 7),
            (100_000_000, 64, 3),
            (2**32 - 2, 64, 3),  # no more than 24 bits
            (2**32 - 2, 128, 6),
        ],
    )
    def test_how_many_there_are(self, count: int, bits: int, tables: int) -> None:
        assert tables_for(count, bits) == tables

    @given(count=st.integers(0, 2**32 - 2), width=st.integers(1, MAX_BITS // 8))
    def test_a_table_never_has_more_than_2_to_the_24_buckets(self, count: int, width: int) -> None:
        assert max(size for _, size in substrings(8 * width, tables_for(count, 8 * width))) <= 24


class TestBuilding:
    @settings(max_examples=100)
    @given(
        width=st.integers(1, 16),
        count=st.integers(0, 200),
        tables=st.integers(1, 12),
        spread=st.sampled_from([1, 3, 255]),
        seed=st.integers(0, 2**32),
    )
    def test_every_array_is_what_it_is_said_to_be(
        self, width: int, count: int, tables: int, spread: int, seed: int
    ) -> None:
        codes = np.random.default_rng(seed).integers(0, spread + 1, (count, width), np.uint8)
        tables = max(tables, -(-8 * width // 12))  # 4096 buckets are enough to look at
        built = build_tables(codes, min(tables, 8 * width))
        distinct = sorted({bits_of(code) for code in codes})
        groups = built.groups.tolist()
        assert (built.distinct, groups[0], groups[-1]) == (len(distinct), 0, count)
        assert sorted(built.rows.tolist()) == list(range(count))
        by_id = []
        for first, last in pairwise(groups):
            rows = built.rows[first:last].tolist()
            assert rows == sorted(rows) and len({bits_of(codes[row]) for row in rows}) == 1
            by_id.append(bits_of(codes[rows[0]]))
        assert sorted(by_id) == distinct, "each code once, with all its rows"
        assert not built.codes[:, :, len(distinct) :].any() and built.codes.shape[2] == len(distinct) + PADDING
        for table, (start, size) in enumerate(built.cuts):
            ids = list(range(len(distinct))) if table == 0 else built.ids[table - 1].tolist()
            words = np.ascontiguousarray(built.codes[table, :, : len(distinct)].T)
            listed = [bits_of(code)[: 8 * width] for code in words.view(np.uint8)]
            assert listed == [by_id[each] for each in ids]
            buckets = [int(code[start : start + size][::-1], 2) for code in listed]
            offsets = built.offsets[table]
            expected = np.searchsorted(buckets, np.arange(len(offsets)))
            assert buckets == sorted(buckets) and np.array_equal(offsets, expected)

    def test_equal_codes_take_the_room_of_one(self) -> None:
        built = build_tables(np.repeat(random_codes(np.random.default_rng(0), 2, 8), 10_000, axis=0))
        assert built.distinct == 2
        assert built.codes.shape[2] == 2 + PADDING and built.ids.shape[1] == 2
        assert len(built.rows) == 20_000

    @pytest.mark.parametrize("width", [1, 8, 9, 16])
    def test_two_builds_are_the_same_byte_by_byte(self, width: int, tmp_path: Path) -> None:
        codes = random_codes(np.random.default_rng(0), 5000, width)
        for name in ("one", "other"):
            (tmp_path / name).mkdir()
            write_tables(build_tables(codes), tmp_path / name)
        for file in TABLE_FILES:
            assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "other" / file).read_bytes()

    def test_codes_may_be_a_view(self) -> None:
        codes = random_codes(np.random.default_rng(0), 1000, 16)
        for one, other in zip(
            build_tables(codes[::2, ::2]).arrays, build_tables(codes[::2, ::2].copy()).arrays, strict=True
        ):
            assert np.array_equal(one, other)


def npy(header: str) -> bytes:
    """The beginning of a .npy file (NEP 1): magic, version 1.0, the header's length and the header."""
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def described(width: int, tables: int, distinct: int, count: int) -> dict[str, tuple[str, tuple[int, ...]]]:
    """dtype and shape of every file, as the module says."""
    words, buckets = -(-width // 8), 2 ** -(-8 * width // tables)
    return {
        "multi_index_offsets.npy": ("uint32", (tables, buckets + 1)),
        "multi_index_codes.npy": ("uint64", (tables, words, distinct + 32)),
        "multi_index_ids.npy": ("uint32", (tables - 1, distinct)),
        "multi_index_groups.npy": ("uint32", (distinct + 1,)),
        "multi_index_rows.npy": ("uint32", (count,)),
    }


class TestFiles:
    @pytest.mark.parametrize("width", [1, 2, 3, 8, 9, 16])
    @pytest.mark.parametrize("count", [0, 1, 300])
    def test_what_is_written_is_mapped(self, width: int, count: int, tmp_path: Path) -> None:
        built = build_tables(random_codes(np.random.default_rng(0), count, width))
        write_tables(built, tmp_path)
        mapped = map_tables(tmp_path, count=count, bits=8 * width)
        assert (mapped.bits, mapped.cuts, mapped.distinct, mapped.buckets) == (
            (built.bits, built.cuts, built.distinct, built.buckets)
        )
        shapes = described(width, len(built.cuts), built.distinct, count)
        for file, one, other in zip(TABLE_FILES, built.arrays, mapped.arrays, strict=True):
            assert isinstance(other, np.memmap) and not other.flags.writeable
            assert one.dtype == other.dtype and np.array_equal(one, other)
            plain = np.load(tmp_path / file)
            assert (plain.dtype.name, plain.shape) == shapes[file]

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        """Tables of 300 codes of 64 bits."""
        write_tables(build_tables(random_codes(np.random.default_rng(0), 300, 8)), tmp_path)
        map_tables(tmp_path, count=300, bits=64)
        return tmp_path

    @staticmethod
    def assert_refused(folder: Path, file: str, count: int = 300, bits: int = 64) -> None:
        with pytest.raises(VersionDamaged) as refusal:
            map_tables(folder, count=count, bits=bits)
        assert file in str(refusal.value)

    @pytest.mark.parametrize("file", TABLE_FILES)
    def test_a_missing_file(self, file: str, folder: Path) -> None:
        (folder / file).unlink()
        self.assert_refused(folder, file)

    @pytest.mark.parametrize("file", TABLE_FILES)
    def test_a_folder_in_its_place(self, file: str, folder: Path) -> None:
        (folder / file).unlink()
        (folder / file).mkdir()
        self.assert_refused(folder, file)

    @pytest.mark.parametrize("file", TABLE_FILES)
    @pytest.mark.parametrize("dtype", ["int32", "int64", "float32", "float64", ">u4", ">u8", "S4", "uint8"])
    def test_another_dtype(self, file: str, dtype: str, folder: Path) -> None:
        np.save(folder / file, np.load(folder / file).astype(dtype))
        self.assert_refused(folder, file)

    @pytest.mark.parametrize("file", TABLE_FILES)
    def test_rows_or_planes_too_many_or_too_few(self, file: str, folder: Path) -> None:
        whole = np.load(folder / file)
        for axis in range(whole.ndim):
            more = np.concatenate([whole, whole], axis=axis)
            fewer = np.take(whole, range(whole.shape[axis] - 1), axis=axis)
            for other in (more, fewer, whole[None], whole[..., None], whole.reshape(-1)[:0]):
                np.save(folder / file, other)
                with pytest.raises(VersionDamaged):
                    map_tables(folder, count=300, bits=64)

    @pytest.mark.parametrize("file", TABLE_FILES[:2])
    def test_the_order_of_fortran(self, file: str, folder: Path) -> None:
        np.save(folder / file, np.asfortranarray(np.load(folder / file)))
        self.assert_refused(folder, file)

    @pytest.mark.parametrize("file", TABLE_FILES)
    def test_objects(self, file: str, folder: Path) -> None:
        np.save(folder / file, np.load(folder / file).astype(object), allow_pickle=True)
        self.assert_refused(folder, file)

    @pytest.mark.parametrize("file", TABLE_FILES)
    def test_a_pickle_is_not_even_read(self, file: str, folder: Path) -> None:
        (folder / file).write_bytes(pickle.dumps(Trap(folder / "sprung")))
        self.assert_refused(folder, file)
        assert not (folder / "sprung").exists()

    @pytest.mark.parametrize("file", TABLE_FILES)
    def test_a_file_cut_short(self, file: str, folder: Path) -> None:
        whole = (folder / file).read_bytes()
        for cut in (1, 5, 6, 8, 10, 60, 127, 128, 129, len(whole) // 2, len(whole) - 1):
            (folder / file).write_bytes(whole[:cut])
            self.assert_refused(folder, file)

    @pytest.mark.parametrize("file", TABLE_FILES)
    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"\0" * 200,
            b"PK\x03\x04",
            b"PK\x05\x06" + b"\0" * 18,
            b"\x93NUMPY",
            b"\x93NUMPY\x09\x00" + b"\0" * 200,
            npy("{"),
            npy("{'descr': '<u4', 'fortran_order': False}"),
            npy("{'descr': '<u4', 'fortran_order': False, 'shape': (-1,)}"),
            npy("{'descr': '<u4', 'fortran_order': False, 'shape': (2**62,)}"),
            npy("{'descr': '<u4', 'fortran_order': False, 'shape': (4611686018427387904,)}"),
            npy("{'descr': '<u4', 'fortran_order': False, 'shape': ()}") + b"\0" * 4,
            npy("{'descr': '<u4', 'fortran_order': 0, 'shape': (301,)}"),
            npy("{'descr': '<u9', 'fortran_order': False, 'shape': (301,)}"),
            npy("{'descr': [], 'fortran_order': False, 'shape': (301,)}"),
            npy("(" * 200),
            npy("{'descr': '<u4'}\0"),
        ],
        ids=lambda content: repr(content.rstrip()[:90]),
    )
    def test_no_array_or_a_broken_header(self, content: bytes, file: str, folder: Path) -> None:
        (folder / file).write_bytes(content)
        self.assert_refused(folder, file)

    @pytest.mark.parametrize("file", TABLE_FILES)
    def test_an_archive_of_arrays(self, file: str, folder: Path) -> None:
        array = np.load(folder / file)
        with (folder / file).open("wb") as stream:
            np.savez(stream, array)
        self.assert_refused(folder, file)

    @pytest.mark.parametrize("file", TABLE_FILES)
    def test_a_single_number(self, file: str, folder: Path) -> None:
        np.save(folder / file, np.load(folder / file).reshape(-1)[0])
        self.assert_refused(folder, file)

    @pytest.mark.parametrize(("count", "bits"), [(299, 64), (301, 64), (0, 64), (300, 56), (300, 72), (300, 128)])
    def test_those_of_other_codes(self, count: int, bits: int, folder: Path) -> None:
        self.assert_refused(folder, "multi_index_", count, bits)


class Trap:
    """Makes the file ``path`` when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


class TestSuitable:
    @pytest.mark.parametrize("bits", [8, 64, 128])
    def test_codes_of_up_to_128_bits(self, bits: int) -> None:
        require_suitable(bits)

    @pytest.mark.parametrize("bits", [136, 256, 1024])
    def test_wider_ones_are_refused(self, bits: int) -> None:
        with pytest.raises(ModeRefused, match=rf"'unnecessary fast' .* up to 128 bits: with {bits}.*'default'"):
            require_suitable(bits)

    def test_without_numba(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "numba", None)
        with pytest.raises(CompilerMissing, match="numba, which compiles the search, cannot be loaded"):
            require_suitable(64)
