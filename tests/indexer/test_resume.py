"""An indexer may be killed at any moment, or run out of disk: the served version stays, and the same command ends with
just the files that an undisturbed run writes. (tests/reliability kills it at every moment.)"""

import os
from pathlib import Path

import pytest

from embedding.torchscript import TorchScriptEmbedder
from indexer.hasher import CHUNK
from searcher.scan.tables import TABLE_FILES, Mode
from tests.indexer.site import REFUSED, Site, ended, site_in
from tests.indexer.stored import codes_by_path


@pytest.fixture(scope="module")
def _plain(tmp_path_factory: pytest.TempPathFactory, grid_path: Path) -> Site:
    return site_in(tmp_path_factory.mktemp("plain"), grid_path, 24)


@pytest.fixture(scope="module")
def _detailed(tmp_path_factory: pytest.TempPathFactory, colours_path: Path) -> Site:
    return site_in(tmp_path_factory.mktemp("detailed"), colours_path, 24)


@pytest.fixture(scope="module")
def _many(tmp_path_factory: pytest.TempPathFactory, colours_path: Path) -> Site:
    return site_in(tmp_path_factory.mktemp("many"), colours_path, 400)


@pytest.fixture(params=["_plain", "_detailed"])
def few(request: pytest.FixtureRequest) -> Site:
    """Three chunks of lines, for a model without detail codes and one with them."""
    site: Site = request.getfixturevalue(request.param)
    site.start_over()
    return site


@pytest.fixture
def detailed(_detailed: Site) -> Site:
    """Three chunks of lines, for a model with detail codes."""
    _detailed.start_over()
    return _detailed


@pytest.fixture
def many(_many: Site) -> Site:
    """Fifty chunks of lines, for a model with detail codes."""
    _many.start_over()
    return _many


# --- Killed


@pytest.mark.parametrize("checkpoints", [0, 1, 25, 49])
def test_killed_after_a_checkpoint_only_the_rest_is_done(many: Site, checkpoints: int) -> None:
    many.kill_with_checkpoints(checkpoints)
    many.assert_served()
    report = many.run_again()
    many.assert_as_undisturbed()
    assert many.bench.told == [f"going on after {checkpoints * CHUNK} of 800 images"]
    assert report is not None
    assert report.reused == checkpoints * CHUNK // 2  # every other line is an image


# --- What a killed run, or a file system that lost something, may have left


def test_codes_that_no_row_was_committed_for_are_cut_off(few: Site) -> None:
    few.kill_with_checkpoints(1)
    with (few.building / ".1.5.0.code").open("ab") as codes:
        codes.write(b"\xff" * 1001)
    few.run_again()
    few.assert_as_undisturbed()
    assert few.bench.told == ["going on after 16 of 48 images"]


@pytest.mark.parametrize("size", [0, 1, 15])
def test_codes_that_are_fewer_than_the_rows_start_the_build_afresh(few: Site, size: int) -> None:
    few.kill_with_checkpoints(1)
    os.truncate(few.building / ".1.5.0.code", size)
    few.run_again()
    few.assert_as_undisturbed()
    assert few.bench.told == ["an unfinished build of 1.5.0 had another number of codes on disk; starting afresh"]


def test_detail_codes_that_no_row_was_committed_for_are_cut_off(detailed: Site) -> None:
    detailed.kill_with_checkpoints(1)
    with (detailed.building / ".1.5.0.detail").open("ab") as details:
        details.write(b"\xff" * 1001)
    detailed.run_again()
    detailed.assert_as_undisturbed()
    assert detailed.bench.told == ["going on after 16 of 48 images"]


@pytest.mark.parametrize("size", [0, 1, 31])
def test_detail_codes_that_are_fewer_than_the_rows_start_the_build_afresh(detailed: Site, size: int) -> None:
    """Eight rows of four bytes are committed."""
    detailed.kill_with_checkpoints(1)
    os.truncate(detailed.building / ".1.5.0.detail", size)
    detailed.run_again()
    detailed.assert_as_undisturbed()
    assert detailed.bench.told == ["an unfinished build of 1.5.0 had another number of codes on disk; starting afresh"]


def test_lost_detail_codes_start_the_build_afresh(detailed: Site) -> None:
    detailed.kill_with_checkpoints(1)
    (detailed.building / ".1.5.0.detail").unlink()
    detailed.run_again()
    detailed.assert_as_undisturbed()


@pytest.mark.parametrize("lost", [".1.5.0.code", "1.5.0/images.db"])
def test_a_lost_file_starts_the_build_afresh(few: Site, lost: str) -> None:
    few.kill_with_checkpoints(1)
    (few.building / lost).unlink()
    few.run_again()
    few.assert_as_undisturbed()


def test_an_empty_table_starts_the_build_afresh(few: Site) -> None:
    few.kill_with_checkpoints(1)
    os.truncate(few.building / "1.5.0" / "images.db", 0)
    few.run_again()
    few.assert_as_undisturbed()


def test_a_damaged_table_starts_the_build_afresh(few: Site) -> None:
    few.kill_with_checkpoints(1)
    (few.building / "1.5.0" / "images.db").write_bytes(b"no database" * 1000)
    few.run_again()
    few.assert_as_undisturbed()
    assert few.bench.told == ["an unfinished build of 1.5.0 had another image table, now damaged; starting afresh"]


def test_a_run_killed_after_its_last_rename_has_nothing_left_to_do(few: Site) -> None:
    few.run_again()
    left = [few.building / f".1.5.0{suffix}" for suffix in ((".code", ".detail") if few.details else (".code",))]
    for path in left:
        path.touch()
    report = few.run_again()
    assert few.bench.told == ["version 1.5.0 was complete when the last run was killed"]
    assert report is not None and report.manifest.version == "1.5.0"
    assert not any(path.exists() for path in left)


def test_a_run_killed_after_publishing_beside_the_current_version_has_nothing_left_to_do(few: Site) -> None:
    few.run_again()
    few.bench.store.promote("0")
    (few.building / ".1.5.0.code").touch()
    report = few.run_again()
    assert few.bench.told == ["version 1.5.0 was complete when the last run was killed"]
    assert report is not None and report.manifest.version == "1.5.0"
    assert few.bench.store.current() == "0"


def test_half_an_index_file_is_written_anew(few: Site) -> None:
    few.kill_with_checkpoints(2)
    for name in ("index.faiss", "details.faiss") if few.details else ("index.faiss",):
        (few.building / "1.5.0" / name).write_bytes(b"IBxF half")
    (few.building / "1.5.0" / "manifest.json").write_text("{")
    few.run_again()
    few.assert_as_undisturbed()


@pytest.mark.parametrize("mode", ["default", "unnecessary fast"])
def test_half_written_tables_are_written_anew_or_left_out(few: Site, mode: Mode) -> None:
    few.kill_with_checkpoints(2)
    for name in TABLE_FILES[:3]:
        (few.building / "1.5.0" / name).write_bytes(b"half")
    few.bench.index("1.5.0", few.lines, mode=mode)
    few.assert_as_undisturbed()
    few.bench.index("another", few.lines, mode="unnecessary fast")
    for name in TABLE_FILES:
        resumed, undisturbed = few.bench.version("1.5.0") / name, few.bench.version("another") / name
        if mode == "default":
            assert not resumed.exists()
        else:
            assert resumed.read_bytes() == undisturbed.read_bytes()


def test_another_model_starts_the_build_afresh(few: Site, other_model: TorchScriptEmbedder) -> None:
    few.kill_with_checkpoints(1)
    report = few.bench.index("1.5.0", few.lines, model=other_model)
    assert few.bench.told == ["an unfinished build of 1.5.0 had another model; starting afresh"]
    assert report.manifest.model.name == "other"
    assert set(report.manifest.files) == {"index.faiss", "images.db"}
    assert list(few.building.iterdir()) == []
    assert report.reused == 0
    assert len(codes_by_path(few.bench.version("1.5.0"))) == 24


def test_another_listing_starts_the_build_afresh(few: Site) -> None:
    few.kill_with_checkpoints(1)
    few.bench.index("1.5.0", ["5.png", "3.png"])
    assert few.bench.told == ["an unfinished build of 1.5.0 had another source; starting afresh"]
    assert list(codes_by_path(few.bench.version("1.5.0"))) == ["5.png", "3.png"]


def test_another_base_starts_the_build_afresh(few: Site) -> None:
    few.kill_with_checkpoints(1)
    few.bench.index("1.5.0", few.lines, base="0")
    few.assert_as_undisturbed()
    assert few.bench.told == ["an unfinished build of 1.5.0 had another base_version; starting afresh"]


def test_an_unfinished_build_waits_while_another_version_is_built(few: Site) -> None:
    few.kill_with_checkpoints(2)
    few.bench.index("1.4.0", ["5.png", "3.png"])
    assert few.bench.told == []
    few.run_again()
    few.assert_as_undisturbed()
    assert few.bench.told == ["going on after 32 of 48 images"]


def test_codes_of_a_build_that_was_published_are_swept_up_by_the_next(few: Site) -> None:
    few.run_again()
    for suffix in (".code", ".detail"):
        (few.building / f".1.5.0{suffix}").write_bytes(b"codes")
    few.bench.index("1.6.0", ["5.png"])
    assert list(few.building.iterdir()) == []


def test_a_publish_that_was_killed_between_its_renames_is_finished(few: Site) -> None:
    few.run_again()
    (few.bench.store.folder / "CURRENT").write_text("0\n")
    (few.bench.store.folder / "CURRENT.next").write_text("1.5.0\n")
    report = few.run_again()
    assert few.bench.told == ["version 1.5.0 was complete when the last run was killed"]
    assert report is not None
    assert (report.manifest.count, report.manifest.skipped) == (24, 24)
    few.assert_as_undisturbed()


# --- A full disk


@pytest.mark.parametrize("largest_file", [0, 20, 100, 4096, 16384, 24576, 28672])
def test_a_full_disk_leaves_the_served_version_and_the_build_goes_on_later(many: Site, largest_file: int) -> None:
    assert ended(many.indexer(largest_file=largest_file)) == REFUSED
    assert many.bench.store.current() == "0"
    many.bench.store.verify("0")
    many.run_again()
    many.assert_as_undisturbed()
