"""The handler's own figures, in TorchServe's metrics system (declared in ``metrics.yaml``, read at /metrics).

Counters of milliseconds, so that a rate over a rate is a mean: decode milliseconds per second over pictures per
second. TorchServe takes metrics as log lines, which cost more than a search; so they are summed here and handed over
at most once a second.
"""

import logging
import time
from typing import Any, Protocol

from searcher.version import IndexVersion

_EVERY_SECONDS = 1.0

#: TorchServe's metrics travel as lines of this logger. It is let through only while ours are handed over; what
#: TorchServe adds after each batch (PredictionTime) says less and costs a line a batch.
_LINES = logging.getLogger("ts.metrics")


class MetricsSink(Protocol):
    """The part of TorchServe's metrics cache that is used."""

    def add_counter(self, name: str, value: float, *, dimensions: list[Any]) -> None: ...

    def add_time(self, name: str, value: float, *, unit: str, dimensions: list[Any]) -> None: ...


class Metrics:
    """Sums of one worker since they were last handed over."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._handed_over = 0.0

    def add(self, name: str, value: float) -> None:
        self._sums[name] = self._sums.get(name, 0.0) + value

    def hand_over(self, sink: MetricsSink, version: IndexVersion | None) -> None:
        """Give the sums, and the age of ``version``, to TorchServe if a second has passed."""
        now = time.monotonic()
        if now - self._handed_over < _EVERY_SECONDS:
            return
        self._handed_over = now
        _LINES.setLevel(logging.INFO)
        for name, value in self._sums.items():
            # TorchServe appends to the list it is given, hence a new one each time.
            sink.add_counter(f"hashlake_{name}_total", round(value, 3), dimensions=[])
        self._sums.clear()
        if version:
            age = time.time() - version.manifest.created.timestamp()
            sink.add_time("hashlake_version_age_seconds", round(age, 1), unit="s", dimensions=[])
        _LINES.setLevel(logging.WARNING)
