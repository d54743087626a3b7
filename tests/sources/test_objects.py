"""Pictures in a bucket, on a real server: which are listed, what is read again, what failing stores do."""

import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import obstore
import pytest
from obstore.store import S3Store

from searcher.versions.store import IndexStore
from sources.errors import SourceError, Unreadable
from sources.objects import Bucket, parts_of
from sources.registry import open_source
from sources.source import Item
from tests.fakes import code_bytes, png_of, write_grid_model
from tests.hashlake.command import hashlake
from tests.indexer.stored import codes_by_path, skipped_of
from tests.sources.s3_server import SECRET, S3Server, set_credentials


@pytest.fixture
def lake(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> tuple[str, S3Store]:
    """The address of an empty bucket, and its client."""
    set_credentials(monkeypatch, s3.url)
    name, store = s3.new_bucket()
    return f"s3://{name}", store


def fill(store: S3Store, contents: dict[str, bytes]) -> None:
    for key, content in contents.items():
        obstore.put(store, key, content, use_multipart=False)


def names(address: str) -> list[str]:
    with open_source(address) as source:
        return [item.name for item in source.items()]


def test_pictures_are_listed_by_a_folders_rules(
    s3: S3Server, lake: tuple[str, S3Store], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Libraries that configure logging, in tests that ran before, disable the loggers of others.
    monkeypatch.setattr("sources.objects._log.disabled", False)
    address, store = lake
    keys = ["a/1.jpg", "a/été +%41#?.PNG", "a/no suffix", "-dash.jpg"]
    left_out = ["a/b.txt", "a/c.cr2", ".thumbnails/1.jpg", "a/._1.jpg", "a/half.part"]
    fill(store, dict.fromkeys(keys + left_out, b"x"))
    httpx.put(
        f"{s3.url}/{address.removeprefix('s3://')}/a/", trust_env=False, timeout=60
    ).raise_for_status()  # as consoles do
    caplog.set_level(logging.WARNING)
    assert names(address) == sorted([f"{address}/{key}" for key in keys], key=str.encode)
    assert caplog.messages == ["left out: 1 cr2, 2 in trash and thumbnail folders (--keep_hidden lists them)"]
    assert names(f"{address}/a/") == [f"{address}/{key}" for key in (keys[0], keys[2], keys[1])]
    with pytest.raises(SourceError, match=r"no image below s3://.*/nothing$"), open_source(f"{address}/nothing"):
        pass


def test_the_next_run_reads_only_what_is_new_or_has_changed(
    lake: tuple[str, S3Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, store = lake
    fill(store, {f"{number}.png": png_of(number) for number in range(40)} | {"bad.png": b"no picture"})
    model = write_grid_model(tmp_path / "grid.pt")
    read: list[str] = []
    whole = Bucket.read

    def counted(self: Bucket, item: Item) -> tuple[Item, bytes]:
        read.append(item.name)
        return whole(self, item)

    monkeypatch.setattr(Bucket, "read", counted)
    run = ["index", "--source", address, "--model_path", model, "--index_store", tmp_path / "store"]
    first = hashlake(*run, "--new_index_database_version", "1")
    assert first.status == 0, first.err
    assert codes_by_path(tmp_path / "store" / "1") == {
        f"{address}/{number}.png": code_bytes(number) for number in sorted(range(40), key=lambda n: f"{n}.png")
    }
    assert [path for path, _ in skipped_of(tmp_path / "store" / "1")] == [f"{address}/bad.png"]
    assert sorted(read) == sorted([*codes_by_path(tmp_path / "store" / "1"), f"{address}/bad.png"])
    read.clear()
    fill(store, {"7.png": png_of(700), "new.png": png_of(9)})
    obstore.delete(store, "8.png")
    second = hashlake(*run, "--new_index_database_version", "2", "--base_version", "1")
    assert "40 images (38 of them known before), 1 skipped" in second.out
    assert sorted(read) == sorted(f"{address}/{key}.png" for key in ("7", "new", "bad"))
    codes = codes_by_path(tmp_path / "store" / "2")
    assert codes[f"{address}/7.png"] == code_bytes(700)
    assert f"{address}/8.png" not in codes
    said = first.out + first.err + second.out + second.err
    assert SECRET not in said
    for file in (path for path in (tmp_path / "store").rglob("*") if path.is_file()):
        assert SECRET.encode() not in file.read_bytes()


def test_refresh_does_nothing_while_no_object_has_changed(lake: tuple[str, S3Store], tmp_path: Path) -> None:
    address, store = lake
    fill(store, {"a.png": png_of(1), "b.png": png_of(2)})
    model = write_grid_model(tmp_path / "grid.pt")
    run = ["refresh", "--source", address, "--model_path", model, "--index_store", tmp_path / "store"]
    assert hashlake(*run).status == 0
    assert "nothing has changed since" in hashlake(*run).out
    fill(store, {"b.png": png_of(3)})
    assert "2 images (1 of them known before)" in hashlake(*run).out
    assert len(IndexStore(tmp_path / "store").names()) == 2


def test_what_one_object_lacks_is_its_own_reason(lake: tuple[str, S3Store]) -> None:
    address, store = lake
    fill(store, {"a.jpg": b"x", "no suffix": b"text", "huge.jpg": bytes((32 << 20) + 1)})
    bucket = Bucket("s3", address.removeprefix("s3://"))
    with pytest.raises(Unreadable, match=r"^there is no such object$"):
        bucket.read(Item(f"{address}/missing.jpg"))
    with pytest.raises(Unreadable, match=r"^not an image, by its name and its first bytes$"):
        bucket.read(Item(f"{address}/no suffix"))
    with pytest.raises(Unreadable, match=r"^the image has 33,554,433 bytes; the limit is 33,554,432$"):
        bucket.read(Item(f"{address}/huge.jpg"))


def test_a_link_opens_one_object_and_holds_no_secret(lake: tuple[str, S3Store]) -> None:
    address, store = lake
    fill(store, {"é a.png": png_of(5)})
    link = Bucket("s3", address.removeprefix("s3://")).link(f"{address}/é a.png", 60)
    assert "X-Amz-Expires=60" in link
    assert SECRET not in link
    assert httpx.get(link, trust_env=False, timeout=60).content == png_of(5)


def test_a_bucket_that_is_none_and_an_address_without_one(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    set_credentials(monkeypatch, s3.url)
    with (
        pytest.raises(SourceError, match=r"^s3://nowhere/ cannot be listed: [^\n]*404") as refused,
        open_source("s3://nowhere"),
    ):
        pass
    assert SECRET not in str(refused.value)
    for address in ("s3:", "s3://"):
        with pytest.raises(SourceError, match=r"names no bucket: write s3://bucket/prefix or set S3_BUCKET_NAME"):
            parts_of(address)
    monkeypatch.setenv("S3_BUCKET_NAME", "lake")
    assert parts_of("s3://") == ("s3", "lake", "")
    assert parts_of("gs://b/a/b/") == ("gs", "b", "a/b")


class Falling:
    """A store whose answers fail ``times`` times with 503, then come."""

    def __init__(self, times: int) -> None:
        falling, self.times, self.asked = self, times, 0

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                falling.asked += 1
                status = 503 if falling.asked <= falling.times else 200
                self.send_response(status)
                self.send_header("Content-Length", "1")
                self.send_header("ETag", '"1"')
                self.send_header("Last-Modified", "Wed, 21 Oct 2015 07:28:00 GMT")
                self.end_headers()
                self.wfile.write(b"x")

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def falling(monkeypatch: pytest.MonkeyPatch) -> Iterator[Falling]:
    store = Falling(2)
    set_credentials(monkeypatch, store.url)
    yield store
    store.server.shutdown()
    store.server.server_close()


def test_a_passing_fault_is_tried_again(falling: Falling) -> None:
    assert Bucket("s3", "lake").read(Item("s3://lake/a.jpg"))[1] == b"x"
    assert falling.asked == 3


def test_a_store_that_goes_on_failing_ends_the_run(falling: Falling, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sources.objects._RETRIES", {"max_retries": 0})
    with pytest.raises(SourceError, match=r"^s3://lake/a.jpg cannot be read: [^\n]*503") as failed:
        Bucket("s3", "lake").read(Item("s3://lake/a.jpg"))
    assert not isinstance(failed.value, Unreadable)
    assert SECRET not in str(failed.value)


def test_keys_come_from_the_usual_file_too(
    lake: tuple[str, S3Store], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    address, store = lake
    fill(store, {"a.png": png_of(5)})
    monkeypatch.delenv("S3_ACCESS_KEY")
    monkeypatch.delenv("S3_SECRET_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    (tmp_path / "credentials").write_text(f"[default]\naws_access_key_id = filed\naws_secret_access_key = {SECRET}\n")
    assert "Credential=filed" in Bucket("s3", address.removeprefix("s3://")).link(f"{address}/a.png", 60)
    (tmp_path / "credentials").write_text(f"{SECRET}\n")
    with pytest.raises(SourceError, match="is no file of credentials") as refused:
        Bucket("s3", "lake")
    assert SECRET not in str(refused.value)
