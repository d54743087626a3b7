"""Progress is a bar on a terminal and plain lines everywhere else."""

import json
import os
import pty
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from indexer import progress
from indexer.progress import Progress


@contextmanager
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Standard error is a pseudo-terminal meanwhile; what a person would look at is its other end."""
    screen, line = pty.openpty()
    with os.fdopen(line, "w", encoding="utf-8") as stream, monkeypatch.context() as patched:
        patched.setenv("TERM", "xterm")
        patched.setattr("sys.stderr", stream)
        yield screen
    os.close(screen)


def shown(screen: int) -> str:
    """What has been written to the screen so far."""
    os.set_blocking(screen, False)
    pieces = []
    with suppress(BlockingIOError):
        while piece := os.read(screen, 65536):
            pieces.append(piece)
    return b"".join(pieces).decode()


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch) as screen:
        with Progress(4, 0) as counted:
            counted.advance(4, 1)
        text = shown(screen)
    assert "\x1b[" in text
    assert "━" in text
    assert "4/4" in text


def test_a_bar_goes_on_from_an_earlier_run(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch) as screen:
        with Progress(10, 7):
            pass
        text = shown(screen)
    assert "7/10" in text.replace(" ", "")


def test_elsewhere_there_is_one_plain_line_at_the_end(capfd: pytest.CaptureFixture[str]) -> None:
    with Progress(1200, 0) as counted:
        counted.advance(1000, 3)
        counted.advance(200, 1)
    out, err = capfd.readouterr()
    assert out == ""
    assert re.fullmatch(r"1,200 of 1,200 images, [\d,]+/s, 0 s left, 4 skipped\n", err)


def test_a_long_run_reports_again_and_again(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_EVERY_SECONDS", 0.0)
    with Progress(30, 10) as counted:
        counted.advance(10, 2)
        counted.advance(10, 0)
    lines = capfd.readouterr().err.splitlines()
    assert [line.split(" images")[0] for line in lines] == ["20 of 30", "30 of 30", "30 of 30"]
    assert not any("\x1b" in line for line in lines)


def test_a_run_that_stops_early_says_how_far_it_came(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(OSError, match="full"), Progress(30, 0) as counted:
        counted.advance(16, 0)
        raise OSError("full")
    assert capfd.readouterr().err.startswith("16 of 30 images, ")


def test_nothing_is_said_when_nothing_was_left_to_do(capfd: pytest.CaptureFixture[str]) -> None:
    with Progress(30, 30):
        pass
    assert capfd.readouterr().err == ""


def test_a_program_gets_json(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_JSON_EVERY_SECONDS", 0.0)
    with terminal(monkeypatch) as screen:
        with Progress(30, 10, as_json=True) as counted:
            counted.advance(5, 2)
            counted.advance(15, 0)
        assert shown(screen) == ""
    said = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [(each["done"], each["total"], each["skipped"]) for each in said] == [(15, 30, 2), (30, 30, 2), (30, 30, 2)]
    assert all(each["rate"] > 0 for each in said)
    assert said[-1]["eta_seconds"] == 0.0
