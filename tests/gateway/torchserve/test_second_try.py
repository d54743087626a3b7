"""A worker that hangs or dies costs a search some time, and not its answer."""

import asyncio
from collections.abc import Sequence

import pytest

import gateway.torchserve.second_try as second_try
from contract.names import WORKER_HEADER
from gateway.errors import RequestRefused, unreachable
from gateway.torchserve.http import Answer
from gateway.torchserve.second_try import MOST_AT_ONCE, SecondTries

GOOD = Answer(200, [], {WORKER_HEADER: "1"}, b"good")
DIED = Answer(500, [], {}, b'{"code": 500, "type": "InternalServerException", "message": "Worker died."}')
OWN = Answer(500, [], {WORKER_HEADER: "1"}, b'{"message": "Worker died, says the worker"}')
FORM = Answer(500, [], {}, b"ErrorDataDecoderException")
HANGS = None


class TorchServe:
    """Answers its requests with ``answers`` in turn; None is never answered."""

    def __init__(self, *answers: Answer | RequestRefused | None) -> None:
        self._answers = list(answers)
        self.asked = self.at_once = self.most_at_once = 0

    async def __call__(self) -> Answer:
        answer = self._answers[self.asked]
        self.asked += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if answer is None:
                await asyncio.Event().wait()
            if isinstance(answer, RequestRefused):
                raise answer
            assert answer is not None
            return answer
        finally:
            self.at_once -= 1


def answered(torchserve: TorchServe) -> Answer:
    return asyncio.run(asyncio.wait_for(SecondTries().first_answer(torchserve), 30))


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(second_try, "PATIENCE_SECONDS", 0.05)


@pytest.mark.parametrize(
    ("answers", "expected", "asked"),
    [
        ([GOOD], GOOD, 1),
        ([OWN], OWN, 1),
        ([FORM], FORM, 1),
        ([DIED, GOOD], GOOD, 2),
        ([DIED, DIED], DIED, 2),
        ([DIED, OWN], OWN, 2),
        ([HANGS, GOOD], GOOD, 2),
        ([HANGS, DIED], "hangs", 2),
    ],
)
def test_one_more_try(answers: Sequence[Answer | None], expected: Answer | str, asked: int) -> None:
    torchserve = TorchServe(*answers)
    if expected == "hangs":
        with pytest.raises(TimeoutError):
            asyncio.run(asyncio.wait_for(SecondTries().first_answer(torchserve), 0.5))
    else:
        assert answered(torchserve) is expected
    assert (torchserve.asked, torchserve.at_once) == (asked, 0)


def test_a_torchserve_that_is_gone_is_not_asked_again() -> None:
    torchserve = TorchServe(unreachable())
    with pytest.raises(RequestRefused):
        answered(torchserve)
    assert torchserve.asked == 1


def test_a_slow_server_does_not_get_twice_as_much() -> None:
    many = 40
    torchserve = TorchServe(*[HANGS] * 2 * many)
    tries = SecondTries()

    async def test() -> None:
        async with asyncio.timeout(30), asyncio.TaskGroup() as clients:
            searches = [clients.create_task(tries.first_answer(torchserve)) for _ in range(many)]
            while torchserve.at_once < many + MOST_AT_ONCE:
                await asyncio.sleep(0.01)
            await asyncio.sleep(5 * second_try.PATIENCE_SECONDS)
            for search in searches:
                search.cancel()

    asyncio.run(test())
    assert torchserve.most_at_once == many + MOST_AT_ONCE
