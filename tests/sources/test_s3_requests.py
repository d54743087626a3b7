"""Requests are signed as S3 wants it, and keys that are no clean paths stay what they are."""

import http.client
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import httpx
import pytest

from sources.errors import Unreadable
from sources.objects import Bucket
from sources.registry import open_source
from sources.s3_requests import S3Requests, StoreFailed
from sources.source import Item
from tests.fakes import code_bytes, png_of, write_grid_model
from tests.hashlake.command import hashlake
from tests.indexer.stored import codes_by_path
from tests.sources.s3_server import SECRET, S3Server, set_credentials

PATHS = [
    "plain.png", "a/b.png", "sp ace/ü é.png", "plus+&=.png", "per%20cent.png", "q?x#y.png", "a\\b.png", "em😀.png",
    "~*'.png",
]  # fmt: skip
#: Of S3's documentation, where it signs for nobody.
EXAMPLE = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
#: Each is another object than all the others.
KEYS = ["a//b.png", "/a/b.png", "//plain.png", "tr/ail.png ", "tab\there.png", "l/" + "o" * 900 + ".png"]
DOTS = ["a/../plain.png", "./plain.png", "a/./b.png", "../../plain.png"]


@pytest.fixture
def bucket(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a bucket with an object of each key, the pictures 1, 2, 3, …"""
    set_credentials(monkeypatch, s3.url)
    name, _ = s3.new_bucket()
    connection = http.client.HTTPConnection("127.0.0.1", s3.port)  # which sends any path as it is
    for number, key in enumerate([*PATHS, *KEYS, *DOTS], 1):
        connection.request("PUT", f"/{name}/{quote(key)}", body=png_of(number))
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200, key
    return name


def test_the_signature_is_that_of_s3s_documentation() -> None:
    store = S3Requests("https://s3.amazonaws.com", "examplebucket", "us-east-1", "AKIAIOSFODNN7EXAMPLE", EXAMPLE)
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    date, host = "20130524T000000Z", "examplebucket.s3.amazonaws.com"
    headers = {"host": host, "x-amz-content-sha256": empty, "x-amz-date": date}
    signed = store._signature("/", "max-keys=2&prefix=J", headers, empty, date, "20130524/us-east-1/s3/aws4_request")
    assert signed == "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"


def test_links_are_those_of_the_other_client(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Bucket("s3", bucket)
    assert store._exact is not None
    for key in PATHS:
        theirs = parse_qs(urlsplit(store.link(f"s3://{bucket}/{key}", 60) or "").query)
        (date,), (credential,) = theirs["X-Amz-Date"], theirs["X-Amz-Credential"]
        monkeypatch.setattr(S3Requests, "_now", lambda _, date=date, scope=credential: (date, scope.partition("/")[2]))
        assert parse_qs(urlsplit(store._exact.link(key, 60)).query) == theirs, key


def test_every_key_is_listed_read_and_linked_to_as_it_is(bucket: str) -> None:
    store = Bucket("s3", bucket)
    everything = [*PATHS, *KEYS, *DOTS]
    with open_source(f"s3://{bucket}") as source:
        items = list(source.items())
    assert [item.name for item in items] == sorted((f"s3://{bucket}/{key}" for key in everything), key=str.encode)
    for item in items:
        number = everything.index(item.name.removeprefix(f"s3://{bucket}/")) + 1
        read, content = store.read(item)
        assert (read, content) == (item, png_of(number)), "with the ETag of the listing"
        if item.name.removeprefix(f"s3://{bucket}/") in DOTS:
            assert store.link(item.name, 60) is None, "browsers ask for another key instead"
        else:
            link = store.link(item.name, 60)
            assert link is not None and SECRET not in link
            assert httpx.get(link, trust_env=False, timeout=60).content == png_of(number), item.name
    with open_source(f"s3://{bucket}/a/") as source:
        below = {item.name.removeprefix(f"s3://{bucket}/") for item in source.items()}
    assert below == {key for key in everything if key.startswith("a/")}
    with pytest.raises(Unreadable, match=r"^there is no such object$"):
        store.read(Item(f"s3://{bucket}/a///b.png"))


def test_every_key_is_indexed(bucket: str, tmp_path: Path) -> None:
    model = write_grid_model(tmp_path / "grid.pt")
    run = ["index", "--source", f"s3://{bucket}", "--model_path", model, "--index_store", tmp_path / "store"]
    indexed = hashlake(*run, "--new_index_database_version", "1")
    assert indexed.status == 0, indexed.err
    expected = {f"s3://{bucket}/{key}": code_bytes(number) for number, key in enumerate([*PATHS, *KEYS, *DOTS], 1)}
    assert codes_by_path(tmp_path / "store" / "1") == expected
    assert SECRET not in indexed.out + indexed.err


def test_pages_follow_each_other(s3: S3Server, bucket: str) -> None:
    store = S3Requests(s3.url, bucket, "us-east-1", "key", SECRET)
    one_page = list(store.names("", 1000))
    assert list(store.names("", 3)) == one_page and len(one_page) == len([*PATHS, *KEYS, *DOTS])
    assert [each.key for each in store.names("a/.", 1)] == ["a/../plain.png", "a/./b.png"]


def test_without_an_accounts_key_such_keys_have_a_reason(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("S3_ACCESS_KEY", "S3_SECRET_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
    store = Bucket("s3", bucket)
    with pytest.raises(Unreadable, match="its key is no clean path"):
        store.read(Item(f"s3://{bucket}/a//b.png"))


def test_what_a_store_says_wrongly_is_told_without_secrets(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sources.s3_requests._PAUSES", (0.01,))
    nobody = S3Requests("http://127.0.0.1:1", "lake", "us-east-1", "key", SECRET)
    with pytest.raises(StoreFailed, match=r"^http://127.0.0.1:1 cannot be reached: ") as failed:
        list(nobody.names("", 1000))
    assert failed.value.status == 0 and SECRET not in repr(nobody)
    with pytest.raises(StoreFailed, match=r"answered 404 .*\(NoSuchBucket\)$") as failed:
        list(S3Requests(s3.url, "none", "us-east-1", "key", SECRET).names("", 1000))
    assert failed.value.status == 404
    monkeypatch.setattr(S3Requests, "_get", lambda *_: type("A", (), {"content": b"<!DOCTYPE a><a/>"}))
    with pytest.raises(StoreFailed, match="it answered with no XML"):
        list(nobody.names("", 1000))
