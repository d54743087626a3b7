"""The project's commands as child processes: one way to start, follow and end them.

    async with ChildProcess.started(command) as child:      the process ends with the block
        async for piece in child.output(): …                its output, as it is printed
        await child.succeeded()                             or CommandFailed, with the last line of its standard error

A child has its own session, so Ctrl-C reaches only its parent, which ends the child cleanly; if the parent is killed,
the kernel ends the child. ``start_detached`` starts a process that outlives its parent.
"""

import asyncio
import contextlib
import os
import subprocess
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

from contract.end_with_parent import end_with_parent
from gateway.errors import CommandFailed

HASHLAKE = [sys.executable, "-m", "hashlake"]

#: Time for a child to end once it is asked; then it is killed.
_END_SECONDS = 10.0
#: Time to drain the pipes of a child that has ended; its own children may still hold them open.
_PIPE_SECONDS = 1.0
_PIECE_BYTES = 64 * 1024
#: How much of a child's standard error is kept: the end of it.
_STDERR_TAIL_BYTES = 16 * 1024


class ChildProcess:
    """A running command, made by ``started``."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._stderr_tail = b""
        self._stderr_reader = asyncio.create_task(self._read_stderr())

    @classmethod
    @asynccontextmanager
    async def started(cls, command: Sequence[str], *, nice: int = 0) -> AsyncIterator[Self]:
        """Run ``command`` with the niceness ``nice``. If it still runs when the block ends or is cancelled, it is
        ended. Raises CommandFailed if it cannot be started."""
        try:
            process = await asyncio.create_subprocess_exec(
                *command, stdin=DEVNULL, stdout=PIPE, stderr=PIPE,
                start_new_session=True, preexec_fn=end_with_parent,
            )  # fmt: skip
        except OSError as error:
            raise CommandFailed(f"no process could be started ({error.strerror})") from error
        child = cls(process)
        try:
            if nice:
                with contextlib.suppress(OSError):  # it may have ended already
                    os.setpriority(os.PRIO_PROCESS, process.pid, nice)
            yield child
        finally:
            await asyncio.shield(child._close())

    @property
    def said(self) -> str:
        """The end of its standard error, as far as that has been read."""
        return self._stderr_tail.decode(errors="replace").strip()

    def ask_to_end(self) -> None:
        """Send SIGTERM, as systemd and Docker do. Does nothing if the process has ended."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()

    async def end(self) -> None:
        """Send SIGTERM and wait for the end; after 10 seconds send SIGKILL."""
        self.ask_to_end()
        try:
            async with asyncio.timeout(_END_SECONDS):
                await self._process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    async def output(self) -> AsyncIterator[bytes]:
        """Yields its standard output, in pieces of any size, until the process closes it."""
        assert self._process.stdout is not None
        while piece := await self._process.stdout.read(_PIECE_BYTES):
            yield piece

    async def lines(self) -> AsyncIterator[bytes]:
        """Yields its standard output, line by line, without their ends; a line may be of any length."""
        held = bytearray()
        async for piece in self.output():
            held += piece
            if b"\n" in piece:
                *whole, held = held.split(b"\n")
                for line in whole:
                    yield bytes(line)
        if held:
            yield bytes(held)

    async def succeeded(self) -> str:
        """Wait for the end; returns the output not read so far. Raises CommandFailed unless the status is 0."""
        rest = b"".join([piece async for piece in self.output()])
        status = await self._process.wait()
        await self._stderr_reader
        if status:
            ended = "it was stopped" if status < 0 else f"it ended with status {status}"
            said = self.said.splitlines() or [ended]
            raise CommandFailed(said[-1].strip().removeprefix("Error: "), status)
        return rest.decode(errors="replace")

    async def _close(self) -> None:
        await self.end()
        with contextlib.suppress(TimeoutError):  # a child of its own may still hold the pipes open
            async with asyncio.timeout(_PIPE_SECONDS):
                async for _ in self.output():
                    pass
                await self._stderr_reader
        self._stderr_reader.cancel()

    async def _read_stderr(self) -> None:
        assert self._process.stderr is not None
        while piece := await self._process.stderr.read(_PIECE_BYTES):
            self._stderr_tail = (self._stderr_tail + piece)[-_STDERR_TAIL_BYTES:]


def start_detached(command: Sequence[str], log: Path) -> "subprocess.Popen[bytes]":
    """Start ``command`` so that it survives this process. Its output is appended to the file ``log``."""
    with log.open("ab") as said:
        return subprocess.Popen(command, stdin=DEVNULL, stdout=said, stderr=said, start_new_session=True)
