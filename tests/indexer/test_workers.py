"""Whoever does the work: outcomes come batch by batch, in order, and no batch is taken long before it is worked on."""

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import count, islice

import pytest

from indexer import workers
from indexer.outcome import Outcome, Skipped
from indexer.workers import LocalWorkers, Work, Workers
from sources.source import Item


class InTurn:
    """The plainest workers that there can be: the oracle of all others."""

    def __init__(self, work: Work) -> None:
        self._work = work

    def map(self, batches: Iterator[list[Item]]) -> Iterator[list[Outcome]]:
        return map(self._work, batches)


pytestmark = pytest.mark.parametrize("make", [InTurn, LocalWorkers])
Make = Callable[[Work], Workers]


@pytest.fixture(autouse=True)
def _two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "usable_cores", lambda: 2)


def skip(items: Sequence[Item]) -> list[Outcome]:
    """Every item is skipped, its number in the name being the reason; the later ones of ten are done first."""
    time.sleep(0.001 * (9 - int(items[0].name) % 10))
    return [Outcome(item, [Skipped(item.name, item.name)]) for item in items]


@pytest.mark.parametrize("number", [0, 1, 7, 40])
def test_outcomes_in_the_order_of_the_batches(make: Make, number: int) -> None:
    batches = [[Item(str(each)), Item(f"{each} again")] for each in range(number)]
    found = list(make(skip).map(iter(batches)))
    assert [[outcome.item for outcome in outcomes] for outcomes in found] == batches


def test_batches_are_taken_only_as_fast_as_they_are_worked_on(make: Make) -> None:
    """A listing of a hundred million lines must not be read into memory."""
    taken = []

    def endless() -> Iterator[list[Item]]:
        for number in count():
            taken.append(number)
            yield [Item(str(number))]

    running = make(skip).map(endless())
    assert len(list(islice(running, 3))) == 3
    assert len(taken) <= 15
    if close := getattr(running, "close", None):
        close()


def test_what_the_work_raises_comes_out(make: Make) -> None:
    def fail(items: Sequence[Item]) -> list[Outcome]:
        if items[0].name == "2":
            raise RuntimeError("no memory")
        return skip(items)

    running = make(fail).map(iter([[Item(str(number))] for number in range(5)]))
    assert [outcomes[0].item.name for outcomes in islice(running, 2)] == ["0", "1"]
    with pytest.raises(RuntimeError, match="no memory"):
        next(running)
