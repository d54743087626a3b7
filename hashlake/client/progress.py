"""Shows a bulk command's progress: a bar on a terminal, a line every ten seconds elsewhere (cron, container logs)."""

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.text import Text

from contract.terminal import say, visible

_EVERY_SECONDS = 10.0
_BAR_EVERY_SECONDS = 0.1


class Progress:
    """Counts images up to ``total``, or without end if it is None; ``doing`` is a word such as "added". Prints to
    standard error."""

    def __init__(self, doing: str, total: int | None) -> None:
        self._doing = doing
        self._total = total
        self._done = 0
        self._started = self._reported = time.monotonic()
        self._bar: Bar | None = None
        if sys.stderr.isatty():
            self._bar = Bar(
                TextColumn(doing), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn(),
                console=Console(stderr=True),
            )  # fmt: skip
            self._task = self._bar.add_task(doing, total=total)

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.update(self._task, completed=self._done)
            self._bar.stop()

    def reach(self, done: int) -> None:
        """Show that ``done`` images are finished."""
        self._done = done
        now = time.monotonic()
        if now - self._reported < (_BAR_EVERY_SECONDS if self._bar else _EVERY_SECONDS):
            return
        self._reported = now
        if self._bar:
            self._bar.update(self._task, completed=done)
        else:
            of = "" if self._total is None else f" of {self._total:,}"
            say(f"{done:,}{of} images {self._doing}, {done / (now - self._started):,.0f}/s", err=True)

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        if self._bar:
            self._bar.console.print(Text(visible(line)), soft_wrap=True)  # never markup, whatever it contains
        else:
            say(line, err=True)


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed or 0:,.0f}/s")
