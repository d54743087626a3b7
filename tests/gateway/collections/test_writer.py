"""The writer of a collection: many changes, few transactions."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from contract.model import ModelIdentity
from gateway.collections.writer import Writer
from searcher.collections import Collections
from searcher.entry import Entry
from searcher.errors import JournalDamaged, ModelMismatch
from searcher.live.collection import Collection
from tests.vectors import entry_of

MODEL = ModelIdentity(name="grid", sha256="ab" * 32, bits=16, precision="float32", preprocessing={"image_size": 16})
OTHER = MODEL.model_copy(update={"name": "elsewhere", "sha256": "cd" * 32})


@pytest.fixture
def collection(tmp_path: Path) -> Collection:
    return Collections(tmp_path).create("shoes", MODEL)


@dataclass
class Counted:
    """Counts what is written to ``collection``."""

    collection: Collection
    transactions: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        add, remove = self.collection.add, self.collection.remove

        def counted_add(additions: Sequence[Entry]) -> None:
            self.transactions.append(len(additions))
            add(additions)

        def counted_remove(paths: Sequence[str]) -> int:
            self.transactions.append(-len(paths))
            return remove(paths)

        self.collection.add = counted_add  # type: ignore[method-assign]
        self.collection.remove = counted_remove  # type: ignore[method-assign]


def addition(path: str, code: bytes = b"ab") -> Entry:
    return entry_of(path, code)


def paths(collection: Collection) -> list[str]:
    return [image.path for image in collection.view().images(limit=10_000)]


def test_what_waits_shares_a_transaction(collection: Collection) -> None:
    counted = Counted(collection)
    changes: list[tuple[int, int]] = []

    async def run() -> None:
        writer = Writer(collection, lambda added, removed: changes.append((added, removed)))
        await asyncio.gather(*(writer.add([addition(f"{n:04d}")], MODEL) for n in range(500)))
        removed = await asyncio.gather(*(writer.remove(f"{n:04d}") for n in range(490, 510)))
        assert removed == [True] * 10 + [False] * 10

    asyncio.run(run())
    assert paths(collection) == [f"{n:04d}" for n in range(490)]
    assert counted.transactions == [500, -10]
    assert changes == [(500, 0), (0, 10)]


def test_in_the_order_they_came(collection: Collection) -> None:
    async def run() -> list[Any]:
        writer = Writer(collection, lambda _added, _removed: None)
        return await asyncio.gather(
            writer.add_new(addition("a", b"11"), MODEL),
            writer.add_new(addition("a", b"22"), MODEL),
            writer.remove("a"),
            writer.remove("a"),
            writer.add_new(addition("a", b"33"), MODEL),
            writer.add([addition("a", b"44"), addition("a", b"55")], None),
        )

    assert asyncio.run(run()) == [True, False, True, False, True, None]
    image = collection.view().image("a")
    assert image is not None and image.vectors["code"] == b"55"


def test_one_that_cannot_be_done_keeps_nobody_else(collection: Collection) -> None:
    async def run() -> list[Any]:
        writer = Writer(collection, lambda _added, _removed: None)
        return await asyncio.gather(
            writer.add([addition("a")], MODEL),
            writer.add([addition("b")], OTHER),
            writer.add([addition("c", b"another width")], None),
            writer.add([addition("d")], MODEL),
            return_exceptions=True,
        )

    answers = asyncio.run(run())
    assert [type(answer) for answer in answers] == [type(None), ModelMismatch, ModelMismatch, type(None)]
    assert "grid" in str(answers[1]) and "elsewhere" in str(answers[1])
    assert paths(collection) == ["a", "d"]


def test_everybody_hears_that_it_failed(collection: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: Any) -> None:
        raise JournalDamaged("the disk is full")

    monkeypatch.setattr(collection, "add", full)

    async def run() -> list[Any]:
        writer = Writer(collection, lambda _added, _removed: None)
        tries = (writer.add([addition(str(n))], MODEL) for n in range(3))
        return await asyncio.gather(*tries, return_exceptions=True)

    assert [type(answer) for answer in asyncio.run(run())] == [JournalDamaged] * 3
    assert paths(collection) == []


def test_whose_asker_has_gone_is_written_or_not_but_nothing_breaks(collection: Collection) -> None:
    async def run() -> None:
        writer = Writer(collection, lambda _added, _removed: None)
        first = asyncio.create_task(writer.add([addition("first")], MODEL))
        await asyncio.sleep(0)
        gone = asyncio.create_task(writer.add([addition("gone")], MODEL))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.gather(first, gone, return_exceptions=True)
        await writer.add([addition("last")], MODEL)
        await writer.close()

    asyncio.run(run())
    assert set(paths(collection)) - {"gone"} == {"first", "last"}
