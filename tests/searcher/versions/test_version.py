"""An open version answers from row, code and path together; one that isn't whole is refused before it is searched."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from searcher.errors import SearcherError, VersionDamaged
from searcher.scan.codes import DETAILS_FILE, INDEX_FILE, write_codes
from searcher.scan.lists import LIST_FILES
from searcher.scan.tables import TABLE_FILES, Mode
from searcher.versions.images import IMAGES_FILE, ImageTable
from searcher.versions.manifest import MANIFEST_FILE, Manifest, file_entry, read_manifest, with_checksum
from searcher.versions.store import IndexStore
from searcher.versions.version import IndexVersion, verify
from tests.searcher.scan.oracle import Codes
from tests.searcher.versions.versions_by_hand import answered, as_codes, as_details, asked, file_of, publish
from tests.vectors import query_of

CODES = {
    "data/near one.jpg": 0x0001,
    "data/zero.jpg": 0x0000,
    "-far.jpg": 0xFFFF,
    "größe/'zwei'.jpg": 0x0003,
    "data/zero again.jpg": 0x0000,
}


@pytest.fixture
def folder(store: IndexStore) -> Path:
    """A published version of five images, three of them with one neighbour at the same distance."""
    publish(store, "1.5.0", CODES, skipped={"broken.jpg": "truncated"})
    return store.folder / "1.5.0"


@pytest.fixture
def fast(store: IndexStore) -> Path:
    """The same images with tables: a version in the mode "unnecessary fast"."""
    publish(store, "1.6.0", CODES, skipped={"broken.jpg": "truncated"}, mode="unnecessary fast")
    return store.folder / "1.6.0"


@pytest.fixture(params=["folder", "fast"])
def version(request: pytest.FixtureRequest) -> IndexVersion:
    """A version in each mode, open."""
    return IndexVersion(request.getfixturevalue(request.param), threads=2)


class TestSearch:
    def test_the_nearest_come_first_and_ties_in_row_order(self, version: IndexVersion) -> None:
        (matches,) = version.search(asked((0x0000, 4)))
        assert answered(matches) == (
            ["data/zero.jpg", "data/zero again.jpg", "data/near one.jpg", "größe/'zwei'.jpg"],
            [0, 0, 1, 2],
        )

    def test_every_query_keeps_its_own_top_k(self, version: IndexVersion) -> None:
        found = version.search(asked((0xFFFF, 1), (0x0000, 1000), (0x0003, 2)))
        assert [len(matches.paths) for matches in found] == [1, 5, 2]
        assert answered(found[0]) == (["-far.jpg"], [0])
        assert found[1].distances == [0, 0, 1, 2, 16]
        assert answered(found[2]) == (["größe/'zwei'.jpg", "data/near one.jpg"], [0, 1])

    def test_every_query_keeps_its_own_radius(self, version: IndexVersion) -> None:
        found = version.search(asked((0, 9, 0), (0, 9, None), (0, 1, 1), (0x00FF, 9, 5)))
        assert [matches.distances for matches in found] == [[0, 0], [0, 0, 1, 2, 16], [0], []]
        assert found[0].paths == ["data/zero.jpg", "data/zero again.jpg"]

    def test_rows_that_the_mask_leaves_out_are_not_found(self, version: IndexVersion) -> None:
        mask = np.packbits(np.array([True, False, True, False, True]), bitorder="little")
        (matches,) = version.search(asked((0x0000, 2)), mask)
        assert answered(matches) == (["data/zero again.jpg", "data/near one.jpg"], [0, 1])

    def test_a_neighbour_in_the_batch_changes_nothing(self, version: IndexVersion) -> None:
        queries = asked((0xFFFF, 3), (0x0001, 1), (0x00F0, 5))
        alone = [version.search([query])[0] for query in queries]
        assert version.search(queries) == alone

    def test_distances_are_plain_integers(self, version: IndexVersion) -> None:
        (matches,) = version.search(asked((0, 2)))
        assert json.dumps(matches.distances) == "[0, 0]"

    def test_no_query_has_no_answer(self, version: IndexVersion) -> None:
        assert version.search([]) == []

    @pytest.mark.parametrize("mode", ["default", "unnecessary fast"])
    def test_a_version_of_no_images_answers_nothing(self, mode: Mode, store: IndexStore) -> None:
        publish(store, "empty", {}, mode=mode)
        assert [answered(each) for each in store.open("empty").search(asked((7, 10)))] == [([], [])]

    @settings(deadline=None, max_examples=25)
    @given(
        values=st.lists(st.integers(0, 0xFFFF) | st.sampled_from([0, 1, 2]), min_size=1, max_size=30),
        queries=st.lists(st.tuples(st.integers(0, 0xFFFF), st.integers(1, 40)), min_size=1, max_size=4),
    )
    def test_row_i_is_always_image_i(
        self, values: list[int], queries: list[tuple[int, int]], tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        store = IndexStore(tmp_path_factory.mktemp("store"))
        images = {f"{row}.jpg": value for row, value in enumerate(values)}
        publish(store, "1", images)
        publish(store, "2", images, mode="unnecessary fast")
        batch = asked(*queries)
        found = store.open("1").search(batch)
        assert store.open("2").search(batch) == found
        for matches, (code, top_k) in zip(found, queries, strict=True):
            ranked = sorted((int.bit_count(code ^ value), row) for row, value in enumerate(values))[:top_k]
            assert answered(matches) == ([f"{row}.jpg" for _, row in ranked], [distance for distance, _ in ranked])
        shutil.rmtree(store.folder)


class TestFacts:
    def test_it_knows_its_name_and_manifest(self, folder: Path) -> None:
        version = IndexVersion(folder)
        assert version.name == "1.5.0"
        assert version.manifest == read_manifest(folder)
        assert (version.manifest.count, version.manifest.skipped) == (5, 1)

    def test_each_image_s_row_code_and_path_belong_together(self, folder: Path) -> None:
        version = IndexVersion(folder)
        for path, value in CODES.items():
            found = version.images.find(path)
            assert found and found[1] == file_of(path)
            assert version.vectors["code"][found[0]].tolist() == as_codes(value)[0].tolist()

    def test_opening_and_verifying_change_nothing(self, folder: Path) -> None:
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        IndexVersion(folder).search(asked((0, 1)))
        verify(folder)
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
        assert sorted(before) == ["images.db", "index.faiss", "manifest.json"]

    def test_in_the_other_mode_it_has_tables(self, fast: Path) -> None:
        before = {path.name: path.read_bytes() for path in fast.iterdir()}
        assert sorted(before) == [
            "images.db",
            "index.faiss",
            "manifest.json",
            "multi_index_codes.npy",
            "multi_index_groups.npy",
            "multi_index_ids.npy",
            "multi_index_offsets.npy",
            "multi_index_rows.npy",
        ]
        assert IndexVersion(fast).manifest.mode == "unnecessary fast"
        assert verify(fast) == read_manifest(fast)
        assert {path.name: path.read_bytes() for path in fast.iterdir()} == before

    def test_verify_answers_the_manifest(self, folder: Path) -> None:
        assert verify(folder) == read_manifest(folder)


def cut_by_one_byte(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def cut_to_nothing(path: Path) -> None:
    path.write_bytes(b"")


def grow_by_one_byte(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def flip(path: Path, position: int) -> None:
    """Change one bit of the byte at ``position``, counted from the end where it is negative."""
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


def republished(folder: Path, **changes: object) -> Manifest:
    """The manifest of ``folder`` with true sizes and checksums of what lies there now, and with ``changes``."""
    files = {name: file_entry(folder / name) for name in read_manifest(folder).files}
    manifest = with_checksum(read_manifest(folder).model_copy(update={"files": files, **changes}))
    (folder / MANIFEST_FILE).write_text(manifest.model_dump_json())
    return manifest


@pytest.mark.parametrize("check", [IndexVersion, verify], ids=["open", "verify"])
class TestDamageThatOpeningNotices:
    @pytest.mark.parametrize("name", [INDEX_FILE, IMAGES_FILE])
    @pytest.mark.parametrize("damage", [cut_by_one_byte, cut_to_nothing, grow_by_one_byte])
    def test_a_file_of_another_size(
        self, name: str, damage: Callable[[Path], None], folder: Path, check: Callable[[Path], object]
    ) -> None:
        damage(folder / name)
        with pytest.raises(VersionDamaged, match=rf"{name} of version 1\.5\.0 has \d+ bytes; its manifest says \d+"):
            check(folder)

    @pytest.mark.parametrize("name", [INDEX_FILE, IMAGES_FILE])
    def test_a_missing_file(self, name: str, folder: Path, check: Callable[[Path], object]) -> None:
        (folder / name).unlink()
        with pytest.raises(VersionDamaged, match=rf"{name} of version 1\.5\.0 cannot be read \(No such file"):
            check(folder)

    def test_lists_of_embeddings_that_it_has_not(self, folder: Path, check: Callable[[Path], object]) -> None:
        files = read_manifest(folder).files
        for name in LIST_FILES:
            np.save(folder / name, np.zeros(1))
            files = files | {name: file_entry(folder / name)}
        republished(folder, files=files)
        with pytest.raises(VersionDamaged, match="has lists of embeddings, and no embeddings or no codes"):
            check(folder)

    def test_a_missing_manifest(self, folder: Path, check: Callable[[Path], object]) -> None:
        (folder / MANIFEST_FILE).unlink()
        with pytest.raises(VersionDamaged, match=r"version 1\.5\.0 has no readable manifest\.json"):
            check(folder)

    @pytest.mark.parametrize("name", [INDEX_FILE, IMAGES_FILE])
    def test_a_manifest_that_forgets_a_file(self, name: str, folder: Path, check: Callable[[Path], object]) -> None:
        entries = {key: entry for key, entry in read_manifest(folder).files.items() if key != name}
        republished(folder, files=entries)
        with pytest.raises(VersionDamaged, match=rf"the manifest of version 1\.5\.0 doesn't list {name}"):
            check(folder)

    def test_more_codes_than_images(self, folder: Path, check: Callable[[Path], object]) -> None:
        write_codes(as_codes(1, 2, 3, 4, 5, 6), folder / INDEX_FILE)
        republished(folder, count=6)
        with pytest.raises(VersionDamaged, match=r"images\.db of version 1\.5\.0 has 5 images, and there are 6 codes"):
            check(folder)

    def test_more_images_than_codes(self, folder: Path, check: Callable[[Path], object]) -> None:
        with ImageTable(folder / IMAGES_FILE, writable=True) as table:
            table.add(5, file_of("one more"))
        republished(folder)
        with pytest.raises(VersionDamaged, match=r"images\.db of version 1\.5\.0 has 6 images, and there are 5 codes"):
            check(folder)

    def test_codes_of_another_width(self, folder: Path, check: Callable[[Path], object]) -> None:
        write_codes(np.zeros((5, 8), np.uint8), folder / INDEX_FILE)
        republished(folder)
        with pytest.raises(VersionDamaged, match=r"no flat index of 5 codes of 16 bits, but one of 5 codes of 64 bits"):
            check(folder)

    @pytest.mark.parametrize("name", [INDEX_FILE, IMAGES_FILE])
    def test_a_file_of_zeros_as_a_torn_disk_leaves_it(
        self, name: str, folder: Path, check: Callable[[Path], object]
    ) -> None:
        (folder / name).write_bytes(bytes((folder / name).stat().st_size))
        with pytest.raises(VersionDamaged):
            check(folder)

    @pytest.mark.parametrize("position", [3, 16])
    def test_a_flipped_bit_in_the_head_of_the_image_table(
        self, position: int, folder: Path, check: Callable[[Path], object]
    ) -> None:
        flip(folder / IMAGES_FILE, position)
        with pytest.raises(VersionDamaged):
            check(folder)


class TestDetails:
    @pytest.fixture(params=["default", "unnecessary fast"])
    def detailed(self, request: pytest.FixtureRequest, store: IndexStore) -> Path:
        """The same images with detail codes of 8 bits."""
        details = as_details(0x0F, 0xFF, 0x00, 0x01, 0x03)
        publish(store, "1.7.0", CODES, mode=request.param, details=details)
        return store.folder / "1.7.0"

    def test_ties_are_in_the_order_of_details(self, detailed: Path) -> None:
        version = IndexVersion(detailed, threads=2)
        version.warm_up()
        assert version.can("detail")
        query = query_of(as_codes(0x0000)[0], as_details(0x00)[0], top_k=3)
        found = version.search([query, query_of(as_codes(0x0000)[0], top_k=3), replace(query, rank="detail")])
        assert [answered(each) for each in found] == [
            (["data/zero again.jpg", "data/zero.jpg", "data/near one.jpg"], [0, 0, 1]),
            (["data/zero.jpg", "data/zero again.jpg", "data/near one.jpg"], [0, 0, 1]),
            (["-far.jpg", "größe/'zwei'.jpg", "data/zero again.jpg"], [0, 1, 2]),
        ]
        assert version.vectors["detail"][4].tolist() == [0x03]
        assert found[0].distances_by_space() == {"code": [0, 0, 1], "detail": [2, 8, 4]}
        assert found[0].rows == [4, 1, 0]

    def test_a_version_without_them_ignores_the_query_s(self, version: IndexVersion) -> None:
        assert not version.can("detail") and version.vectors.keys() == {"code"}
        version.warm_up()
        query = query_of(as_codes(0x0000)[0], as_details(0x00)[0], top_k=2)
        assert version.search([query]) == version.search([query_of(as_codes(0x0000)[0], top_k=2)])
        with pytest.raises(ValueError, match="rank 'detail' needs the space 'detail', which the version lacks"):
            version.search([replace(query, rank="detail")])

    def test_their_file_is_in_the_manifest(self, detailed: Path) -> None:
        manifest = verify(detailed)
        assert manifest.model.detail_bits == 8
        assert manifest.files[DETAILS_FILE] == file_entry(detailed / DETAILS_FILE)

    @pytest.mark.parametrize("check", [IndexVersion, verify], ids=["open", "verify"])
    @pytest.mark.parametrize("damage", [cut_by_one_byte, cut_to_nothing, grow_by_one_byte])
    def test_a_file_of_another_size(
        self, damage: Callable[[Path], None], check: Callable[[Path], object], detailed: Path
    ) -> None:
        damage(detailed / DETAILS_FILE)
        with pytest.raises(VersionDamaged, match=r"details\.faiss of version 1\.7\.0 has \d+ bytes; its manifest says"):
            check(detailed)
        republished(detailed)
        with pytest.raises(VersionDamaged, match=r"details\.faiss"):
            check(detailed)

    @pytest.mark.parametrize("check", [IndexVersion, verify], ids=["open", "verify"])
    def test_a_missing_file(self, check: Callable[[Path], object], detailed: Path) -> None:
        (detailed / DETAILS_FILE).unlink()
        with pytest.raises(VersionDamaged, match=r"details\.faiss of version 1\.7\.0 cannot be read \(No such file"):
            check(detailed)

    @pytest.mark.parametrize("check", [IndexVersion, verify], ids=["open", "verify"])
    def test_a_manifest_that_forgets_the_file(self, check: Callable[[Path], object], detailed: Path) -> None:
        entries = {key: entry for key, entry in read_manifest(detailed).files.items() if key != DETAILS_FILE}
        republished(detailed, files=entries)
        with pytest.raises(VersionDamaged, match=r"the manifest of version 1\.7\.0 doesn't list details\.faiss"):
            check(detailed)

    @pytest.mark.parametrize("codes", [as_details(1, 2, 3, 4), as_codes(1, 2, 3, 4, 5)], ids=["count", "width"])
    @pytest.mark.parametrize("check", [IndexVersion, verify], ids=["open", "verify"])
    def test_details_of_another_count_or_width(
        self, check: Callable[[Path], object], codes: Codes, detailed: Path
    ) -> None:
        write_codes(codes, detailed / DETAILS_FILE)
        republished(detailed)
        with pytest.raises(VersionDamaged, match=r"details\.faiss is no flat index of 5 codes of 8 bits, but one of"):
            check(detailed)

    def test_a_flipped_bit_is_noticed_by_verify(self, detailed: Path) -> None:
        flip(detailed / DETAILS_FILE, -1)
        IndexVersion(detailed)
        with pytest.raises(VersionDamaged, match=r"details\.faiss of version 1\.7\.0 has changed: its sha256"):
            verify(detailed)


@pytest.mark.parametrize("check", [IndexVersion, verify], ids=["open", "verify"])
@pytest.mark.parametrize("name", TABLE_FILES)
class TestDamagedTablesThatOpeningNotices:
    @pytest.mark.parametrize("damage", [cut_by_one_byte, cut_to_nothing, grow_by_one_byte])
    def test_a_file_of_another_size(
        self, name: str, damage: Callable[[Path], None], fast: Path, check: Callable[[Path], object]
    ) -> None:
        damage(fast / name)
        with pytest.raises(VersionDamaged, match=rf"{name} of version 1\.6\.0 has \d+ bytes; its manifest says \d+"):
            check(fast)

    def test_a_missing_file(self, name: str, fast: Path, check: Callable[[Path], object]) -> None:
        (fast / name).unlink()
        with pytest.raises(VersionDamaged, match=rf"{name} of version 1\.6\.0 cannot be read \(No such file"):
            check(fast)

    def test_a_manifest_that_forgets_a_file(self, name: str, fast: Path, check: Callable[[Path], object]) -> None:
        entries = {key: entry for key, entry in read_manifest(fast).files.items() if key != name}
        republished(fast, files=entries)
        with pytest.raises(VersionDamaged, match=rf"the manifest of version 1\.6\.0 doesn't list {name}"):
            check(fast)

    def test_a_file_of_zeros_as_a_torn_disk_leaves_it(
        self, name: str, fast: Path, check: Callable[[Path], object]
    ) -> None:
        (fast / name).write_bytes(bytes((fast / name).stat().st_size))
        with pytest.raises(VersionDamaged, match=name):
            check(fast)

    def test_tables_of_more_codes_than_there_are(
        self, name: str, fast: Path, check: Callable[[Path], object], store: IndexStore
    ) -> None:
        publish(store, "2.0", {f"{value}.jpg": value for value in range(9)}, mode="unnecessary fast")
        shutil.copy(store.folder / "2.0" / name, fast / name)
        if name == "multi_index_ids.npy":
            np.save(fast / name, np.zeros((1, 4), np.uint32))  # with one table, there are none
        elif name == "multi_index_offsets.npy":
            np.save(fast / name, np.zeros((2, 2**8 + 1), np.uint32))
        republished(fast)
        with pytest.raises(VersionDamaged, match=r"multi_index_.*npy is no table for 5 codes of 16 bits"):
            check(fast)


class TestDamageThatOnlyVerifyNotices:
    @pytest.mark.parametrize("name", [name for name in TABLE_FILES if "ids" not in name])  # one table has no ids
    def test_a_flipped_bit_of_a_table(self, name: str, fast: Path) -> None:
        flip(fast / name, -1)
        IndexVersion(fast).search(asked((0, 2)))
        with pytest.raises(VersionDamaged, match=rf"{name} of version 1\.6\.0 has changed: its sha256"):
            verify(fast)

    def test_a_flipped_bit_of_a_code(self, folder: Path) -> None:
        flip(folder / INDEX_FILE, -1)
        assert IndexVersion(folder).search(asked((0, 2)))[0].distances == [0, 1]
        with pytest.raises(VersionDamaged, match=r"index\.faiss of version 1\.5\.0 has changed: its sha256"):
            verify(folder)

    def test_a_flipped_bit_of_a_path(self, folder: Path) -> None:
        position = (folder / IMAGES_FILE).read_bytes().index(b"zero again")
        flip(folder / IMAGES_FILE, position)
        assert IndexVersion(folder).images.paths([4]) == ["data/{ero again.jpg"]
        with pytest.raises(VersionDamaged, match=r"images\.db of version 1\.5\.0 has changed: its sha256"):
            verify(folder)

    def test_two_codes_that_changed_places(self, folder: Path) -> None:
        write_codes(as_codes(*reversed(CODES.values())), folder / INDEX_FILE)
        assert IndexVersion(folder).manifest.count == 5
        with pytest.raises(VersionDamaged, match=r"index\.faiss of version 1\.5\.0 has changed"):
            verify(folder)

    @settings(deadline=None, max_examples=100)
    @given(data=st.data())
    def test_any_flipped_bit_is_no_crash_to_open_and_always_noticed(
        self, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        # Only this room's own errors may come of it: a server refuses the version and keeps the one it has.
        store = IndexStore(tmp_path_factory.mktemp("store"))
        publish(store, "1.5.0", CODES)
        folder = store.folder / "1.5.0"
        name = data.draw(st.sampled_from([INDEX_FILE, IMAGES_FILE]))
        last = (folder / name).stat().st_size - 1
        flip(folder / name, data.draw(st.integers(0, last) | st.integers(0, min(last, 99))))
        with pytest.raises(VersionDamaged):
            verify(folder)
        try:
            IndexVersion(folder).images.close()
        except SearcherError as refusal:
            assert str(refusal)
        shutil.rmtree(store.folder)
