"""A model with one more vector needs no line outside the room that makes it, and an entry in the table of ranks where
images are to be found by it: from the listing to a restored dump."""

import base64
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import faiss
import numpy as np
import pytest

from contract.space import Space, row_of
from gateway.collections.dump_format import Embeddings
from handler.metrics import Metrics
from handler.retrieval import Retrieval
from handler.served import Served
from indexer.builder import Request, build
from searcher.collections import Collections
from searcher.entry import Entry
from searcher.live.collection import Collection
from searcher.scan.ranking import RANKS, Query
from searcher.versions.manifest import MANIFEST_FILE
from searcher.versions.store import IndexStore
from sources.folder import FolderSource
from sources.listing import Listing
from tests.fake_embedder import COLOUR, GREEN, CellEmbedder
from tests.fakes import png_of, write_datalake

#: Code and, in the green and the blue channel, the detail code of each picture.
LISTED = {"a.png": (0x8001, 0xFF000000), "b.png": (0x8003, 0x0F000000), "c.png": (0x0000, 0xFF00FFFF)}
URL = "http://example.org/added.png"


@pytest.fixture(params=[GREEN, COLOUR], ids=["binary", "float16"])
def space(request: pytest.FixtureRequest) -> Space:
    found: Space = request.param
    return found


@pytest.fixture
def embedder(space: Space) -> CellEmbedder:
    return CellEmbedder(space)


@pytest.fixture
def collection(embedder: CellEmbedder, tmp_path: Path) -> Collection:
    """The pictures of LISTED, indexed."""
    write_datalake(tmp_path, LISTED)
    index(embedder, tmp_path, "1.0.0")
    return Collections(tmp_path / "index_store").open("default")


def index(embedder: CellEmbedder, folder: Path, name: str, base: str | None = None) -> None:
    listing = folder / "listing.txt"
    listing.write_text("".join(f"{path}\n" for path in LISTED))
    source = FolderSource(folder, Listing(listing))
    build(Request(IndexStore(folder / "index_store"), name, source, base), embedder, lambda _: None)


def entry(embedder: CellEmbedder, path: str, data: bytes, metadata: str | None = None) -> Entry:
    return Entry(path, row_of(embedder.embed(embedder.prepare(data)[None]), 0), metadata, b"d" * 16)


def assert_holds(collection: Collection, embedder: CellEmbedder, *added: Entry) -> None:
    """The collection has the listed pictures and ``added``, each with its vectors in all spaces."""
    listed = [entry(embedder, path, png_of(code, detail=detail)) for path, (code, detail) in LISTED.items()]
    found = collection.view().images()
    assert {each.path: each.vectors for each in found} == {each.path: each.vectors for each in [*listed, *added]}


def test_from_the_listing_to_a_restored_dump(
    space: Space, embedder: CellEmbedder, collection: Collection, tmp_path: Path
) -> None:
    assert_holds(collection, embedder)
    added = entry(embedder, URL, png_of(0x8000, detail=0xF0F0F0F0), '{"kind": "new"}')
    collection.add([added])
    assert_holds(collection, embedder, added)
    with closing(sqlite3.connect(collection.journal.path)) as connection:
        stored = connection.execute(f"SELECT code, space_{space.name} FROM entries").fetchall()
    assert stored == [(added.vectors["code"], added.vectors[space.name])]

    folded = collection.fold()
    assert folded is not None and (folded.version, folded.count) == ("1.0.0-f1", 4)
    assert_holds(collection, embedder, added)

    index(embedder, tmp_path, "2.0.0", base="1.0.0-f1")
    assert collection.view().version.name == "2.0.0"
    assert_holds(collection, embedder, added)

    dumped = {
        image.path: json.loads(f"{{{Embeddings(embedder.identity).fields(image.vectors)}}}")
        for image in collection.view().images()
    }
    copy = Collections(tmp_path / "index_store").create("copy", embedder.identity)
    copy.add([Entry(path, Embeddings(embedder.identity).decode(each["embedding"])) for path, each in dumped.items()])
    assert_holds(copy, embedder, added)
    assert copy.fold() is not None
    assert_holds(copy, embedder, added)


def test_numbers_can_be_restored_too(space: Space, embedder: CellEmbedder) -> None:
    numbers = [1.0, -1.0] * 8 + ([-1.0, 1.0] * 8 if space is GREEN else [0.5, 0.25, 1.0])
    vectors = Embeddings(embedder.identity).decode(numbers)
    assert vectors["code"] == b"\xaa\xaa"
    assert vectors[space.name] == (b"\x55\x55" if space is GREEN else np.array([0.5, 0.25, 1.0], "<f2").tobytes())


def test_the_version_says_where_it_is_and_anybody_can_read_it(
    space: Space, embedder: CellEmbedder, collection: Collection
) -> None:
    folder = collection.folder / "1.0.0"
    manifest = json.loads((folder / MANIFEST_FILE).read_text())
    file = {"green": "green.faiss", "colour": "colour.npy"}[space.name]
    assert manifest["format"] == 2
    assert [
        (each["name"], each["kind"], each["width"], each["metric"], each["file"]) for each in manifest["spaces"]
    ] == [
        ("code", "binary", 16, "hamming", "index.faiss"),
        (space.name, space.kind, space.width, space.metric, file),
    ]
    stored = collection.view().version.vectors[space.name]
    assert not stored.flags.writeable
    if space is GREEN:
        plain = faiss.read_index_binary(str(folder / file)).reconstruct_n(0, 3)
    else:
        plain = np.load(folder / file, mmap_mode="r")
    assert plain.tolist() == stored.tolist()


def test_answers_tell_how_far_images_are_in_it(space: Space, embedder: CellEmbedder, collection: Collection) -> None:
    added = entry(embedder, URL, png_of(0x8001, detail=0xFF000000))
    collection.add([added])
    asked = {name: array[0] for name, array in embedder.embed(embedder.prepare(png_of(0x8001))[None]).items()}
    (matches,) = collection.view().search([Query(asked)])
    assert (matches.paths[:2], matches.rows[:2]) == (["a.png", URL], [0, None])
    distances = matches.distances_by_space()[space.name]
    if space is GREEN:  # which says 0x8001 of the grey picture
        seconds = [0xFF00, 0xFF00, 0x0F00, 0xFF00]
        by_path = dict(zip(["a.png", URL, "b.png", "c.png"], seconds, strict=True))
        assert distances == [(0x8001 ^ by_path[path]).bit_count() for path in matches.paths]
    else:
        rows = matches.vectors[space.name].astype(float)
        grey = asked[space.name].astype(float)
        cosines = rows @ grey / np.linalg.norm(rows, axis=1) / np.linalg.norm(grey)
        assert distances == pytest.approx((1 - cosines).tolist(), abs=1e-9)


def test_a_worker_carries_it_without_knowing_it(space: Space, embedder: CellEmbedder, collection: Collection) -> None:
    retrieval = Retrieval(embedder, Served(collection.folder, embedder.identity), Metrics())
    data = png_of(0x8001, detail=0xFF000000)
    image = base64.b64encode(data).decode()
    hashed, found = retrieval.answer([{"body": {"hash": [image]}}, {"body": {"image": image, "top_k": 1}}], [0])
    (answer,) = json.loads(hashed.body)["hashed"]
    assert answer["vectors"] == {name: vector.hex() for name, vector in entry(embedder, "a.png", data).vectors.items()}
    assert json.loads(found.body)["relevant"] == ["a.png"]


def test_an_entry_in_the_table_of_ranks_finds_images_by_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RANKS, "green", (("green", "code"),))
    embedder = CellEmbedder(GREEN)
    write_datalake(tmp_path, LISTED)
    index(embedder, tmp_path, "1.0.0")
    collection = Collections(tmp_path / "index_store").open("default")
    collection.view().version.warm_up()
    asked = {"code": np.array([0, 0], np.uint8), "green": np.array([0xFF, 0x00], np.uint8)}
    for added in ([], [entry(embedder, URL, png_of(0x0001, detail=0xFE000000))]):
        collection.add(added)
        (matches,) = collection.view().search([Query(asked, rank="green")])
        between = [each.path for each in added]
        assert matches.paths == ["a.png", "c.png", *between, "b.png"]
        assert matches.distances_by_space()["green"] == [0, 0, *[1 for _ in between], 4]
        (near,) = collection.view().search([Query(asked, max_distance=1, rank="green")])
        assert near.paths == ["a.png", *between, "b.png"]
