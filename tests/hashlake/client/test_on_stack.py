"""The client and its commands on a real stack, from an empty collection to its copy.

The model reads a code of 16 bits from a picture's red channel, and 32 bits of detail from the others.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from hashlake import Added, AlreadyInserted, Client, Match, NewImage, Refused, StoredImage  # fmt: skip
from hashlake.client.answers import Group, Member
from tests.fakes import png_of
from tests.gateway.stack import Stack
from tests.hashlake.command import hashlake
from tests.sources.fetching.picture_site import PictureSite

SIDE = 160


def picture(code: int) -> bytes:
    """Grey: its detail code is ``code``, twice."""
    return png_of(code, SIDE)


@pytest.fixture(scope="module")
def site() -> Iterator[PictureSite]:
    with PictureSite() as running:
        yield running


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    with Stack(folder, {"data/robe.png": (0x00FF, 0)}, "colours.pt", fetch_allow="127.0.0.1") as running:
        assert running.reindex("1.0.0").status_code == 200
        yield running


@pytest.fixture
def client(stack: Stack) -> Iterator[Client]:
    with Client(stack.url, stack.admin_key) as client:
        yield client


def test_a_collection_from_python(client: Client, site: PictureSite, tmp_path: Path) -> None:
    boot, bootee, clog = (
        site.put(f"/{name}.png", picture(code)) for name, code in (("boot", 0), ("bootee", 1), ("clog", 0xFFFF))
    )
    torn = site.put("/torn.png", picture(0)[:20])
    client.ping()
    made = client.create("shoes")
    assert (made.count, made.model.name, made.model.bits, made.model.detail_bits) == (0, "colours", 16, 32)
    shoes = client.collection("shoes")

    # One by one
    assert shoes.add(boot, metadata={"colour": "black", "size": 37}) == boot
    with pytest.raises(AlreadyInserted):
        shoes.search_add(boot)
    with pytest.raises(Refused) as caught:
        shoes.add(torn)
    assert caught.value.status == 422
    assert caught.value.message.startswith("url: ")
    (tmp_path / "mule.png").write_bytes(picture(3))
    mule = shoes.add(image=tmp_path / "mule.png", metadata={"colour": "été"})
    assert mule.startswith("upload:")

    # Many at once
    outcome = shoes.add_bulk([boot, NewImage(bootee, {"colour": "black"}), clog, site.url("/missing.png")])
    assert outcome == Added(added=2, found=1, failed=outcome.failed)
    assert [failure.url for failure in outcome.failed] == [site.url("/missing.png")]

    # Found again: d differing bits are 100 · (1 − 2d / 16)
    assert shoes.search(boot, limit=3) == [
        Match(boot, {"colour": "black", "size": 37}, 100.0),
        Match(bootee, {"colour": "black"}, 87.5),
        Match(mule, {"colour": "été"}, 75.0),
    ]
    assert [match.url for match in shoes.search(image=picture(0xFFFE), limit=1)] == [clog]
    assert [match.url for match in shoes.search(boot, filter={"colour": "été"})] == [mule]
    assert [match.similarity for match in shoes.search(text="Shirt")] == [0.0] * 4
    assert shoes.compare(boot, other_image=picture(1)) == 87.5
    assert shoes.compare(image=picture(0), other_image=picture(0xFFFF)) == 0.0

    # Listed
    everything = sorted([boot, bootee, clog, mule])
    assert list(shoes.urls()) == everything
    assert [image.url for image in shoes.images()] == everything
    assert {image.url: image.code for image in shoes.images()}[clog] == "ffff"
    assert (shoes.count(), shoes.count({"colour": "black"})) == (4, 2)
    assert shoes.thumbnail(mule)[:4] == b"RIFF"
    # Grey pictures: a bit of the code is two of the detail code.
    pairs = {(frozenset((pair.url, pair.other)), pair.distance) for pair in shoes.duplicates(2, "pairs")}
    assert pairs == {(frozenset((boot, bootee)), 2), (frozenset((bootee, mule)), 2)}
    (group,) = shoes.duplicates(2)
    assert group == Group(
        (
            Member(boot, 0, same_file=True, metadata={"colour": "black", "size": 37}),
            Member(bootee, 2, metadata={"colour": "black"}),
        )
    )
    with pytest.raises(Refused, match=r"\$near"):
        shoes.count({"colour": {"$near": 1}})

    # Copied, changed, folded, deleted
    client.create("copy")
    copy = client.collection("copy")
    assert copy.restore(shoes.dump()) == 4
    assert list(copy.dump()) == list(shoes.dump())
    with pytest.raises(Refused) as caught:
        copy.restore([*shoes.dump(), StoredImage("bad", "AAAA")], assume_model=client.info("copy").model.name)
    assert (caught.value.position, caught.value.message[:10]) == (4, "embedding:")
    copy.remove(boot)
    assert copy.count() == 3
    before = list(copy.dump())
    assert client.fold("copy").count == 3
    assert client.info("copy").journal.changes == 0
    assert list(copy.dump()) == before
    client.delete("copy")
    assert [info.name for info in client.collections()] == ["default", "shoes"]
    with pytest.raises(Refused) as caught:
        client.info("copy")
    assert caught.value.status == 404
    client.delete("shoes")


def test_a_collection_from_the_command_line(
    stack: Stack, site: PictureSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HASHLAKE_URL", stack.url)
    monkeypatch.setenv("HASHLAKE_KEY", stack.admin_key)
    monkeypatch.chdir(tmp_path)

    def said(*words: str) -> list[str]:
        result = hashlake(*words)
        assert (result.status, result.err) == (0, "")
        return result.out.splitlines()

    urls = [site.put(f"/{number}.png", picture(number)) for number in range(4)]
    (tmp_path / "new.jsonl").write_text("".join(f"{json.dumps({'url': url, 'metadata': {'n': 1}})}\n" for url in urls))
    said("collections", "create", "hats")
    assert said("collections", "add_bulk", "hats", "new.jsonl") == ["4 added, 0 there before, 0 failed"]
    assert said("collections", "search", "hats", urls[0], "--limit", "1") == [f"100.0  {urls[0]}"]
    said("collections", "dump", "hats", "-o", "hats.jsonl")
    said("collections", "create", "caps")
    assert said("collections", "restore", "caps", "hats.jsonl") == ["4 images are restored"]
    assert said("collections", "dump", "caps") == (tmp_path / "hats.jsonl").read_text().splitlines()
    none = hashlake("duplicates", "caps", "--pairs", "--max_distance", "1")
    assert (none.status, none.out, none.err) == (0, "", "no near-duplicates were found\n")
    assert len(said("duplicates", "caps", "--pairs", "--max_distance", "2")) == 4
    made = said("collections", "create", "grids", "--model_path", "grid.pt")
    assert made == ["grids is created: codes of 16 bits, model grid"]
    assert said("collections", "delete", "grids", "--yes") == ["grids is deleted"]
    (tmp_path / "bad.jsonl").write_text('\n{"url": "bad", "embedding": "AAAA"}\n')
    refused = hashlake("collections", "restore", "caps", "bad.jsonl")
    assert refused.err.startswith("Error: line 2: model: ")
    refused = hashlake("collections", "restore", "caps", "bad.jsonl", "--assume_model", "colours")
    assert refused.err.startswith("Error: line 2: embedding: ")
    monkeypatch.setenv("HASHLAKE_KEY", stack.search_key)
    assert said("collections", "count", "caps") == ["4"]
    refused = hashlake("collections", "delete", "caps", "--yes")
    assert (refused.status, refused.err) == (
        1, "Error: this takes an admin key, and the request brings a search key\n",
    )  # fmt: skip
