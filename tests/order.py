"""Which files of tests start first, and which ``make check`` leaves out: those in slow.txt, longest first.

A worker takes whole files, so that what a file starts is started once; a long file that came last would keep one
worker busy while the others have nothing to do. ``pytest --write_slow`` writes slow.txt anew, as this run measured.
"""

from collections import Counter
from pathlib import Path

import pytest

SLOW = Path(__file__).with_name("slow.txt")
#: A file of tests that takes longer is slow.
_SECONDS = 2.0

_seconds: Counter[str] = Counter()


def slow_files() -> list[str]:
    """Paths below the repository, longest first."""
    return [line.split(maxsplit=1)[1] for line in SLOW.read_text().splitlines()]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fast", action="store_true", help="leave out the files in tests/slow.txt")
    parser.addoption("--write_slow", action="store_true", help="write tests/slow.txt anew")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    if config.getoption("fast") and _name(collection_path, config) in slow_files():
        return True
    return None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    places = {name: place for place, name in enumerate(slow_files())}
    items.sort(key=lambda item: places.get(_name(item.path, config), len(places)))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _seconds[report.nodeid.partition("::")[0]] += report.duration


def pytest_sessionfinish(session: pytest.Session) -> None:
    if session.config.getoption("write_slow") and not hasattr(session.config, "workerinput"):
        slow = [(seconds, name) for name, seconds in _seconds.most_common() if seconds > _SECONDS]
        SLOW.write_text("".join(f"{seconds:.0f} {name}\n" for seconds, name in slow))


def _name(path: Path, config: pytest.Config) -> str:
    return path.relative_to(config.rootpath).as_posix()
