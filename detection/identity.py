"""What tells one detector from another: where boxes are kept, those of another one are not taken for its."""

import hashlib
from pathlib import Path

from detection.detector import Detector
from detection.registry import DETECTORS, detector_file


def file_of(name: str) -> Path | None:
    """Returns the file of the detector called ``name``; None of a built-in one, or one of a package."""
    return None if name in DETECTORS.names() else detector_file(name)


def identity_of(detector: Detector, file: Path | None) -> str:
    """Returns a text that changes when what ``detector`` finds may; ``file`` holds it, unless it is built in."""
    content = [] if file is None else [hashlib.sha256(file.read_bytes()).hexdigest()]
    return " ".join((detector.name, detector.stem, ",".join(detector.labels), *content))
