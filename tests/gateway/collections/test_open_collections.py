"""Collections in the gateway: what happens to changes, folds and models while one is deleted, or cannot be read."""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from gateway.collections import adding, folding
from gateway.collections.adding import Adding, Subject
from gateway.collections.managing import _served_names
from gateway.collections.metrics import CollectionMetrics
from gateway.collections.open_collections import OpenCollections
from gateway.errors import FoldFailed
from gateway.torchserve.model_folder import ModelFolder
from gateway.torchserve.queue import Hashed, ServedModel
from searcher.collections import Collections
from searcher.errors import CollectionMissing, SearcherError
from sources.source import Item
from tests.fakes import png_of, write_grid_model
from tests.gateway.tiny_app import settings_in
from tests.searcher.live.fixtures import DETAILED, MODEL, addition, publish

URL = "https://example.org/1.png"


@pytest.fixture
def collections(tmp_path: Path) -> Collections:
    return Collections(tmp_path / "store")


@pytest.fixture
def opened(collections: Collections, tmp_path: Path) -> OpenCollections:
    metrics = CollectionMetrics(collections, CollectorRegistry())
    return OpenCollections(collections, ModelFolder(tmp_path / "models"), metrics, 1_000_000)


class TestDelete:
    def test_changes_that_wait_are_answered_before_it_is_gone(
        self, collections: Collections, opened: OpenCollections, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shoes = collections.create("shoes", MODEL)
        order: list[str] = []
        add, delete = type(shoes).add, Collections.delete
        monkeypatch.setattr(type(shoes), "add", lambda *given: (add(*given), order.append("added")))
        monkeypatch.setattr(Collections, "delete", lambda *given: (delete(*given), order.append("deleted")))

        async def run() -> None:
            writing = asyncio.create_task(opened.writer(shoes).add([addition("a", 1)], None))
            await asyncio.sleep(0)  # it has begun
            await opened.delete("shoes")
            await writing
            assert order == ["added", "deleted"]
            with pytest.raises(SearcherError):
                await opened.writer(shoes).add([addition("b", 1)], None)
            with pytest.raises(CollectionMissing):
                await opened.open("shoes")

        asyncio.run(run())

    @pytest.mark.parametrize("moment", ["before its changes are counted", "before the child starts", "in the child"])
    def test_a_fold_ends_whenever_it_began(
        self, moment: str, collections: Collections, opened: OpenCollections, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shoes = collections.create("shoes", MODEL)
        shoes.add([addition("a", 1)])
        reached, ended = asyncio.Event(), []

        class Child:
            async def succeeded(self) -> None:
                assert moment == "in the child"
                reached.set()
                while not ended:
                    await asyncio.sleep(0)
                raise folding.CommandFailed("ended")

            async def end(self) -> None:
                ended.append(moment)

        @asynccontextmanager
        async def started(_command: object, *, nice: int) -> Any:
            if moment == "before the child starts":
                reached.set()
                for _ in range(5):
                    await asyncio.sleep(0)
            yield Child()

        monkeypatch.setattr(folding.ChildProcess, "started", started)

        async def run() -> None:
            if moment == "before its changes are counted":
                await opened.folding._one_at_a_time.acquire()
            fold = asyncio.create_task(opened.folding.fold(shoes))
            if moment == "before its changes are counted":
                await asyncio.sleep(0)
                await opened.folding.stop("shoes")
                opened.folding._one_at_a_time.release()
            else:
                await reached.wait()
                await opened.delete("shoes")
            with pytest.raises(FoldFailed):
                await fold
            assert opened.folding._folding is None

        asyncio.run(run())
        assert bool(ended) == (moment == "in the child")

    def test_a_fold_after_a_stop_is_a_new_one(self, collections: Collections, opened: OpenCollections) -> None:
        shoes = collections.create("shoes", MODEL)

        async def run() -> None:
            await opened.folding.stop("shoes")
            assert (await opened.folding.fold(shoes)).changes == 0

        asyncio.run(run())


class TestNamed:
    def test_by_any_name_of_its_model(self, collections: Collections, opened: OpenCollections, tmp_path: Path) -> None:
        (tmp_path / "models").mkdir()
        grid = write_grid_model(tmp_path / "models" / "g.pt", "Grid-16", ("ViT-G/1",))
        model = MODEL.model_copy(update={"name": "Grid-16", "sha256": sha256(grid.read_bytes()).hexdigest()})
        collections.create("shoes", model)
        collections.create("hats", DETAILED)
        for name in ("shoes", "Grid-16", "grid_16", "ViT-G/1", "vit_g1"):
            assert asyncio.run(opened.named(name)).name == "shoes"
        with pytest.raises(CollectionMissing, match="none with a model of that name"):
            asyncio.run(opened.named("vit_g2"))
        collections.create("vit_g1", DETAILED)  # a collection's own name comes first
        assert asyncio.run(opened.named("vit_g1")).name == "vit_g1"
        collections.create("more", model)
        with pytest.raises(CollectionMissing, match="name one of more, shoes"):
            asyncio.run(opened.named("ViT-G/1"))


class TestModelsThatAreNeeded:
    def damage(self, collections: Collections, file: str) -> None:
        (collections.open("hats").folder / "0" / file).write_bytes(b"")

    def test_of_all_collections(self, collections: Collections) -> None:
        for name, model in (("shoes", MODEL), ("hats", DETAILED)):
            collections.create(name, model)
        assert _served_names(collections) == {MODEL.served_name, DETAILED.served_name}

    def test_of_one_that_cannot_be_opened(self, collections: Collections) -> None:
        collections.create("hats", DETAILED)
        self.damage(collections, "index.faiss")
        assert _served_names(Collections(collections._folder)) == {DETAILED.served_name}

    def test_nobody_knows_what_a_manifest_that_is_lost_said(self, collections: Collections) -> None:
        collections.create("shoes", MODEL)
        collections.create("hats", DETAILED)
        self.damage(collections, "manifest.json")
        assert _served_names(Collections(collections._folder)) is None


class TestFetchedAgain:
    """What a server says of a picture is kept even where neither picture nor metadata changed."""

    @pytest.fixture
    def add(
        self, tmp_path: Path, collections: Collections, opened: OpenCollections, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[Callable[..., dict[str, Any]]]:
        said: dict[str, str] = {}

        async def download(_fetcher: object, item: Item) -> tuple[Item, bytes]:
            return Item(item.name, version=json.dumps(said)), png_of(0xFF00, 160)

        class Hashing:
            async def hash(self, _data: bytes, _model: object, _lane: object = None) -> Hashed:
                return Hashed({"code": b"\xff\x00"}, ServedModel(name=MODEL.name, sha256=MODEL.sha256))

        monkeypatch.setattr(adding, "download", download)
        publish(collections.open("default").store, "1.0")
        shoes = collections.create("shoes", MODEL)
        adds = Adding(opened, Hashing(), None, None, settings_in(tmp_path))  # type: ignore[arg-type]

        def add(**answered: str) -> dict[str, Any]:
            said.clear()
            said.update(answered)
            runner.run(adds.add(shoes, Subject(URL), None))
            image = shoes.view().image(URL)
            assert image is not None
            found: dict[str, Any] = json.loads(image.fetched or "{}")
            return found

        with asyncio.Runner() as runner:
            yield add

    def test_a_new_etag(self, add: Callable[..., dict[str, Any]]) -> None:
        assert add(etag="1")["etag"] == "1"
        assert add(etag="2")["etag"] == "2"

    def test_nothing_is_written_where_nothing_new_is_said(
        self, add: Callable[..., dict[str, Any]], collections: Collections
    ) -> None:
        first = add(etag="1")
        assert add(etag="1") == first
        assert collections.open("shoes").journal.last() == 1
