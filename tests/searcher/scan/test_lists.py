"""Lists say in which codes to look for the nearest embeddings; how many lists that takes is measured."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from contract.space import CODE, EMBEDDING
from searcher.errors import VersionDamaged
from searcher.scan import list_builder, shortlist
from searcher.scan.floats import FloatIndex
from searcher.scan.list_builder import build_lists
from searcher.scan.lists import LIST_FILES, Lists, map_lists, write_lists
from searcher.scan.ranking import Query, Ranking
from searcher.scan.search import CodeIndex, Hits
from searcher.scan.shortlist import RECALL, Shortlist, measure, shortlist_for
from tests.searcher.scan.test_shortlist import BITS, WIDTH, clustered

COUNT = 4000


@pytest.fixture(autouse=True, scope="module")
def _small() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(list_builder, "LEAST", COUNT)
        patch.setattr(shortlist, "_SAMPLE", 60)
        yield


@pytest.fixture(scope="module")
def images() -> tuple[NDArray[np.float16], NDArray[np.uint8]]:
    return clustered(COUNT)


@pytest.fixture(scope="module")
def lists(images: tuple[NDArray[np.float16], NDArray[np.uint8]], _small: None) -> Lists:
    built = build_lists(*images)
    assert built is not None
    return built


def rows_of(lists: Lists, which: int) -> NDArray[np.uint32]:
    return lists.rows[lists.starts[which] : lists.starts[which + 1]]


def test_each_row_is_in_the_list_of_its_nearest_centre(
    images: tuple[NDArray[np.float16], NDArray[np.uint8]], lists: Lists
) -> None:
    vectors, codes = images
    assert len(lists.centres) == 128  # the power of two nearest to 2 √4000
    assert np.linalg.norm(lists.centres, axis=1) == pytest.approx(np.ones(128), abs=1e-5)
    assert np.sort(lists.rows).tolist() == [*range(COUNT)]
    assert (lists.codes == codes[lists.rows]).all()
    cosines = vectors.astype(np.float32) @ lists.centres.T
    for which in range(128):
        rows = rows_of(lists, which)
        assert np.all(np.diff(rows.astype(np.int64)) > 0)
        assert cosines[rows, which] == pytest.approx(cosines[rows].max(axis=1), abs=1e-5)


def test_the_same_embeddings_make_the_same_lists(
    images: tuple[NDArray[np.float16], NDArray[np.uint8]], lists: Lists
) -> None:
    again = build_lists(*images)
    assert again is not None
    assert [each.tobytes() for each in again.arrays] == [each.tobytes() for each in lists.arrays]


def test_few_images_have_none(images: tuple[NDArray[np.float16], NDArray[np.uint8]]) -> None:
    vectors, codes = images
    assert build_lists(vectors[1:], codes[1:]) is None


def test_copies_and_zeros_are_no_obstacle() -> None:
    vectors, codes = np.zeros((COUNT, WIDTH), np.float16), np.zeros((COUNT, BITS // 8), np.uint8)
    vectors[10:3000, 0] = 1
    lists = build_lists(vectors, codes)
    assert lists is not None
    assert np.sort(lists.rows).tolist() == [*range(COUNT)]
    assert np.isfinite(lists.centres).all()


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("top_k", [1, 7, 50, COUNT])
def test_the_nearest_codes_of_lists_are_those_by_numpy(
    images: tuple[NDArray[np.float16], NDArray[np.uint8]], lists: Lists, top_k: int, masked: bool
) -> None:
    vectors, codes = images
    random = np.random.default_rng(top_k)
    mask = random.random(COUNT) < 0.5 if masked else np.ones(COUNT, bool)
    allowed = np.packbits(mask, bitorder="little") if masked else None
    for row in (0, 17, 3999):
        cosines = lists.centres @ vectors[row].astype(np.float32) / np.linalg.norm(vectors[row].astype(np.float32))
        fifth, sixth = np.sort(cosines)[[-5, -6]]
        chosen = lists.nearest_lists(vectors[row], cosines.max() - (fifth + sixth) / 2)
        assert chosen.tolist() == np.flatnonzero(cosines >= fifth).tolist()
        distances, found = lists.nearest_codes(codes[row], chosen, top_k, allowed)
        rows = np.concatenate([rows_of(lists, which) for which in chosen])
        rows = rows[mask[rows]]
        apart = np.bitwise_count(codes[rows] ^ codes[row]).sum(axis=1)
        assert distances.tolist() == sorted(apart.tolist())[:top_k]
        assert len(set(found.tolist())) == len(found) == min(top_k, len(rows))
        assert set(found.tolist()) <= set(rows.tolist())
        assert np.bitwise_count(codes[found] ^ codes[row]).sum(axis=1).tolist() == distances.tolist()


def test_far_enough_all_lists_are_near(lists: Lists) -> None:
    assert lists.nearest_lists(np.ones(WIDTH, np.float16), 2).tolist() == [*range(128)]
    assert lists.nearest_lists(np.zeros(WIDTH, np.float16), 0).tolist() == [*range(128)]  # is near to nothing


def test_they_hold_what_was_measured(
    images: tuple[NDArray[np.float16], NDArray[np.uint8]], lists: Lists, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors, codes = images
    measured = measure(vectors, codes, lists)
    assert all(each.margin and each.farthest and each.recall >= RECALL for each in measured)
    ranking = Ranking({CODE: CodeIndex(codes)}, FloatIndex(vectors), measured, lists)
    looked: list[CodeIndex] = []
    search = CodeIndex.search

    def counted(index: CodeIndex, *given: Any, **more: Any) -> list[Hits]:
        looked.append(index)
        return search(index, *given, **more)

    monkeypatch.setattr(CodeIndex, "search", counted)
    sample = np.random.default_rng(0).choice(COUNT, 60, replace=False)
    for each in measured[:2]:
        found = 0
        for row in sample:
            allowed = np.packbits(np.arange(COUNT) != row, bitorder="little")
            asked = {CODE: codes[row], EMBEDDING: vectors[row]}
            (nearest,), (near,) = (
                ranking.search([Query(asked, each.top_k, exact=exact)], allowed) for exact in (True, False)
            )
            found += len(np.intersect1d(nearest.rows, near.rows))
            assert near.of_order.tolist() == sorted(near.of_order)
        assert found / (60 * each.top_k) >= each.recall
    assert len(looked) <= 4  # of 120 searches: the farthest of all, where one of the nearest wasn't found


def test_a_query_far_from_all_that_was_measured_has_a_reach_of_its_own(
    images: tuple[NDArray[np.float16], NDArray[np.uint8]], lists: Lists
) -> None:
    vectors, codes = images
    measured = measure(vectors, codes, lists)
    asked = {CODE: codes[0], EMBEDDING: -vectors.astype(np.float32).mean(axis=0).astype(np.float16)}
    listed, all_codes = (
        Ranking({CODE: CodeIndex(codes)}, FloatIndex(vectors), measured, which).search([Query(asked)])[0]
        for which in (lists, None)
    )
    assert listed.of_order[-1] > (measured[0].farthest or 0)
    exactly = Ranking({CODE: CodeIndex(codes)}, FloatIndex(vectors)).search([Query(asked)])[0]
    assert listed.rows.tolist() == all_codes.rows.tolist() == exactly.rows.tolist()


def test_where_few_are_allowed_every_code_is_looked_at(
    images: tuple[NDArray[np.float16], NDArray[np.uint8]], lists: Lists
) -> None:
    vectors, codes = images
    ranking = Ranking({CODE: CodeIndex(codes)}, FloatIndex(vectors), measure(vectors, codes, lists), lists)
    mask = np.zeros(COUNT, bool)
    mask[[5, 2000, 2999]] = True
    (found,) = ranking.search([Query({CODE: codes[0], EMBEDDING: vectors[0]})], np.packbits(mask, bitorder="little"))
    assert sorted(found.rows.tolist()) == [5, 2000, 2999]


def test_more_answers_than_were_measured_take_all_codes(
    images: tuple[NDArray[np.float16], NDArray[np.uint8]], lists: Lists
) -> None:
    measured = measure(*images, lists)
    more = shortlist_for(2000, measured)
    assert more is not None
    assert (more.margin, more.size) == (None, 2 * measured[-1].size)


def test_a_margin_holds_as_far_as_was_measured() -> None:
    whole = {"top_k": 10, "size": 40, "base": 2, "slope": 50, "recall": 0.99, "queries": 1}
    for part in ({"margin": 0.1, "farthest": 0.5}, {"farthest": 0.5}, {}):
        Shortlist.model_validate(whole | part)
    with pytest.raises(ValidationError, match="farthest that was measured, which is missing"):
        Shortlist.model_validate(whole | {"margin": 0.1})


class TestDamage:
    @pytest.fixture
    def folder(self, tmp_path: Path, lists: Lists) -> Path:
        write_lists(lists, tmp_path)
        mapped = map_lists(tmp_path, count=COUNT, width=WIDTH, bits=BITS)
        assert [each.tobytes() for each in mapped.arrays] == [each.tobytes() for each in lists.arrays]
        return tmp_path

    @staticmethod
    def assert_refused(folder: Path, file: str) -> None:
        with pytest.raises(VersionDamaged) as refusal:
            map_lists(folder, count=COUNT, width=WIDTH, bits=BITS)
        assert file in str(refusal.value)

    def test_lists_that_are_written_over_while_they_are_searched(
        self, folder: Path, images: tuple[NDArray[np.float16], NDArray[np.uint8]]
    ) -> None:
        mapped, starts = map_lists(folder, count=COUNT, width=WIDTH, bits=BITS), folder / LIST_FILES[1]
        asked = images[1][0], np.arange(128), 10, None
        before = mapped.nearest_codes(*asked)[0].tolist()
        with starts.open("r+b") as file:
            file.seek(128)
            file.write(b"\xff" * (starts.stat().st_size - 128))
        assert mapped.nearest_codes(*asked)[0].tolist() == before

    @pytest.mark.parametrize("file", LIST_FILES)
    def test_a_file_that_is_missing_cut_or_another(self, file: str, folder: Path) -> None:
        whole, array = (folder / file).read_bytes(), np.load(folder / file)
        (folder / file).write_bytes(whole[:-1])
        self.assert_refused(folder, file)
        for other in (array[:-1], array.astype(np.float64), array[None], np.asfortranarray(array[..., None])[:0]):
            np.save(folder / file, other)
            with pytest.raises(VersionDamaged):
                map_lists(folder, count=COUNT, width=WIDTH, bits=BITS)
        np.save(folder / file, np.array([None]), allow_pickle=True)
        self.assert_refused(folder, file)
        (folder / file).unlink()
        self.assert_refused(folder, file)

    @pytest.mark.parametrize("starts", [[5, COUNT], [0, COUNT - 1], [0, COUNT + 1], [0, 3000, 2000, COUNT]])
    def test_lists_that_divide_other_rows(self, starts: list[int], folder: Path) -> None:
        array = np.sort(np.resize(np.array(starts[1:-1] or [7], np.uint32), 127))
        array = np.concatenate([[starts[0]], array, [starts[-1]]]).astype(np.uint32)
        if len(starts) == 4:
            array[50], array[51] = 3000, 2000
        np.save(folder / LIST_FILES[1], array)
        self.assert_refused(folder, LIST_FILES[1])

    def test_a_row_beyond_the_last_is_left_out(
        self, images: tuple[NDArray[np.float16], NDArray[np.uint8]], lists: Lists
    ) -> None:
        rows = lists.rows.copy()
        rows[0] = 2**32 - 1
        damaged = Lists(lists.centres, lists.starts, rows, lists.codes)
        _, found = damaged.nearest_codes(images[1][0], np.arange(128), COUNT, None)
        assert len(found) == COUNT - 1
        assert found.max() < COUNT
