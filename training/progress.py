"""Shows a training's progress: a bar with the time left on a terminal, a line per epoch in a log."""

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from contract.terminal import say


class Epochs:
    """Counts the epochs of one phase; enter it, then call ``done`` after each epoch."""

    def __init__(self, what: str, total: int, first: int) -> None:
        self._what = what
        self._total = total
        self._epoch = first
        self._shows = sys.stderr.isatty()
        self._started = time.monotonic()
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        self._bar = Progress(
            *columns, TimeElapsedColumn(), TimeRemainingColumn(), console=Console(stderr=True), disable=not self._shows
        )
        self._task = self._bar.add_task(what, total=total, completed=first)

    def __enter__(self) -> "Epochs":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def done(self, note: str) -> None:
        """Report one more finished epoch; ``note`` says how it went."""
        self._epoch += 1
        self._bar.update(self._task, advance=1, description=f"{self._what}  {note}")
        if not self._shows:
            seconds = time.monotonic() - self._started
            say(f"{self._what} epoch {self._epoch}/{self._total}  {note}  {seconds:.0f} s")
