"""Keeps the processes of a stack running: supervisord, in this process, over a configuration that is written here.

    program ends ─▶ started again: at once if it had settled, else after 1, 2, … 10 s, by how often in a row it hadn't
                 ─▶ or it says at its very first start that it cannot (status 1): everything ends, with status 1
    SIGTERM, Ctrl-C, SIGHUP ─▶ each gets SIGTERM, the last program first, and its time to end ─▶ status 0

No program's end ends another. Each ends with this process, even if that is killed (end_with_parent.py). supervisord has
no port and no socket here.
"""

import fcntl
import os
import shlex
import signal
import stat
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from tempfile import NamedTemporaryFile

from supervisor.options import ServerOptions
from supervisor.states import ProcessStates, SupervisorStates
from supervisor.supervisord import go

from contract.end_with_parent import ending_with_parent
from handler.errors import HandlerError

#: A program that is started again and again is never given up: each time it says why.
_TRIES = 1_000_000_000
#: The most seconds that it waits: supervisord waits a second longer each time, without end.
_MOST_SECONDS = 10
_CANNOT_START = 1


@dataclass(frozen=True)
class Program:
    """``settle_seconds``: when it has run for so long, the next end is the first again. ``stop_seconds``: what it gets
    to end in."""

    name: str
    command: Sequence[str]
    settle_seconds: int
    stop_seconds: int


def supervise(programs: Sequence[Program]) -> None:
    """Run ``programs`` until SIGTERM, Ctrl-C or SIGHUP. They write to this process's standard output and error. Raises
    HandlerError if one says that it cannot start."""
    options = _Options()
    with NamedTemporaryFile("w", prefix="hashlake-", suffix=".conf", encoding="utf-8") as file:
        file.write(_configuration(programs))
        file.flush()
        options.realize(["-c", file.name])
    options.first, options.test = True, False
    try:
        go(options)
    finally:
        options.close_logger()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # all has ended; a second one must not interrupt what is left to do
    if options.refused is not None:
        raise HandlerError(f"{options.refused} cannot start; it says why above")


class _Options(ServerOptions):
    """supervisord's options, which are also its hands. ``refused``: the program that cannot start."""

    refused: str | None = None

    def __init__(self) -> None:
        super().__init__()
        self._have_ended: set[str] = set()

    def write_pidfile(self) -> None:
        """Writes none: nobody controls this supervisord by one."""

    def waitpid(self) -> tuple[int | None, int | None]:
        """Reap a child, and end everything if it refuses to start."""
        pid, status = super().waitpid()
        program = self.pidhistory.get(pid)
        if program is not None:
            program.backoff = min(program.backoff, _MOST_SECONDS - 1)  # to which supervisord adds one
            name = program.config.name
            first_start = name not in self._have_ended and program.state == ProcessStates.STARTING
            if first_start and os.waitstatus_to_exitcode(status) == _CANNOT_START:
                self.refused = name
                self.mood = SupervisorStates.SHUTDOWN
            self._have_ended.add(name)
        return pid, status


def _configuration(programs: Sequence[Program]) -> str:
    lines = [
        "[supervisord]",
        "nodaemon=true",
        "nocleanup=true",
        "loglevel=warn",
        "logfile=/dev/null",
        "logfile_maxbytes=0",
        "minfds=64",
        "minprocs=1",
        *(["user=0"] if os.geteuid() == 0 else []),  # which it takes for an oversight otherwise
    ]
    out, error = _written_again(1), _written_again(2)
    for place, program in enumerate(programs):
        lines += [
            f"[program:{program.name}]",
            f"command={_literal(shlex.join(ending_with_parent(program.command)))}",
            f"priority={place}",
            "autorestart=true",
            f"startsecs={program.settle_seconds}",
            f"startretries={_TRIES}",
            f"stopwaitsecs={program.stop_seconds}",
            f"stdout_logfile={out}",
            "stdout_logfile_maxbytes=0",
            f"stderr_logfile={error}",
            "stderr_logfile_maxbytes=0",
        ]
    return "".join(f"{line}\n" for line in lines)


def _literal(text: str) -> str:
    return text.replace("%", "%%")


def _written_again(number: int) -> str:
    """Returns a name by which the file descriptor ``number`` can be opened once more, for appending. A socket, such as
    systemd's, can't be, nor another user's pipe; then the descriptor becomes a pipe to `cat`."""
    name = f"/dev/fd/{number}"
    try:
        os.close(os.open(name, os.O_WRONLY | os.O_APPEND))
        if stat.S_ISREG(os.fstat(number).st_mode):  # what supervisord says would overwrite what the programs say
            fcntl.fcntl(number, fcntl.F_SETFL, fcntl.fcntl(number, fcntl.F_GETFL) | os.O_APPEND)
    except OSError:
        cat = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=number, start_new_session=True)
        assert cat.stdin is not None
        os.dup2(cat.stdin.fileno(), number)
        cat.stdin.close()
    return name
