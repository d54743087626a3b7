"""usable_cores is what affinity and the container's quota leave, and never nothing."""

import os
from pathlib import Path

import pytest

from embedding import cores

ALLOWED = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("quota", "expected"),
    [
        ("max 100000\n", ALLOWED),
        ("100000 100000\n", 1),
        ("150000 100000\n", min(2, ALLOWED)),  # one core and a half is worth two threads
        ("5000 100000\n", 1),
        (f"{ALLOWED + 7}00000 100000\n", ALLOWED),
        ("", ALLOWED),
        ("nonsense\n", ALLOWED),
    ],
)
def test_a_quota_caps_the_cores(quota: str, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cpu.max").write_text(quota)
    monkeypatch.setattr(cores, "_CGROUP_QUOTA", tmp_path / "cpu.max")
    assert cores.usable_cores() == expected


def test_without_a_container_affinity_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "_CGROUP_QUOTA", tmp_path / "no such file")
    assert cores.usable_cores() == ALLOWED


def test_affinity_is_this_process_s_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cores, "_CGROUP_QUOTA", tmp_path / "no such file")
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert cores.usable_cores() == 1
    finally:
        os.sched_setaffinity(0, before)
