"""What CONTRIBUTING.md shows of a source, a model and an engine works, installed beside hashlake."""

import io
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from contract.registry import NotRegistered
from embedding.errors import ModelError, UnknownText
from embedding.registry import load_embedder
from hashlake.main import cli
from indexer.errors import IndexingError
from searcher.collections import Collections
from searcher.engines.engine import Engine
from searcher.engines.exact import ExactEngine
from searcher.engines.foreign import ForeignCollection
from searcher.filters import parse_filter
from searcher.versions.store import IndexStore
from sources.errors import SourceError, Unreadable
from sources.registry import SOURCES, open_source
from sources.source import Item
from tests.contributing import install_examples
from tests.fakes import png_of
from tests.searcher.engines.test_engine import A, B, C, D
from tests.searcher.live.fixtures import DETAILED, query


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(install_examples(tmp_path / "site")))
    yield
    for name in ("cbz_source", "band_model", "memory_engine"):
        sys.modules.pop(name, None)


def striped(*bright: int) -> bytes:
    """A picture of eight bands, of which ``bright`` are white."""
    rows = np.repeat([255 if band in bright else 0 for band in range(8)], 2).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(np.repeat(rows[:, None], 16, axis=1)).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    path = tmp_path / "pictures.cbz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("top.png", striped(0))
        archive.writestr("deep/ends.png", striped(0, 7))
        archive.writestr("torn.png", striped(1)[:45])
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "half.bands"
    path.write_text("127")
    return path


def test_pictures_of_an_archive_are_indexed_by_a_model_of_another_kind(
    tmp_path: Path, pictures: Path, model: Path
) -> None:
    arguments = ["index", "--model_path", str(model), "--index_store", str(tmp_path / "store")]
    arguments += ["--source", f"cbz:{pictures}", "--new_index_database_version"]
    said = CliRunner().invoke(cli, [*arguments, "1"], catch_exceptions=False).output
    assert "version 1 is current: 2 images, 1 skipped, 8 bits, model half" in said
    version = IndexStore(tmp_path / "store").open()
    assert version.images.paths([0, 1]) == ["top.png", "deep/ends.png"]
    assert version.vectors["code"].tolist() == [[0b10000000], [0b10000001]]
    again = CliRunner().invoke(cli, [*arguments, "2", "--base_version", "1"], catch_exceptions=False).output
    assert "2 images (2 of them known before)" in again


def test_the_source_keeps_a_source_s_promises(pictures: Path) -> None:
    ours = ["az", "collection", "folder", "gs", "iiif", "iiif+http", "iiif+https", "s3", "tar", "urls", "zip"]
    assert SOURCES.names() == sorted([*ours, "cbz"])
    with open_source(f"cbz:{pictures}") as source:
        items = list(source.items())
        assert [item.name for item in items] == ["top.png", "deep/ends.png", "torn.png"]
        assert (source.count, list(source.items(1))) == (3, items[1:])
        assert source.read(source.with_version(items[0]))[1] == striped(0)
        with pytest.raises(Unreadable):
            source.read(Item("other.png"))
    with pytest.raises(SourceError, match=r"cbz:nothing\.zip"), open_source("cbz:nothing.zip"):
        pass
    with pytest.raises(NotRegistered, match="there is no source 'tape'; there are: az, cbz, collection"):
        open_source("tape:pictures")


def test_the_model_keeps_an_embedder_s_promises(model: Path) -> None:
    embedder = load_embedder(model)
    assert (embedder.identity.name, embedder.identity.bits) == ("half", 8)
    prepared = np.stack([embedder.prepare(data) for data in (striped(0), striped(0, 7), png_of(0xFFFF))])
    assert embedder.embed(prepared)["code"].tolist() == [[128], [129], [255]]
    assert embedder.embed(prepared[1:2])["code"].tolist() == [[129]]
    with pytest.raises(UnknownText, match="'shirt' is no class of the model"):
        embedder.embed_text(["shirt"])
    (model.parent / "bad.bands").write_text("bright")
    with pytest.raises(ModelError, match=r"bad\.bands"):
        load_embedder(model.parent / "bad.bands")


@pytest.fixture(params=["exact", "memory"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    collections = Collections(tmp_path / "store")
    if request.param == "exact":
        return ExactEngine(collections.create("shoes", DETAILED).folder)
    kept = collections.create("shoes", DETAILED, "memory:")
    assert isinstance(kept, ForeignCollection) and kept.shown == "memory:"
    return kept.engine


def test_a_collection_may_live_in_it(tmp_path: Path) -> None:
    kept = Collections(tmp_path / "store").create("shoes", DETAILED, "memory:")
    kept.add([A, B, C, D])
    found = kept.view().search_any([query(0, 0, 3), query(0xFFFF, 0, 3)])
    assert (found.paths, found.distances) == (["d", "c", "b"], [0, 0, 0])
    vectors, named = kept.view().all_of("detail")
    assert vectors.tolist() == [[0xFF], [0x0F], [0x01], [0x00]] and named([1])[0].path == "b"
    assert kept.remove(["a"]) == 1 and kept.view().count == 3


def test_the_engine_answers_as_ours_does(engine: Engine) -> None:
    engine.add([A, B, C, D])
    by_distance, by_code, by_detail, near = engine.search(
        [query(0, 0, 9), query(0, None, 9), query(0, 0, 9, None, "detail"), query(0, 0, 9, 1)]
    )
    assert (by_distance.paths, by_distance.distances) == (["c", "b", "a", "d"], [0, 0, 1, 16])
    assert (by_code.paths, by_code.distances) == (["b", "c", "a", "d"], [0, 0, 1, 16])
    assert (by_detail.paths, by_detail.distances) == (["d", "c", "b", "a"], [0, 1, 4, 8])
    assert near.paths == ["c", "b", "a"]
    assert by_distance.distances_by_space() == {"code": [0, 0, 1, 16], "detail": [1, 4, 8, 0]}
    sized = parse_filter({"size": {"$gt": 1}})
    assert [matches.paths for matches in engine.search([query(0, 0, 9)], sized)] == [["c", "d"]]
    assert (engine.list("a", 2), engine.count(sized), engine.get(["a", "x"])) == ([B, C], 2, [A, None])
    with pytest.raises(ValueError):
        engine.add([A, type(A)("x", {"code": b"\0\0"})])
    assert (engine.remove(["a", "x", "a"]), engine.count()) == (1, 3)


def test_an_index_without_pictures_says_so(tmp_path: Path, model: Path) -> None:
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    arguments = ["index", "--source", f"cbz:{tmp_path / 'empty.zip'}", "--model_path", str(model)]
    done = CliRunner().invoke(
        cli, [*arguments, "--index_store", str(tmp_path / "s"), "--new_index_database_version", "1"]
    )
    assert isinstance(done.exception, IndexingError)
    assert "empty.zip yields no image" in str(done.exception)
