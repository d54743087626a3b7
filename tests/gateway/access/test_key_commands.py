"""``keys`` makes, lists and revokes what the gateway then knows."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.access.keys import KeyStore
from gateway.errors import GatewayError
from hashlake.main import cli

Run = Callable[..., Result]


@pytest.fixture
def store(tmp_path: Path) -> KeyStore:
    return KeyStore(tmp_path / "keys.db")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def with_state(*arguments: str) -> Result:
        return CliRunner().invoke(cli, ["keys", *arguments, "--state", str(tmp_path)])

    return with_state


def said(result: Result) -> list[str]:
    """The lines of a run that went well, their columns one space apart."""
    assert result.exit_code == 0, result.output
    return [" ".join(line.split()) for line in result.output.splitlines() if line.strip()]


def shown(time: datetime | None) -> str:
    assert time is not None
    return f"{time:%Y-%m-%d %H:%M:%S}"


class TestCreate:
    @pytest.mark.parametrize("role", ["admin", "search"])
    def test_the_key_alone_on_stdout(self, role: str, run: Run, store: KeyStore) -> None:
        result = run("create", "my phone", "--role", role)
        assert result.exit_code == 0
        key = store.find(result.stdout.removesuffix("\n"))
        assert key is not None
        assert (key.name, key.role) == ("my phone", role)
        assert result.stderr == f"This is the {role} key my phone ({key.id}). Keep it: it is shown only this once.\n"

    def test_a_name_in_use(self, run: Run) -> None:
        run("create", "a", "--role", "admin")
        result = run("create", "a", "--role", "search")
        assert isinstance(result.exception, GatewayError)
        assert str(result.exception) == "a key is named a already: revoke it first, or choose another name"
        assert result.stdout == ""

    @pytest.mark.parametrize("arguments", [["a"], ["a", "--role", "boss"], ["--role", "admin"]])
    def test_bad_usage(self, arguments: list[str], run: Run, store: KeyStore) -> None:
        result = run("create", *arguments)
        assert result.exit_code == 2
        assert store.list() == ()

    def test_the_state_s_folder_is_made(self, tmp_path: Path) -> None:
        folder = tmp_path / "new" / "state"
        result = CliRunner().invoke(
            cli, ["keys", "create", "a", "--role", "admin"], env={"HASHLAKE_STATE": str(folder)}
        )
        assert KeyStore(folder / "keys.db").find(result.stdout.strip()) is not None

    def test_the_folder_unless_told(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.delenv("HASHLAKE_STATE", raising=False)
        result = CliRunner().invoke(cli, ["keys", "create", "a", "--role", "admin"])
        assert KeyStore(tmp_path / "gateway_state" / "keys.db").find(result.stdout.strip()) is not None


class TestUnlessAny:
    def test_the_first_run_makes_a_key_and_the_second_says_nothing(self, run: Run, store: KeyStore) -> None:
        first = run("create", "first", "--role", "admin", "--unless_any")
        assert store.find(first.stdout.strip()) is not None
        second = run("create", "first", "--role", "admin", "--unless_any")
        assert (second.exit_code, second.output) == (0, "")
        assert [key.name for key in store.list()] == ["first"]

    def test_a_search_key_or_a_revoked_one_is_not_enough(self, run: Run, store: KeyStore) -> None:
        store.create("phone", "search")
        store.revoke(store.create("old", "admin")[0].id)
        result = run("create", "first", "--role", "admin", "--unless_any")
        assert store.find(result.stdout.strip()) is not None


class TestList:
    def test_none(self, run: Run, tmp_path: Path) -> None:
        assert said(run("list")) == ["there is no key yet"]
        assert list(tmp_path.iterdir()) == []

    def test_every_key_oldest_first(self, run: Run, store: KeyStore) -> None:
        texts = [store.create(name, "search")[1] for name in ("new", "used")] + [store.create("gone", "admin")[1]]
        store.find(texts[1])
        store.revoke(store.list()[2].id)
        new, used, gone = store.list()
        assert said(run("list")) == [
            "id name role created (UTC) last used (UTC) revoked (UTC)",
            f"{new.id} new search {shown(new.created)}",
            f"{used.id} used search {shown(used.created)} {shown(used.last_used)}",
            f"{gone.id} gone admin {shown(gone.created)} {shown(gone.revoked)}",
        ]

    def test_no_secret(self, run: Run, store: KeyStore) -> None:
        texts = [store.create(name, "admin")[1] for name in "abc"]
        output = run("list").output
        assert [text for text in texts if text[13:] in output] == []

    @pytest.mark.parametrize("name", ["a" * 64, "模" * 64, "net[v2]", "[bold]net", "net [/bold]", ":smile:"])
    def test_a_name_is_shown_whole_and_as_it_is(self, name: str, run: Run, store: KeyStore) -> None:
        key, _ = store.create(name, "search")
        store.revoke(key.id)
        assert said(run("list"))[1].startswith(f"{key.id} {name} search ")


class TestRevoke:
    def test_the_key_is_refused_from_then_on(self, run: Run, store: KeyStore) -> None:
        (gone, text), (_, kept) = store.create("a", "admin"), store.create("b", "admin")
        assert said(run("revoke", gone.id)) == [f"{gone.id} is revoked"]
        assert store.find(text) is None
        assert store.find(kept) is not None

    def test_an_unknown_id(self, run: Run, store: KeyStore) -> None:
        store.create("a", "admin")
        result = run("revoke", "0000000g")
        assert isinstance(result.exception, GatewayError)
        assert str(result.exception) == (
            "a key's id has 8 characters, of 0 to 9 and a to f, as `hashlake keys list` shows it"
        )
