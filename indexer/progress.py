"""Shows an indexing run's progress: a bar on a terminal, a line every ten seconds elsewhere (cron, a container's log),
or JSON for programs."""

import json
import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.text import Text

from contract.terminal import say

_EVERY_SECONDS = 10.0
_JSON_EVERY_SECONDS = 0.5


class Progress:
    """Counts ``advance(images, skipped)`` up to ``total``; an earlier run finished ``done`` images.

    ``as_json``: print one JSON object per line to standard output, every half second.
    """

    def __init__(self, total: int, done: int, *, as_json: bool = False) -> None:
        self._as_json = as_json
        self._total = total
        self._done = self._done_before = done
        self._skipped = 0
        self._started = self._reported = time.monotonic()
        self._bar: Bar | None = None
        if sys.stderr.isatty() and not as_json:
            self._bar = Bar(
                TextColumn("hashing"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn(),
                console=Console(stderr=True),
            )  # fmt: skip
            self._task = self._bar.add_task("hashing", total=total, completed=done)

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()
        elif self._done > self._done_before:
            self._line()

    def advance(self, images: int, skipped: int) -> None:
        self._done += images
        self._skipped += skipped
        if self._bar:
            self._bar.update(self._task, completed=self._done)
        elif time.monotonic() - self._reported >= (_JSON_EVERY_SECONDS if self._as_json else _EVERY_SECONDS):
            self._line()

    def _line(self) -> None:
        self._reported = time.monotonic()
        rate = (self._done - self._done_before) / max(self._reported - self._started, 1e-9)
        left = (self._total - self._done) / max(rate, 1e-9)
        if self._as_json:
            counts = {"done": self._done, "total": self._total, "skipped": self._skipped}
            say(json.dumps(counts | {"rate": round(rate, 1), "eta_seconds": round(left, 1)}))
            return
        say(
            f"{self._done:,} of {self._total:,} images, {rate:,.0f}/s, {left:,.0f} s left, {self._skipped:,} skipped",
            err=True,
        )


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed or 0:,.0f}/s")
