"""What there is to find elements with, and how old it is."""

import sys
from pathlib import Path
from typing import Any

from contract.registry import NotRegistered
from detection.detector import Detector
from detection.errors import DetectorError
from detection.registry import DETECTORS, open_detector


def usable() -> list[Detector]:
    """Returns the detectors that can be opened here, by name."""
    found = []
    for name in DETECTORS.names():
        try:
            found.append(open_detector(name))
        except (DetectorError, NotRegistered):  # its extra isn't installed
            continue
    return found


def named(detector: Detector) -> dict[str, Any]:
    """Returns what results say of ``detector``; ``modified`` is when it changed last, in seconds since 1970."""
    labels = list(detector.labels)
    return {"name": detector.name, "stem": detector.stem, "labels": labels, "modified": _modified(detector)}


def _modified(detector: Detector) -> int:
    """Returns the time of its weights' file, where it has a ``path``, else of its code."""
    path = getattr(detector, "path", None) or getattr(sys.modules.get(type(detector).__module__), "__file__", None)
    return int(Path(path).stat().st_mtime) if path and Path(path).is_file() else 0
