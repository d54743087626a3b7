"""The handler's own figures, in TorchServe's metrics system (declared in ``metrics.yaml``, read at /metrics).

Times are counters of milliseconds, so a rate over a rate is a mean: decode milliseconds per second over pictures per
second. TorchServe takes metrics as log lines, which cost more than a search, so this file sums them and hands them over
at most once a second.
"""

import logging
import time
from typing import Any, Protocol

from searcher.versions.version import IndexVersion

_EVERY_SECONDS = 1.0

#: TorchServe's metrics travel as lines of this logger. It is open only while we hand ours over: what TorchServe adds
#: after each batch (PredictionTime) says less and costs a line per batch.
_LINES = logging.getLogger("ts.metrics")


class MetricsSink(Protocol):
    """The part of TorchServe's metrics cache that we use."""

    def add_counter(self, name: str, value: float, *, dimensions: list[Any]) -> None: ...

    def add_time(self, name: str, value: float, *, unit: str, dimensions: list[Any]) -> None: ...


class Metrics:
    """One worker's sums since the last hand-over."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._handed_over = 0.0

    def add(self, name: str, value: float) -> None:
        self._sums[name] = self._sums.get(name, 0.0) + value

    def hand_over(self, sink: MetricsSink, version: IndexVersion | None) -> None:
        """Give TorchServe the sums and the age of ``version``, if a second has passed."""
        now = time.monotonic()
        if now - self._handed_over < _EVERY_SECONDS:
            return
        self._handed_over = now
        _LINES.setLevel(logging.INFO)
        for name, value in self._sums.items():
            # TorchServe appends to this list, so each call gets a new one.
            sink.add_counter(f"hashlake_{name}_total", round(value, 3), dimensions=[])
        self._sums.clear()
        if version:
            age = time.time() - version.manifest.created.timestamp()
            sink.add_time("hashlake_version_age_seconds", round(age, 1), unit="s", dimensions=[])
        _LINES.setLevel(logging.WARNING)
