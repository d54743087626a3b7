"""A key opens what it should from its making to its revocation, and the file never knows its secret."""

import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.access.keys import ApiKey, KeyStore
from gateway.errors import GatewayError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "keys.db"


@pytest.fixture
def store(path: Path) -> KeyStore:
    return KeyStore(path)


@contextmanager
def database(path: Path) -> Iterator[sqlite3.Connection]:
    """Another program's connection, each of its statements a transaction."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def other_secret(text: str) -> str:
    """The same id, with one other character in the secret."""
    return text[:-1] + ("A" if text[-1] != "A" else "B")


class TestCreate:
    def test_what_a_key_reads(self, store: KeyStore) -> None:
        key, text = store.create("ci", "search")
        assert re.fullmatch(rf"hlk_{key.id}_[A-Za-z0-9_-]{{32}}", text)
        assert re.fullmatch("[0-9a-f]{8}", key.id)

    def test_what_is_known_of_it(self, store: KeyStore) -> None:
        before = now()
        key, _ = store.create("ci", "search")
        assert before <= key.created <= now()
        assert key == ApiKey(key.id, "ci", "search", key.created, None, None)
        assert key.created.utcoffset() == timedelta(0)

    def test_only_a_hash_is_on_disk(self, store: KeyStore, path: Path) -> None:
        texts = [store.create(str(number), "admin")[1] for number in range(3)]
        for text in texts:
            store.find(text)
        written = b"".join(file.read_bytes() for file in path.parent.iterdir())
        for text in texts:
            assert text[4:12].encode() in written  # the id
            assert text[13:].encode() not in written
            assert text[13:37].encode() not in written

    def test_the_file_is_its_owner_s_alone(self, store: KeyStore, path: Path) -> None:
        store.create("ci", "search")
        assert path.stat().st_mode & 0o777 == 0o600

    @pytest.mark.parametrize("name", ["a", "a" * 64, "Jo's phone [v2]", "größe 模型"])
    def test_names(self, name: str, store: KeyStore) -> None:
        store.create(name, "search")
        assert [key.name for key in store.list()] == [name]

    @pytest.mark.parametrize("name", ["", " ", " a", "a ", "a" * 65, "a\nb", "a\x1b[0m", "a\x00", "\ud800"])
    def test_bad_names(self, name: str, store: KeyStore, path: Path) -> None:
        with pytest.raises(GatewayError, match=r"^a key's name has 1 to 64 printable characters, and no space"):
            store.create(name, "search")
        assert not path.exists()

    def test_a_name_is_one_key_s_until_it_is_revoked(self, store: KeyStore) -> None:
        first, _ = store.create("ci", "search")
        with pytest.raises(GatewayError, match=r"^a key is named ci already"):
            store.create("ci", "admin")
        assert [key.id for key in store.list()] == [first.id]
        store.revoke(first.id)
        second, text = store.create("ci", "admin")
        assert store.find(text) == second
        assert [key.id for key in store.list()] == [first.id, second.id]

    def test_an_id_is_never_given_twice(self, store: KeyStore, monkeypatch: pytest.MonkeyPatch) -> None:
        ids = iter(["00000000", "00000000", "0000000f"])
        monkeypatch.setattr("secrets.token_hex", lambda _size: next(ids))
        assert [store.create(name, "search")[0].id for name in "ab"] == ["00000000", "0000000f"]


class TestFind:
    def test_a_key(self, store: KeyStore) -> None:
        made = [store.create("a", "admin"), store.create("b", "search")]
        assert [store.find(text) for _, text in made] == [key for key, _ in made]

    def test_every_secret_parses(self, store: KeyStore) -> None:
        """Among 60 secrets of 32 characters, some hold "_", some "-", some start or end with them."""
        made = [store.create(str(number), "search") for number in range(60)]
        assert {"_", "-"} <= set("".join(text[13:] for _, text in made))
        assert [store.find(text) for _, text in made] == [key for key, _ in made]

    @pytest.mark.parametrize("secret", ["_" * 32, "-" * 32, "_" + "a" * 30 + "_", "hlk_00000000_" + "_" * 19])
    def test_secrets_that_look_like_separators(
        self, secret: str, store: KeyStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("secrets.token_urlsafe", lambda _size: secret)
        key, text = store.create("odd", "search")
        assert text == f"hlk_{key.id}_{secret}"
        assert store.find(text) == key

    def test_the_right_id_with_another_secret(self, store: KeyStore) -> None:
        text = store.create("a", "admin")[1]
        assert store.find(other_secret(text)) is None
        assert store.find(text[:13] + store.create("b", "admin")[1][13:]) is None

    def test_an_unknown_id(self, store: KeyStore) -> None:
        text = store.create("a", "admin")[1]
        unknown = "00000000" if text[4:12] != "00000000" else "11111111"
        assert store.find(f"hlk_{unknown}_{text[13:]}") is None

    def test_an_unknown_id_costs_a_comparison_too(self, store: KeyStore, monkeypatch: pytest.MonkeyPatch) -> None:
        text = store.create("a", "admin")[1]
        compared: list[tuple[int, int]] = []
        monkeypatch.setattr("hmac.compare_digest", lambda a, b: compared.append((len(a), len(b))) or a == b)
        store.find("hlk_" + ("0" * 8 if text[4:12] != "0" * 8 else "1" * 8) + text[12:])
        store.find(other_secret(text))
        assert compared == [(32, 32), (32, 32)]

    @pytest.mark.parametrize(
        "change",
        [
            lambda text: "",
            lambda text: text[4:],
            lambda text: text[:-1],
            lambda text: text + "A",
            lambda text: text + "\n",
            lambda text: " " + text,
            lambda text: text.upper(),
            lambda text: text[:12] + text[13:],
            lambda text: text[:-1] + "é",
            lambda text: text[:-1] + "+",
            lambda text: "hlk_" + "0" * 1_000_000,
        ],
    )
    def test_malformed(self, change: Callable[[str], str], store: KeyStore) -> None:
        assert store.find(change(store.create("a", "admin")[1])) is None

    def test_before_there_is_a_file_there_is_no_key_and_none_is_made(self, store: KeyStore, path: Path) -> None:
        assert store.find("hlk_00000000_" + "A" * 32) is None
        assert store.list() == ()
        assert not store.has_admin()
        assert not path.parent.exists()


class TestRevoke:
    def test_another_store_refuses_the_key_at_once(self, store: KeyStore, path: Path) -> None:
        server = KeyStore(path)
        key, text = store.create("a", "admin")
        _, kept = store.create("b", "admin")
        assert server.find(text) == key
        store.revoke(key.id)
        assert server.find(text) is None
        assert server.find(kept) is not None

    def test_it_stays_listed_with_its_first_time(self, store: KeyStore, path: Path) -> None:
        key, _ = store.create("a", "admin")
        before = now()
        store.revoke(key.id)
        (revoked,) = store.list()
        assert revoked.revoked is not None
        assert before <= revoked.revoked <= now()
        with database(path) as connection:
            connection.execute("UPDATE keys SET revoked = '2020-05-02T12:00:00+00:00'")
        store.revoke(key.id)
        assert store.list() == (replace(key, revoked=datetime(2020, 5, 2, 12, tzinfo=UTC)),)

    def test_an_unknown_id(self, store: KeyStore, path: Path) -> None:
        with pytest.raises(GatewayError, match=r"^no key has the id 00000000$"):
            store.revoke("00000000")
        assert not path.exists()

    def test_a_whole_key_is_not_repeated(self, store: KeyStore) -> None:
        _, text = store.create("a", "admin")
        with pytest.raises(GatewayError, match=r"^a key's id has 8 characters") as refused:
            store.revoke(text)
        assert text[13:] not in str(refused.value)
        assert store.find(text) is not None


class TestHasAdmin:
    def test_only_an_admin_key_in_use_counts(self, store: KeyStore) -> None:
        store.create("a", "search")
        assert not store.has_admin()
        key, _ = store.create("b", "admin")
        assert store.has_admin()
        store.revoke(key.id)
        assert not store.has_admin()


class TestLastUsed:
    @pytest.fixture
    def text(self, store: KeyStore) -> str:
        return store.create("a", "search")[1]

    def used(self, path: Path) -> str | None:
        with database(path) as connection:
            (time,) = connection.execute("SELECT last_used FROM keys").fetchone()
            return None if time is None else str(time)

    def set_used(self, path: Path, time: datetime) -> str:
        with database(path) as connection:
            connection.execute("UPDATE keys SET last_used = ?", (time.isoformat(),))
        return time.isoformat()

    def test_the_first_use_is_noted(self, store: KeyStore, text: str) -> None:
        assert store.list()[0].last_used is None
        before = now()
        store.find(text)
        last_used = store.list()[0].last_used
        assert last_used is not None
        assert before <= last_used <= now()

    def test_a_use_in_the_same_minute_is_not(self, store: KeyStore, text: str, path: Path) -> None:
        noted = self.set_used(path, now() - timedelta(seconds=30))
        written = path.read_bytes()
        store.find(text)
        assert self.used(path) == noted
        assert path.read_bytes() == written

    @pytest.mark.parametrize("ago", [timedelta(seconds=61), timedelta(days=-1)], ids=["a minute", "a clock set back"])
    def test_a_later_use_is(self, ago: timedelta, store: KeyStore, text: str, path: Path) -> None:
        noted = self.set_used(path, now() - ago)
        before = now()
        store.find(text)
        assert self.used(path) != noted
        assert before <= datetime.fromisoformat(str(self.used(path))) <= now()

    def test_a_wrong_secret_is_no_use(self, store: KeyStore, text: str, path: Path) -> None:
        store.find(other_secret(text))
        assert self.used(path) is None

    def test_a_file_that_another_program_writes_to(self, store: KeyStore, text: str, path: Path) -> None:
        with database(path) as connection:
            connection.execute("BEGIN IMMEDIATE")
            start = time.monotonic()
            key = store.find(text)
            assert time.monotonic() - start < 4  # SQLite would wait for 5 seconds
        assert key is not None
        assert key.name == "a"
        assert self.used(path) is None

    def test_a_file_that_cannot_be_written(self, store: KeyStore, text: str, path: Path) -> None:
        with database(path) as connection:
            connection.execute("CREATE TRIGGER no BEFORE UPDATE ON keys BEGIN SELECT raise(ABORT, 'full'); END")
        key = store.find(text)
        assert key is not None
        assert key.name == "a"
        assert self.used(path) is None


class TestAtOnce:
    def test_threads_make_and_use_keys(self, path: Path) -> None:
        def work(number: int) -> tuple[ApiKey, ApiKey | None]:
            store = KeyStore(path)
            key, text = store.create(f"key {number}", "search")
            return key, store.find(text)

        with ThreadPoolExecutor(8) as threads:
            done = list(threads.map(work, range(24)))
        assert [found for _, found in done] == [key for key, _ in done]
        listed = KeyStore(path).list()
        assert sorted(key.name for key in listed) == sorted(f"key {number}" for number in range(24))
        assert {key.id for key in listed} == {key.id for key, _ in done}

    def test_one_name_goes_to_one_of_them(self, path: Path) -> None:
        def work(_: int) -> str:
            try:
                return KeyStore(path).create("ci", "admin")[0].id
            except GatewayError as error:
                return str(error)

        with ThreadPoolExecutor(8) as threads:
            said = list(threads.map(work, range(8)))
        (key,) = KeyStore(path).list()
        assert sorted(said) == sorted(
            [key.id] + ["a key is named ci already: revoke it first, or choose another name"] * 7
        )

    def test_nobody_writes_between_the_look_at_the_names_and_the_new_key(
        self, store: KeyStore, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def new_id(_size: int) -> str:
            with database(path) as connection:
                connection.execute("PRAGMA busy_timeout = 0")
                with pytest.raises(sqlite3.OperationalError, match="database is locked"):
                    connection.execute("BEGIN IMMEDIATE")
            return "00000000"

        monkeypatch.setattr("secrets.token_hex", new_id)
        assert store.create("a", "search")[0].id == "00000000"


class TestDamage:
    def refusals(self, store: KeyStore) -> list[str]:
        said = []
        for ask in (
            lambda: store.find("hlk_00000000_" + "A" * 32),
            store.list,
            store.has_admin,
            lambda: store.revoke("00000000"),
            lambda: store.create("a", "admin"),
        ):
            with pytest.raises(GatewayError) as refused:
                ask()
            said.append(str(refused.value))
        return said

    def test_a_file_that_is_no_database(self, store: KeyStore, path: Path) -> None:
        path.parent.mkdir()
        path.write_bytes(b"keys, keys, keys" * 1000)
        assert self.refusals(store) == [f"cannot use the API keys in {path}: file is not a database"] * 5

    def test_a_database_of_something_else(self, store: KeyStore, path: Path) -> None:
        path.parent.mkdir()
        with database(path) as connection:
            connection.execute("CREATE TABLE keys(key, value)")
        assert self.refusals(store)[:2] == [f"cannot use the API keys in {path}: no such column: id"] * 2

    def test_a_schema_of_several_lines_is_told_in_one(self, store: KeyStore, path: Path) -> None:
        store.create("a", "admin")
        path.write_bytes(path.read_bytes().replace(b"CREATE TABLE", b'CREATE "ABLE', 1))
        for said in self.refusals(store):
            assert str(path) in said
            assert "\n" not in said

    @pytest.mark.parametrize("column", ["created", "last_used", "revoked", "role"])
    def test_a_row_that_is_no_key(self, column: str, store: KeyStore, path: Path) -> None:
        store.create("a", "admin")
        with database(path) as connection:
            connection.execute(f"UPDATE keys SET {column} = 'yesterday\n'")
        with pytest.raises(GatewayError) as refused:
            store.list()
        assert str(refused.value) == f"the API keys in {path} are damaged"

    def test_a_hash_that_is_none(self, store: KeyStore, path: Path) -> None:
        _, text = store.create("a", "admin")
        with database(path) as connection:
            connection.execute("UPDATE keys SET hash = 7")
        with pytest.raises(GatewayError, match=r"are damaged$"):
            store.find(text)

    def test_a_folder_that_cannot_be_made(self, tmp_path: Path) -> None:
        (tmp_path / "state").write_text("a file")
        path = tmp_path / "state" / "keys.db"
        with pytest.raises(GatewayError) as refused:
            KeyStore(path).create("a", "admin")
        assert str(refused.value) == f"cannot write the API keys in {path}: File exists"

    def test_a_folder_in_the_place_of_the_file(self, store: KeyStore, path: Path) -> None:
        path.mkdir(parents=True)
        assert self.refusals(store) == [f"cannot use the API keys in {path}: unable to open database file"] * 5
