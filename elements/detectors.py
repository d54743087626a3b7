"""What there is to find elements with, and what tells one from another."""

import sys
import zipfile
import zlib
from pathlib import Path
from typing import Any

from detection.card import CARD_FILE, parse_detector_card
from detection.detector import Detector
from detection.errors import DetectorError
from detection.registry import DETECTORS, models_folder, open_detector

_MOST_CARD_BYTES = 1 << 20
#: What reading a card of another model, of a damaged or an encrypted file raises.
_NO_DETECTOR = (
    StopIteration, OSError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error, DetectorError,
)  # fmt: skip


def usable() -> list[dict[str, Any]]:
    """Returns what is said of each detector that can be opened here: those by name, then the carded files in the
    folder of models."""
    found = []
    for name in DETECTORS.names():
        try:
            found.append(named(open_detector(name), None) | {"name": name})  # what it is asked for by
        except DetectorError:  # what it needs isn't installed
            continue
    for path in sorted(models_folder().glob("*.pt")):
        try:
            with zipfile.ZipFile(path) as archive:
                member = next(each for each in archive.infolist() if each.filename.endswith(f"/extra/{CARD_FILE}"))
                if member.file_size > _MOST_CARD_BYTES:
                    continue
                card = parse_detector_card(archive.read(member).decode(), path.name)
        except _NO_DETECTOR:
            continue
        labels, modified = list(card.labels), int(path.stat().st_mtime)
        found.append({"name": path.name, "stem": path.stem, "labels": labels, "modified": modified})
    return found


def named(detector: Detector, file: Path | None) -> dict[str, Any]:
    """Returns what results say of ``detector``, which ``file`` holds unless it is built in; ``modified`` is when that
    file, or its code, changed last, in seconds since 1970."""
    place = file or Path(str(sys.modules[type(detector).__module__].__file__))
    labels, modified = list(detector.labels), int(place.stat().st_mtime)
    return {"name": detector.name, "stem": detector.stem, "labels": labels, "modified": modified}
