"""Requests to one host are kept apart; those to others aren't."""

import pytest

from sources.fetching import pace
from sources.fetching.pace import Pace


def test_requests_to_a_host_are_kept_apart() -> None:
    now = [100.0]
    turns = Pace(0.05, lambda: now[0])
    waits = [turns.wait(host) for host in ("a.org", "a.org", "b.org", "a.org", "gallica.bnf.fr", "gallica.bnf.fr")]
    assert waits == pytest.approx([0.0, 0.05, 0.0, 0.1, 0.0, 12.0])
    now[0] = 101.0
    assert turns.wait("a.org") == 0.0
    assert turns.wait("gallica.bnf.fr") == 23.0


def test_only_known_hosts_are_slow_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = Pace(0.0, lambda: 100.0)
    assert [turns.wait("a.org"), turns.wait("a.org"), turns.wait("gallica.bnf.fr"), turns.wait("gallica.bnf.fr")] == [
        0.0, 0.0, 0.0, 12.0,
    ]  # fmt: skip


def test_turns_that_have_passed_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "_MANY", 3)
    now = [0.0]
    turns = Pace(1.0, lambda: now[0])
    for host in ("a", "b", "c"):
        turns.wait(host)
    now[0] = 0.5
    assert turns.wait("d") == 0.0 and turns.wait("a") == 0.5
    now[0] = 9.0
    turns.wait("e")
    assert list(turns._next) == ["e"]
