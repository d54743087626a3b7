"""The campaign: what may go wrong, tried a few times in every test run, thousands of times by `make soak`.

A file per row: crash, disk, corruption, swap, bad input, doors (with paths and addresses); and a whole stack under load
and faults.
Each test tells a figure, and the run ends with a table of them.
"""

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import pytest
from _pytest.terminal import TerminalReporter

Tell = Callable[[str], None]
_FIGURE = "figure"
Cell = TypeVar("Cell")


@dataclass(frozen=True)
class Sizes:
    """How much of each row is tried."""

    #: a kill before every n-th step that touches the disk
    stride: int
    #: kills at random moments, of each of indexer, fold and writer
    moments: int
    #: damaged stores, of each kind of file
    trials: int
    #: versions published one after another, while they are searched; memory and files are looked at after each number
    swaps: tuple[int, ...]
    #: seconds of each load
    load_seconds: float
    #: times that connections are held, and bodies are large
    holds: int
    #: times that each process is killed, or stopped
    deaths: int
    #: damaged pictures, of each format and kind of damage
    pictures: int
    #: width and height of pictures that are large in small files
    bomb_side: int
    #: requests that no client of ours would send, for each route and method
    requests: int
    #: bytes by which the room on a full disk grows from try to try
    room: int
    #: two processes that do the same at once
    pairs: int
    #: cells of each table of doors, drawn by chance, always the same ones; or all
    cells: int


SHORT = Sizes(
    stride=9,
    moments=3,
    trials=12,
    swaps=(5, 20),
    load_seconds=2.0,
    holds=1,
    deaths=0,
    pictures=20,
    bomb_side=500,
    requests=1,
    room=96 << 10,
    pairs=1,
    cells=200,
)
SOAK = Sizes(
    stride=1,
    moments=200,
    trials=250,
    swaps=(10, 100, 1000),
    load_seconds=900.0,
    holds=50,
    deaths=50,
    pictures=1500,
    bomb_side=9459,
    requests=100,
    room=4 << 10,
    pairs=50,
    cells=1_000_000,
)


def drawn(table: Iterable[Cell], sizes: Sizes) -> list[Cell]:
    """As many cells of ``table`` as are tried."""
    cells = list(table)
    return random.Random(len(cells)).sample(cells, min(sizes.cells, len(cells)))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak", action="store_true", help="the campaign of tests/reliability in full")


@pytest.fixture(scope="session")
def sizes(pytestconfig: pytest.Config) -> Sizes:
    return SOAK if pytestconfig.getoption("soak") else SHORT


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Tell:
    """Puts a figure of the test into the table."""
    return lambda figure: request.node.user_properties.append((_FIGURE, figure))


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    figures = [*_figures(terminalreporter)]
    if figures:
        terminalreporter.section("the campaign")
        for name, figure in sorted(figures):
            terminalreporter.write_line(f"{name:<60} {figure}")


def _figures(reporter: TerminalReporter) -> Iterator[tuple[str, str]]:
    for outcome in ("passed", "failed"):
        for report in reporter.getreports(outcome):
            if report.when == "call":
                for key, figure in report.user_properties:
                    if key == _FIGURE:
                        yield report.nodeid.rpartition("tests/reliability/")[2], str(figure)
