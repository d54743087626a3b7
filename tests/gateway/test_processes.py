"""Child processes: what they print, how they fail, and that nothing of them is left."""

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import psutil
import pytest

import gateway.processes
from gateway.errors import CommandFailed
from gateway.processes import ChildProcess, start_detached


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 60))


def gone(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    return True


def test_what_it_prints() -> None:
    async def test() -> None:
        command = python(f"import os; print('b'); print(os.nice(0) - {os.nice(0)})")
        async with ChildProcess.started(command) as child:
            assert await child.succeeded() == "b\n0\n"
        async with ChildProcess.started(python("print('a'); print('b')")) as child:
            assert [line async for line in child.lines()] == [b"a", b"b"]
            assert await child.succeeded() == ""
        async with ChildProcess.started(python("print('x' * 300_000); print(); print('b', end='')")) as child:
            assert [line async for line in child.lines()] == [b"x" * 300_000, b"", b"b"]
        async with ChildProcess.started(python("print('x' * 300_000)")) as child:
            assert b"".join([piece async for piece in child.output()]) == b"x" * 300_000 + b"\n"

    run(test())


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("raise SystemExit('first\\nError: the last line')", "the last line"),
        ("raise SystemExit(3)", "it ended with status 3"),
        ("import os; os.kill(os.getpid(), 9)", "it was stopped"),
        ("import sys; sys.stderr.write('x\\n' * 500_000 + 'Error: at length\\n'); sys.exit(1)", "at length"),
    ],
)
def test_how_it_fails(code: str, message: str) -> None:
    async def test() -> None:
        with pytest.raises(CommandFailed, match=f"^{message}$"):
            async with ChildProcess.started(python(code)) as child:
                await child.succeeded()

    run(test())


def test_what_cannot_be_started() -> None:
    async def test() -> None:
        with pytest.raises(CommandFailed, match=r"^no process could be started \(No such file or directory\)$"):
            async with ChildProcess.started(["/nowhere/at all"]):
                pass

    run(test())


@pytest.mark.parametrize("deaf", [False, True], ids=["ends when asked", "ignores that"])
@pytest.mark.parametrize("how", ["leave", "cancel"])
def test_nothing_is_left_behind(deaf: bool, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway.processes, "_END_SECONDS", 0.2)
    ignore = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " if deaf else ""
    command = python(f"{ignore}import os, time; print(os.getpid(), flush=True); time.sleep(1e6)")
    pids: list[int] = []

    async def use() -> None:
        async with ChildProcess.started(command) as child:
            pids.append(int(await anext(child.lines())))
            if how == "cancel":
                await child.succeeded()

    async def test() -> None:
        task = asyncio.create_task(use())
        while not pids:
            await asyncio.sleep(0.01)
        if how == "cancel":
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert gone(pids[0])

    run(test())


def test_asked_to_end_while_it_is_waited_for() -> None:
    async def test() -> None:
        with pytest.raises(CommandFailed, match=r"^it was stopped$"):
            async with ChildProcess.started(python("import time; time.sleep(1e6)")) as child:
                waiting = asyncio.create_task(child.succeeded())
                await asyncio.sleep(0.05)
                await child.end()
                await waiting

    run(test())


PARENT = """
import asyncio, sys
from gateway.processes import ChildProcess

async def main():
    code = "import os, time; print(os.getpid(), flush=True); time.sleep(1e6)"
    async with ChildProcess.started([sys.executable, "-c", code]) as child:
        async for line in child.lines():
            print(line.decode(), flush=True)

asyncio.run(main())
"""


def test_it_ends_with_its_parent() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert not gone(pid)
        parent.kill()
    deadline = time.monotonic() + 30
    while not gone(pid):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_what_is_detached_has_a_session_of_its_own_and_says_it_to_a_file(tmp_path: Path) -> None:
    log = tmp_path / "log"
    for _ in range(2):
        child = start_detached(python("import os; print(os.getsid(0) == os.getpid())"), log)
        assert child.wait(60) == 0
    assert log.read_text() == "True\nTrue\n"
