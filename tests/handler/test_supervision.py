"""What is started again, and what ends everything: programs of a line each, under the real supervisor."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import psutil
import pytest
from supervisor.options import ServerOptions
from supervisor.states import ProcessStates

from handler.supervision import _Options
from tests.handler.server import REPOSITORY

#: Says its name and number, and when it is asked to end.
_SLEEPER = """
import os, signal, sys, time
def say(what): os.write(1, f"{sys.argv[1]} {what}\\n".encode())
def end(*_): say("ends"); sys.exit(0)
signal.signal(signal.SIGTERM, end)
say(os.getpid())
signal.pause()
"""
#: Ends at once, with the status in the file beside it.
_REFUSER = """
import os, sys, pathlib
os.write(2, b"Error: no\\n")
sys.exit(int(pathlib.Path(__file__).with_name("status").read_text()))
"""
_SUPERVISE = """
import sys
from handler.errors import HandlerError
from handler.supervision import Program, supervise
programs = [Program(name, [sys.executable, file, name], 60, 10) for name, file in zip(sys.argv[1::2], sys.argv[2::2])]
try:
    supervise(programs)
except HandlerError as error:
    sys.exit(f"Error: {error}")
"""
_SECONDS = 30.0


class Said:
    """What the programs have said so far, in a file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def lines(self) -> list[str]:
        return self._file.read_text().splitlines()

    def numbers(self, name: str) -> list[int]:
        """The process numbers under which the program ``name`` was started."""
        return [int(line.split()[1]) for line in self.lines() if line.startswith(name) and line.split()[1].isdigit()]

    def wait_until(self, look: Callable[[], Any]) -> None:
        deadline = time.monotonic() + _SECONDS
        while not look():
            assert time.monotonic() < deadline, self.lines()
            time.sleep(0.02)


@contextmanager
def supervised(
    log: Path, *words: str, out: IO[bytes] | int | None = None
) -> Iterator[tuple[subprocess.Popen[bytes], Said]]:
    """A supervisor of programs: a name and the code for each."""
    for name, code in zip(words[::2], words[1::2], strict=True):
        (log.parent / f"{name}.py").write_text(code)
    command = [sys.executable, "-c", _SUPERVISE]
    for name in words[::2]:
        command += [name, str(log.parent / f"{name}.py")]
    with log.open("wb") as file:
        process = subprocess.Popen(command, cwd=REPOSITORY, stdout=out or file, stderr=file)
    try:
        yield process, Said(log)
    finally:
        process.kill()
        process.wait()


def test_what_ends_is_started_again_and_takes_nothing_with_it(tmp_path: Path) -> None:
    with supervised(tmp_path / "log", "one", _SLEEPER, "two", _SLEEPER) as (process, said):
        for times in (1, 2):
            said.wait_until(lambda: len(said.numbers("one")) == times)  # noqa: B023
            os.kill(said.numbers("one")[-1], signal.SIGKILL)
        said.wait_until(lambda: len(said.numbers("one")) == 3)
        assert len(said.numbers("two")) == 1
        process.terminate()
        assert process.wait(_SECONDS) == 0
    lines = said.lines()
    assert [line for line in lines if line.endswith(" ends")] == ["two ends", "one ends"]  # the last one first
    assert sum("exited: one (terminated by SIGKILL; not expected)" in line for line in lines) == 2


def test_a_program_that_cannot_start_ends_all_and_the_status_says_so(tmp_path: Path) -> None:
    (tmp_path / "status").write_text("1")
    with supervised(tmp_path / "log", "one", _SLEEPER, "two", _REFUSER) as (process, said):
        assert process.wait(_SECONDS) == 1
    assert [line for line in said.lines() if line.startswith("Error")] == [
        "Error: no",
        "Error: two cannot start; it says why above",
    ]
    for number in said.numbers("one"):
        assert not psutil.pid_exists(number)


def test_a_program_that_has_been_up_may_fail_to_start(tmp_path: Path) -> None:
    status = tmp_path / "status"
    status.write_text("70")
    with supervised(tmp_path / "log", "two", _REFUSER) as (process, said):
        said.wait_until(lambda: said.lines().count("Error: no") == 1)
        status.write_text("1")
        said.wait_until(lambda: said.lines().count("Error: no") == 3)
        assert process.poll() is None


@pytest.mark.parametrize(("before", "seconds"), [(0, 1), (8, 9), (9, 10), (500, 10)])
def test_what_ends_again_and_again_is_waited_for_ten_seconds_at_most(
    before: int, seconds: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ServerOptions, "waitpid", lambda self: (7, 70 << 8))
    (tmp_path / "conf").write_text(
        "[supervisord]\nlogfile=/dev/null\nlogfile_maxbytes=0\n[program:torchserve]\ncommand=true\n"
    )
    options = _Options()
    options.realize(["-c", str(tmp_path / "conf")])
    (group,) = options.process_group_configs
    (process,) = group.make_group().processes.values()
    process.state, process.pid, process.backoff = ProcessStates.STARTING, 7, before
    options.make_logger()
    options.pidhistory = {7: process}
    options._have_ended.add("torchserve")
    process.laststart = time.time()
    process.finish(*options.waitpid())
    options.close_logger()
    assert process.delay - time.time() == pytest.approx(seconds, abs=0.5)


def test_a_killed_supervisor_leaves_no_program_behind(tmp_path: Path) -> None:
    with supervised(tmp_path / "log", "one", _SLEEPER) as (process, said):
        said.wait_until(lambda: said.numbers("one"))
        program = psutil.Process(said.numbers("one")[0])
        process.kill()
        program.wait(_SECONDS)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_ctrl_c_and_a_closed_terminal_end_it(tmp_path: Path, number: signal.Signals) -> None:
    with supervised(tmp_path / "log", "one", _SLEEPER) as (process, said):
        said.wait_until(lambda: said.numbers("one"))
        process.send_signal(number)
        assert process.wait(_SECONDS) == 0
    assert said.lines()[-1] == "one ends"


def test_it_may_write_to_a_socket_as_under_systemd(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    with ours, supervised(tmp_path / "log", "one", _SLEEPER, out=theirs.fileno()) as (process, _):
        theirs.close()
        with ours.makefile() as lines:
            assert lines.readline().startswith("one ")
            process.terminate()
            assert process.wait(_SECONDS) == 0
            assert "one ends" in lines.read()
