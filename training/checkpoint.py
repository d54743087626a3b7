"""The state of an unfinished training, in one file beside the future model.

It is written under another name and renamed, so a killed run leaves the old state or the new one, never half of one.
"""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

State = dict[str, Any]


class Checkpoint:
    """The file at ``path``. It is valid only for a training with the same ``purpose``: recipe, pictures, network."""

    def __init__(self, path: Path, purpose: str, tell: Callable[[str], None]) -> None:
        self._path = path
        self._beside = path.with_name(f"{path.name}.new")
        self._purpose = purpose
        self._tell = tell

    def load(self) -> State | None:
        """Returns the last saved state, if it was saved for this purpose."""
        if not self._path.exists():
            return None
        try:
            state: State = torch.load(self._path, map_location="cpu", weights_only=True)
            if state["purpose"] == self._purpose:
                return state
            why = "is of another training"
        except (OSError, RuntimeError, ValueError, KeyError, TypeError, EOFError, pickle.UnpicklingError):
            why = "cannot be read"
        self._tell(f"{self._path} {why}; starting afresh")
        return None

    def save(self, state: State) -> None:
        try:
            torch.save({**state, "purpose": self._purpose}, self._beside)
            os.replace(self._beside, self._path)
        finally:
            self._beside.unlink(missing_ok=True)

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)
        self._beside.unlink(missing_ok=True)
