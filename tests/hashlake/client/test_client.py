"""Collections are made, known, folded and deleted; and every docstring's example is true."""

import doctest
from datetime import UTC, datetime
from pathlib import Path

import pytest

import hashlake.client.client
import hashlake.client.collection
from hashlake import Client, CollectionInfo, Folded, Journal, Model, Refused, Reindexed, Unreachable
from tests.hashlake.client.fake_gateway import KEY, SHA256, Fake

EXAMPLES = [
    test
    for module in (hashlake.client.client, hashlake.client.collection)
    for test in doctest.DocTestFinder(exclude_empty=False).find(module)
    if "Client" in test.name or "Collection" in test.name
]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_the_docstrings_examples_are_true(example: doctest.DocTest, url: str, folder: Path) -> None:
    public = not example.name.rpartition(".")[2].startswith("_")
    assert example.examples or not public, "a public name without an example"
    with Client(url, KEY) as client:
        known = {
            "Client": Client,
            "client": client,
            "shoes": client.collection("shoes"),
            "url": url,
            "key": KEY,
        }
        example.globs = known
        said: list[str] = []
        failed = doctest.DocTestRunner().run(example, out=said.append).failed
    assert not failed, "".join(said)


def test_what_there_is_to_know_of_a_collection(client: Client) -> None:
    assert client.info("shoes") == CollectionInfo(
        name="shoes",
        count=3,
        model=Model(name="relahash-small-64bits", sha256=SHA256, bits=64, detail_bits=None),
        version="0-f0",
        versions=("0", "0-f0"),
        journal=Journal(changes=12, bytes=4096),
        bytes=8192,
        created=datetime(2026, 11, 21, 10, tzinfo=UTC),
    )
    assert [(info.name, info.created is None) for info in client.collections()] == [("default", True), ("shoes", False)]


def test_a_collection_s_life(client: Client, fake: Fake) -> None:
    assert client.create("hats").name == "hats"
    client.collection("hats").add("https://example.org/boot.jpg")
    assert client.fold("hats") == Folded(version="0-f1", count=1, folded=3)
    client.delete("hats")
    assert list(fake.collections) == ["default", "shoes"]


def test_a_new_version_of_another_source(client: Client, fake: Fake) -> None:
    assert client.reindex("1.2.0") == Reindexed("1.2.0", "1.1.0")
    assert client.reindex("1.3.0", source="s3://lake", model_path="a.pt", mode="unnecessary fast") == Reindexed(
        "1.3.0", None
    )
    assert fake.reindexed == [
        {"new_index_database_version": "1.2.0"},
        {
            "new_index_database_version": "1.3.0",
            "source": "s3://lake",
            "model_path": "a.pt",
            "mode": "unnecessary fast",
        },
    ]
    with pytest.raises(Refused, match="source holds credentials"):
        client.reindex("1.4.0", source="s3://key:secret@lake")


def test_a_collection_that_is_there_already_and_one_that_is_not(client: Client) -> None:
    with pytest.raises(Refused) as caught:
        client.create("shoes")
    assert (caught.value.status, str(caught.value)) == (409, "there is a collection shoes already")
    for ask in (client.info, client.delete, client.fold):
        with pytest.raises(Refused) as caught:
            ask("hats")
        assert (caught.value.status, str(caught.value)) == (404, "there is no collection hats")


@pytest.mark.parametrize("name", ["a/b", "été", "a b?c#d", "..%2Fb", "a\\b"])
def test_any_name_stays_one_step_of_the_path(name: str, client: Client, fake: Fake) -> None:
    """Whether it is a good one, the server says."""
    fake.collections[name] = {}
    if "/" in name:  # which no route of one step matches
        with pytest.raises(Refused, match="Not Found"):
            client.info(name)
    else:
        assert client.info(name).name == name
    assert fake.asked[-1][1] == f"/api/collections/{name}"


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_a_name_that_would_lead_elsewhere(name: str, client: Client, fake: Fake) -> None:
    for ask in (client.info, client.delete, client.fold, client.collection):
        with pytest.raises(ValueError, match="is no collection's name"):
            ask(name)
    assert fake.asked == []


@pytest.mark.parametrize("key", [None, "hlk_wrong"])
def test_without_the_key(key: str | None, url: str) -> None:
    with Client(url, key) as client, pytest.raises(Refused) as caught:
        client.collections()
    assert (caught.value.status, str(caught.value)) == (401, "this takes an API key")


@pytest.mark.parametrize("key", ["", "a\nb", "schlüssel", "a\x00"])
def test_what_is_no_key(key: str) -> None:
    with pytest.raises(ValueError, match="the key has characters that no key has"):
        Client(key=key)


@pytest.mark.parametrize("url", ["", "localhost:8000", "ftp://localhost", "http://", "http://[::1", "/api"])
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(ValueError, match="is no URL"):
        Client(url)


def test_a_path_before_the_routes(url: str, fake: Fake) -> None:
    """As behind a reverse proxy."""
    with Client(f"{url}/hashlake/", KEY) as client, pytest.raises(Refused):
        client.ping()
    assert fake.asked[-1][1] == "/hashlake/ping"


def test_this_machine_is_never_asked_through_a_proxy(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("http_proxy", "all_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    with Client(url, KEY) as client:
        client.ping()
    with Client("http://gateway.invalid", KEY) as client, pytest.raises(Unreachable, match="Connection refused"):
        client.delete("shoes")
