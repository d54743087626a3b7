"""The codes' file is FAISS's own, mapped as it lies; any other is refused before a search could read beyond its end."""

import struct
from pathlib import Path

import faiss
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from searcher.errors import VersionDamaged
from searcher.scan.codes import INDEX_FILE, map_codes, write_codes
from tests.searcher.scan.oracle import Codes, random_codes
from tests.searcher.versions.versions_by_hand import as_codes


def some_codes(count: int, width: int = 8) -> Codes:
    return random_codes(np.random.default_rng(0), count, width)


class TestFile:
    @pytest.mark.parametrize("width", [1, 3, 8, 128])
    @pytest.mark.parametrize("count", [0, 1, 1000])
    def test_plain_faiss_reads_it(self, count: int, width: int, tmp_path: Path) -> None:
        codes = some_codes(count, width)
        write_codes(codes, tmp_path / INDEX_FILE)
        index = faiss.read_index_binary(str(tmp_path / INDEX_FILE))
        assert isinstance(index, faiss.IndexBinaryFlat)
        assert (index.d, index.ntotal) == (8 * width, count)
        held = faiss.vector_to_array(index.xb)  # type: ignore[attr-defined]
        assert np.array_equal(held.reshape(-1, width), codes)

    @pytest.mark.parametrize("width", [1, 3, 8, 128])
    @pytest.mark.parametrize("count", [0, 1, 1000])
    def test_what_is_written_is_mapped(self, count: int, width: int, tmp_path: Path) -> None:
        write_codes(some_codes(count, width), tmp_path / INDEX_FILE)
        mapped = map_codes(tmp_path / INDEX_FILE, count=count, bits=8 * width)
        assert mapped.dtype == np.uint8 and mapped.shape == (count, width)
        assert np.array_equal(mapped, some_codes(count, width))

    def test_what_plain_faiss_wrote_is_mapped(self, tmp_path: Path) -> None:
        index = faiss.IndexBinaryFlat(64)
        index.add(some_codes(100))
        faiss.write_index_binary(index, str(tmp_path / INDEX_FILE))
        assert np.array_equal(map_codes(tmp_path / INDEX_FILE, count=100, bits=64), some_codes(100))

    def test_it_cannot_be_written_to(self, tmp_path: Path) -> None:
        write_codes(as_codes(1, 2, 3), tmp_path / INDEX_FILE)
        with pytest.raises(ValueError, match="read-only"):
            map_codes(tmp_path / INDEX_FILE, count=3, bits=16)[0] = 0

    def test_it_stays_readable_when_the_file_is_deleted(self, tmp_path: Path) -> None:
        write_codes(some_codes(5000), tmp_path / INDEX_FILE)
        mapped = map_codes(tmp_path / INDEX_FILE, count=5000, bits=64)
        (tmp_path / INDEX_FILE).unlink()
        assert np.array_equal(mapped, some_codes(5000))

    def test_codes_may_be_a_view(self, tmp_path: Path) -> None:
        codes = some_codes(10, 16)[::2, ::2]
        write_codes(codes, tmp_path / INDEX_FILE)
        assert np.array_equal(map_codes(tmp_path / INDEX_FILE, count=5, bits=64), codes)

    def test_a_file_that_cannot_be_written_is_an_oserror(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            write_codes(as_codes(1), tmp_path / "missing" / INDEX_FILE)

    def test_a_full_disk_is_an_oserror(self) -> None:
        with pytest.raises(OSError, match="No space left"):
            write_codes(some_codes(100_000), Path("/dev/full"))


class TestRefusals:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        """The file of three codes of 16 bits: a header of 33 bytes, then 6 bytes."""
        write_codes(as_codes(1, 2, 3), tmp_path / INDEX_FILE)
        assert len(map_codes(tmp_path / INDEX_FILE, count=3, bits=16)) == 3
        return tmp_path / INDEX_FILE

    @pytest.mark.parametrize(
        ("count", "bits"), [(4, 16), (2, 16), (0, 16), (3, 8), (3, 32), (6, 8)], ids=lambda value: str(value)
    )
    def test_another_count_or_width(self, count: int, bits: int, path: Path) -> None:
        message = rf"index\.faiss is no flat index of {count} codes of {bits} bits, .* 3 codes of 16 bits"
        with pytest.raises(VersionDamaged, match=message):
            map_codes(path, count=count, bits=bits)

    @pytest.mark.parametrize("kind", ["IndexBinaryHNSW", "IndexBinaryHash", "IndexBinaryMultiHash", "IndexBinaryIDMap"])
    def test_another_kind_of_index_over_the_same_codes(self, kind: str, path: Path) -> None:
        codes = as_codes(1, 2, 3)
        if kind == "IndexBinaryIDMap":
            flat = faiss.IndexBinaryFlat(16)
            index = faiss.IndexBinaryIDMap(flat)
            index.add_with_ids(codes, np.array([7, 8, 9]))
        else:
            arguments = {"IndexBinaryHNSW": (16, 4), "IndexBinaryHash": (16, 8), "IndexBinaryMultiHash": (16, 2, 8)}
            index = getattr(faiss, kind)(*arguments[kind])
            index.add(codes)
        faiss.write_index_binary(index, str(path))
        with pytest.raises(VersionDamaged, match=r"no flat index of 3 codes of 16 bits, .* with the mark b'IB"):
            map_codes(path, count=3, bits=16)

    def test_an_index_of_floats(self, path: Path) -> None:
        index = faiss.IndexFlatL2(16)
        index.add(np.zeros((3, 16), np.float32))
        faiss.write_index(index, str(path))
        with pytest.raises(VersionDamaged, match="with the mark b'IxF2'"):
            map_codes(path, count=3, bits=16)

    @pytest.mark.parametrize("content", [b"", b"garbage", bytes(1000), b"IBxF" + b"\xff" * 100])
    def test_garbage(self, content: bytes, path: Path) -> None:
        path.write_bytes(content)
        with pytest.raises(VersionDamaged, match=r"index\.faiss"):
            map_codes(path, count=3, bits=16)

    def test_a_missing_file_or_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(VersionDamaged, match=r"index\.faiss cannot be read \(No such file"):
            map_codes(tmp_path / INDEX_FILE, count=3, bits=16)
        with pytest.raises(VersionDamaged, match=r"cannot be read \(Is a directory"):
            map_codes(tmp_path, count=3, bits=16)

    def test_a_file_cut_anywhere(self, path: Path) -> None:
        whole = path.read_bytes()
        for cut in range(len(whole)):
            path.write_bytes(whole[:cut])
            with pytest.raises(VersionDamaged, match="too short" if cut < 33 else f"has {cut} bytes"):
                map_codes(path, count=3, bits=16)

    def test_a_file_that_goes_on(self, path: Path) -> None:
        path.write_bytes(path.read_bytes() + b"\0")
        with pytest.raises(VersionDamaged, match="has 40 bytes, and 3 codes of 16 bits need others"):
            map_codes(path, count=3, bits=16)

    @pytest.mark.parametrize(("place", "value"), [(8, 1), (8, 3), (8, -2), (25, 5), (25, 7), (25, 0)])
    def test_a_header_that_contradicts_itself(self, place: int, value: int, path: Path) -> None:
        """Bytes of a code from byte 8 on, bytes of all codes from byte 25 on."""
        content = bytearray(path.read_bytes())
        struct.pack_into("<i", content, place, value)
        path.write_bytes(content)
        with pytest.raises(VersionDamaged, match="need others"):
            map_codes(path, count=3, bits=16)

    @given(
        bits=st.sampled_from([8, 16, 24]),
        width=st.integers(-1, 4),
        count=st.integers(0, 5),
        more=st.sampled_from([0, 0, 1, -1, 2**32, -(2**40)]),
        size=st.integers(0, 20),
    )
    def test_any_header_is_refused_or_has_all_its_codes(
        self, bits: int, width: int, count: int, more: int, size: int, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        path = tmp_path_factory.getbasetemp() / "any"
        header = struct.pack("<4siiq?iq", b"IBxF", bits, width, count, True, 1, count * width + more)
        path.write_bytes(header + bytes(size))
        try:
            mapped = map_codes(path, count=count, bits=bits)
        except VersionDamaged:
            assert (8 * width, count * width, more) != (bits, size, 0)
        else:
            assert mapped.shape == (count, bits // 8) and mapped.nbytes == size
