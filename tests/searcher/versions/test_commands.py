"""``versions`` shows, verifies, promotes, rolls back and prunes what is really in the store."""

from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result

from hashlake.main import cli
from searcher.errors import SearcherError, VersionDamaged, VersionMissing
from searcher.scan.codes import INDEX_FILE
from searcher.versions.manifest import MANIFEST_FILE
from searcher.versions.store import IndexStore
from searcher.versions.verdict import verdict_on
from tests.searcher.versions.versions_by_hand import MODEL, publish

Run = Callable[..., Result]


@pytest.fixture
def run(store: IndexStore) -> Run:
    def in_store(*arguments: str) -> Result:
        return CliRunner().invoke(cli, ["versions", *arguments, "--index_store", str(store.folder)])

    return in_store


def said(result: Result) -> list[str]:
    """The lines of a run that went well, their columns one space apart."""
    assert result.exit_code == 0, result.output
    return [" ".join(line.split()) for line in result.output.splitlines() if line.strip()]


def verified_at(store: IndexStore, name: str) -> str:
    verdict = verdict_on(store.folder / name)
    assert verdict is not None
    return f"{verdict.checked:%Y-%m-%d %H:%M:%S}"


class TestList:
    def test_an_empty_store(self, run: Run, store: IndexStore) -> None:
        assert said(run("list")) == [f"no version is published in {store.folder}"]

    def test_every_version_oldest_first_with_a_star_at_the_current_one(self, run: Run, store: IndexStore) -> None:
        manifests = [
            publish(store, "2.0", {f"{number}.png": number for number in range(1234)}),
            publish(store, "1.0", {"a.png": 1}, skipped={"b.png": "empty", "c.png": "cut"}),
        ]
        store.promote("2.0")
        created = [f"{manifest.created:%Y-%m-%d %H:%M:%S}" for manifest in manifests]
        assert said(run("list")) == [
            "version created (UTC) images skipped model bits mode verified (UTC)",
            f"* 2.0 {created[0]} 1,234 0 grid 16 default {verified_at(store, '2.0')}",
            f"1.0 {created[1]} 1 2 grid 16 default not yet",
        ]

    def test_a_damaged_file_is_named(self, run: Run, store: IndexStore) -> None:
        publish(store, "1.0")
        index = store.folder / "1.0" / INDEX_FILE
        index.write_bytes(index.read_bytes()[:-1] + b"?")
        assert run("verify", "1.0").exit_code == 1
        assert said(run("list"))[1].endswith(" damaged: index.faiss")

    def test_they_are_shown_while_current_is_damaged(self, run: Run, store: IndexStore) -> None:
        publish(store, "1.0")
        (store.folder / "CURRENT").write_text("?")
        warning, _, line = said(run("list"))
        assert warning == "Warning: CURRENT holds no version's name: promote a version"
        assert line.startswith("1.0 ")

    def test_the_mode_of_each(self, run: Run, store: IndexStore) -> None:
        publish(store, "1.0", mode="unnecessary fast")
        publish(store, "1.1")
        assert [line.split("grid 16 ")[1] for line in said(run("list"))[1:]] == [
            "unnecessary fast not yet",
            "default not yet",
        ]

    def test_a_long_name_is_not_cut(self, run: Run, store: IndexStore) -> None:
        publish(store, "a" * 64)
        assert "a" * 64 in run("list").output

    @pytest.mark.parametrize("name", ["net[64]", "net[v2]", "[bold]net", "net [/bold]", ":smile:", "größe 模型"])
    def test_a_model_s_name_is_shown_as_it_is(self, name: str, run: Run, store: IndexStore) -> None:
        publish(store, "1.0", model=MODEL.model_copy(update={"name": name}))
        assert f" {name} 16 default" in said(run("list"))[1]

    def test_a_broken_version_hides_no_other(self, run: Run, store: IndexStore) -> None:
        publish(store, "1.0")
        publish(store, "1.1")
        (store.folder / "1.0" / MANIFEST_FILE).write_text("{")
        assert said(run("list"))[1].startswith("* 1.1 ")


class TestVerify:
    def test_one(self, run: Run, store: IndexStore) -> None:
        publish(store, "1.0")
        publish(store, "1.1", {"a": 1, "b": 2})
        assert said(run("verify", "1.1")) == ["1.1: 2 files as published, 2 images"]

    def test_one_with_tables(self, run: Run, store: IndexStore) -> None:
        publish(store, "1.0", mode="unnecessary fast")
        assert said(run("verify", "1.0")) == ["1.0: 7 files as published, 1 images"]

    def test_all(self, run: Run, store: IndexStore) -> None:
        publish(store, "1.0")
        publish(store, "1.1", {"a": 1, "b": 2})
        assert said(run("verify")) == ["1.0: 2 files as published, 1 images", "1.1: 2 files as published, 2 images"]

    @pytest.mark.parametrize("arguments", [["verify"], ["verify", "1.0"]], ids=["all", "one"])
    def test_a_changed_byte(self, arguments: list[str], run: Run, store: IndexStore) -> None:
        publish(store, "1.0")
        publish(store, "1.1")
        index = store.folder / "1.0" / INDEX_FILE
        index.write_bytes(index.read_bytes()[:-1] + b"\x55")
        result = run(*arguments)
        assert result.exit_code == 1 and isinstance(result.exception, VersionDamaged)
        assert "index.faiss of version 1.0 has changed" in str(result.exception)

    @pytest.mark.parametrize("arguments", [["verify"], ["verify", "1.0"]], ids=["all", "one"])
    def test_a_broken_manifest(self, arguments: list[str], run: Run, store: IndexStore) -> None:
        publish(store, "1.0")
        publish(store, "1.1")
        (store.folder / "1.0" / MANIFEST_FILE).write_text("{")
        result = run(*arguments)
        assert result.exit_code == 1 and "1.0" in str(result.exception)

    def test_a_missing_version(self, run: Run, store: IndexStore) -> None:
        publish(store, "1.0")
        assert isinstance(run("verify", "9").exception, VersionMissing)


class TestPromote:
    def test_it_makes_the_version_current(self, run: Run, store: IndexStore) -> None:
        publish(store, "1.0")
        publish(store, "1.1")
        assert said(run("promote", "1.0")) == ["1.0 is current"]
        assert store.current() == "1.0"

    @pytest.mark.parametrize("name", ["9", "../1.0", "CURRENT"])
    def test_what_is_no_version_changes_nothing(self, name: str, run: Run, store: IndexStore) -> None:
        publish(store, "1.0")
        result = run("promote", name)
        assert result.exit_code == 1 and isinstance(result.exception, SearcherError)
        assert store.current() == "1.0"

    def test_it_needs_a_name(self, run: Run) -> None:
        assert run("promote").exit_code == 2


class TestRollback:
    def test_it_goes_to_the_version_published_before(self, run: Run, store: IndexStore) -> None:
        for name in ("1.0", "3.0", "2.0"):
            publish(store, name)
        assert said(run("rollback")) == ["3.0 is current, 2.0 is kept"]
        assert said(run("rollback")) == ["1.0 is current, 3.0 is kept"]
        assert store.current() == "1.0"
        assert isinstance(run("rollback").exception, VersionMissing)
        assert store.current() == "1.0"

    def test_it_verifies_first(self, run: Run, store: IndexStore) -> None:
        publish(store, "1.0")
        publish(store, "1.1")
        (store.folder / "1.0" / INDEX_FILE).unlink()
        assert isinstance(run("rollback").exception, VersionDamaged)
        assert store.current() == "1.1"


class TestPrune:
    def test_two_are_kept_unless_told_otherwise(self, run: Run, store: IndexStore) -> None:
        for name in ("1", "2", "3", "4"):
            publish(store, name)
        assert said(run("prune")) == ["deleted 1, 2"]
        assert said(run("prune", "--keep", "1")) == ["deleted 3"]
        assert said(run("prune", "--keep", "1")) == ["no version was old enough to delete"]
        assert [manifest.version for manifest in store.manifests()] == ["4"]

    @pytest.mark.parametrize("keep", ["0", "-1", "all"])
    def test_a_number_that_would_keep_nothing(self, keep: str, run: Run, store: IndexStore) -> None:
        publish(store, "1")
        assert run("prune", "--keep", keep).exit_code == 2
        assert store.current() == "1" and store.has("1")


class TestStoreOption:
    def test_the_environment_says_where_the_store_is(self, store: IndexStore) -> None:
        publish(store, "1.0")
        result = CliRunner().invoke(cli, ["versions", "verify"], env={"HASHLAKE_INDEX_STORE": str(store.folder)})
        assert said(result) == ["1.0: 2 files as published, 1 images"]

    def test_otherwise_it_is_below_the_working_folder(self, store: IndexStore, monkeypatch: pytest.MonkeyPatch) -> None:
        publish(store, "1.0")
        monkeypatch.delenv("HASHLAKE_INDEX_STORE", raising=False)
        monkeypatch.chdir(store.folder.parent)
        assert said(CliRunner().invoke(cli, ["versions", "verify"])) == ["1.0: 2 files as published, 1 images"]

    def test_a_file_is_no_store(self, store: IndexStore) -> None:
        store.folder.parent.mkdir(parents=True)
        store.folder.write_text("mine")
        result = CliRunner().invoke(cli, ["versions", "list", "--index_store", str(store.folder)])
        assert result.exit_code == 2 and store.folder.read_text() == "mine"
