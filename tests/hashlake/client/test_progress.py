"""A bar on a terminal, a line now and then elsewhere, and nothing of either on standard output."""

import io
from contextlib import redirect_stderr

import pytest

from hashlake.client import progress
from hashlake.client.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    return Terminal()


def test_a_bar(terminal: Terminal, capsys: pytest.CaptureFixture[str]) -> None:
    with redirect_stderr(terminal), Progress("restored", 1000) as bar:
        bar.reach(10)
        bar.say("failed [bold]https://example.org/a.jpg[/bold]: status 404")
        bar.reach(1000)
    assert "restored" in terminal.getvalue()
    assert "failed [bold]https://example.org/a.jpg[/bold]: status 404" in terminal.getvalue()
    assert "1000/1000" in terminal.getvalue()
    assert capsys.readouterr().out == ""


def test_a_bar_without_a_total(terminal: Terminal) -> None:
    with redirect_stderr(terminal), Progress("added", None) as bar:
        bar.reach(256)
    assert "256/?" in terminal.getvalue()


@pytest.mark.parametrize(("total", "of"), [(1000, " of 1,000"), (None, "")])
def test_lines(total: int | None, of: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(progress, "_EVERY_SECONDS", 0.0)
    with Progress("dumped", total) as lines:
        lines.reach(500)
        lines.say("failed a.jpg: status 404")
    said = capsys.readouterr()
    assert said.out == ""
    first, second = said.err.splitlines()
    assert first.startswith(f"500{of} images dumped, ")
    assert second == "failed a.jpg: status 404"


def test_a_short_run_elsewhere_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("dumped", 3) as lines:
        for done in range(1, 4):
            lines.reach(done)
    assert capsys.readouterr().err == ""
