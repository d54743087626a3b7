"""Models beside the datalake's stay within a limit: which are unloaded, which never, and what fits nowhere."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, cast

import pytest

from contract.names import MODEL_NAME
from gateway.errors import RequestRefused, TorchServeError
from gateway.torchserve import model_memory
from gateway.torchserve.client import TorchServeClient
from gateway.torchserve.model_memory import LoadedModel, ModelMemory, guessed_bytes

MB = 1 << 20


class FakeTorchServe:
    """``megabytes`` of each loaded model, of its two workers together; those in ``mute`` don't answer."""

    def __init__(self, **megabytes: int) -> None:
        self.megabytes = {MODEL_NAME: 1000, **megabytes}
        self.mute: set[str] = set()

    async def model_names(self) -> list[str]:
        return list(self.megabytes)

    async def describe(self, name: str) -> dict[str, Any]:
        if name in self.mute:
            raise TorchServeError("no worker says which model it serves")
        return {"sha256": f"of {name}", "workers": 2, "memory_bytes": self.megabytes[name] * MB // 2}


class House:
    """A memory with ``limit`` megabytes for the models of ``torchserve``, which it unloads when they are idle."""

    def __init__(self, torchserve: FakeTorchServe, limit: int | None) -> None:
        self.torchserve = torchserve
        most = None if limit is None else limit * MB
        self.memory = ModelMemory(cast(TorchServeClient, torchserve), most, self.unload)

    async def unload(self, name: str) -> None:
        await self.memory.idle(name)
        del self.torchserve.megabytes[name]

    @property
    def beside(self) -> list[str]:
        return [name for name in self.torchserve.megabytes if name != MODEL_NAME]


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


def test_what_is_loaded_is_measured() -> None:
    async def test() -> None:
        house = House(FakeTorchServe(clip=300, mute=0), None)
        house.torchserve.mute.add("mute")
        assert await house.memory.loaded() == [
            LoadedModel(MODEL_NAME, f"of {MODEL_NAME}", 2, 1000 * MB),
            LoadedModel("clip", "of clip", 2, 300 * MB),
        ]

    run(test)


def test_without_a_limit_all_stay() -> None:
    async def test() -> None:
        house = House(FakeTorchServe(a=9000, b=9000), None)
        await house.memory.make_room("c", 9000 * MB)
        assert house.beside == ["a", "b"]

    run(test)


def test_the_one_that_waits_longest_goes_first() -> None:
    async def test() -> None:
        house = House(FakeTorchServe(a=200, b=200, c=200), 700)
        for name in ("b", "a", "c"):
            with house.memory.using(name):
                pass
        await house.memory.make_room("d", 100 * MB)  # 600 + 100
        assert house.beside == ["a", "b", "c"]
        await house.memory.make_room("d", 101 * MB)
        assert house.beside == ["a", "c"]
        await house.memory.make_room("d", 700 * MB)
        assert house.beside == []

    run(test)


def test_one_in_use_is_waited_for_and_goes_last() -> None:
    async def test() -> None:
        house = House(FakeTorchServe(busy=300, idle=300), 700)
        with house.memory.using("idle"):
            pass
        with house.memory.using("busy"):
            await house.memory.make_room("new", 400 * MB)
            assert house.beside == ["busy"]
            making = asyncio.create_task(house.memory.make_room("new", 500 * MB))
            await asyncio.sleep(0.01)
            assert house.beside == ["busy"] and not making.done()
        await making
        assert house.beside == []

    run(test)


def test_one_that_stays_in_use_is_not_unloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_memory, "ANSWER_SECONDS", 0.01)

    async def test() -> None:
        house = House(FakeTorchServe(busy=300), 400)
        with house.memory.using("busy"), pytest.raises(RequestRefused, match="the model busy is in use") as refused:
            await house.memory.make_room("new", 200 * MB)
        assert refused.value.status == 503 and house.beside == ["busy"]

    run(test)


def test_a_measured_size_counts_more_than_a_guess() -> None:
    async def test() -> None:
        house = House(FakeTorchServe(a=300, b=300), 500)
        await house.memory.loaded()
        await house.unload("a")
        await house.memory.make_room("a", 1 * MB)  # as small a file as that
        assert house.beside == []

    run(test)


def test_what_fits_nowhere_is_refused_and_others_stay() -> None:
    async def test() -> None:
        house = House(FakeTorchServe(a=300), 500)
        with pytest.raises(
            RequestRefused, match="the model large takes 501 MB, and HASHLAKE_MODEL_MEMORY_MB allows 500"
        ):
            await house.memory.make_room("large", 500 * MB + 1)
        assert house.beside == ["a"]

    run(test)


def test_a_guess_counts_the_file_and_a_workers_own() -> None:
    assert guessed_bytes(100 * MB, 2) == 2 * (100 + 270) * MB
