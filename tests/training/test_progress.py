"""A terminal gets a bar, a log a line an epoch."""

import re
import sys
from io import StringIO

import pytest

from training.progress import Epochs


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def count(total: int, first: int) -> None:
    with Epochs("classes", total, first) as epochs:
        for number in range(first, total):
            epochs.done(f"loss {number}.5")


def test_a_log_gets_a_line_an_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    count(5, 3)
    said = capsys.readouterr()
    assert re.fullmatch(r"classes epoch 4/5  loss 3\.5  \d+ s\nclasses epoch 5/5  loss 4\.5  \d+ s\n", said.out)
    assert said.err == ""


def test_a_terminal_gets_a_bar_that_begins_where_the_last_run_stopped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    count(5, 3)
    assert "classes  loss 4.5" in terminal.getvalue()
    assert "5/5" in terminal.getvalue()
    assert capsys.readouterr().out == ""
