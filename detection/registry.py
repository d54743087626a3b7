"""Detectors by name. Packages add theirs as entry points ``hashlake.detectors``: a function without arguments that
returns a Detector.

name ─▶ built in, or of a package ─▶ a Detector
"""

from contract.registry import NotRegistered, Registry
from detection.detector import Detector
from detection.errors import DetectorError

DETECTORS = Registry("detector", "hashlake.detectors", {})


def open_detector(name: str) -> Detector:
    """Returns the detector called ``name``. Raises DetectorError, which says what there is, or what to install."""
    try:
        detector: Detector = DETECTORS.get(name)()
    except NotRegistered as error:
        raise DetectorError(str(error)) from error
    return detector
