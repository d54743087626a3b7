"""The memory that a process would give back by ending."""

from pathlib import Path

_ROLLUP = Path("/proc/self/smaps_rollup")


def own_memory() -> int:
    """Bytes of this process that no file backs: weights, libraries' data, caches. Mapped index versions don't count:
    all processes share them, and the system takes them back when it likes. 0 where the system doesn't say."""
    try:
        lines = _ROLLUP.read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Anonymous:"))
