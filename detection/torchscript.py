"""A TorchScript detector: pictures in, boxes out.

load ─▶ detect(pictures): each fitted to the input ─▶ normalised ─▶ forward ─▶ findings ─▶ distinct boxes

``forward`` takes (1, 3, height, width), float32, and answers what the card's form says (detection/answers.py). A pass
takes one picture: what users export is often made for one, and boxes then don't depend on the pictures beside.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from contract.boxes import Box
from contract.compiling import compiling
from detection.answers import boxes_of, findings
from detection.card import CARD_FILE, DetectorCard, parse_detector_card
from detection.errors import DetectorError
from detection.fitting import fitted, require_picture

#: What TorchScript raises when a network cannot take an input, or cannot be compiled.
_FAILURES = (RuntimeError, AttributeError, torch.jit.Error)
#: TorchScript profiles two passes and compiles the third.
_PASSES_TO_COMPILE = 3


class TorchScriptDetector:
    """A loaded detector, on the CPU. ``card`` says what it takes and answers; ``path`` is its file."""

    def __init__(self, module: torch.jit.ScriptModule, card: DetectorCard, path: Path) -> None:
        self.card = card
        self.path = path
        self.stem = path.stem
        self._plain = module.eval().float()  # weights are often stored in half of it
        mean, std = (torch.tensor(values).reshape(1, 3, 1, 1) for values in (card.mean, card.std))
        self._scale, self._shift = 1 / (255 * std), -mean / std
        self._compiled = _compiled(self._plain, (1, 3, card.height, card.width))

    @classmethod
    def load(cls, path: Path) -> "TorchScriptDetector":
        """Read the file at ``path``. Raises DetectorError."""
        extra: dict[str, str | bytes] = {CARD_FILE: ""}
        try:
            module = torch.jit.load(  # type: ignore[no-untyped-call]
                str(path), map_location="cpu", _extra_files=extra
            )
        except (RuntimeError, ValueError) as error:
            raise DetectorError(f"{path.name} is not a TorchScript file") from error
        text = extra[CARD_FILE]
        text = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
        if not text:
            raise DetectorError(
                f"{path.name} has no detector's card: hashlake models import --detector {path.name} makes a file that "
                "has one"
            )
        return cls(module, parse_detector_card(text, path.name), path)

    @property
    def name(self) -> str:
        return self.card.name

    @property
    def labels(self) -> tuple[str, ...]:
        return self.card.labels

    def detect(self, pictures: Sequence[NDArray[np.uint8]]) -> list[list[Box]]:
        """As ``Detector.detect``."""
        return [self._boxes(picture) for picture in pictures]

    def answer(self, picture: NDArray[np.uint8]) -> object:
        """What the network answers for ``picture``, uint8 (height, width, 3) of its input's size. Raises DetectorError
        where it cannot take it."""
        # A graph that was compiled for rows in order misreads pixels in order.
        batch = torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))[None].float()
        batch = batch * self._scale + self._shift
        with torch.inference_mode():
            if self._compiled is not None:
                try:
                    return self._compiled(batch)
                except _FAILURES:  # a graph that was compiled for other shapes inside of it
                    self._compiled = None
            try:
                with torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
                    return self._plain(batch)
            except _FAILURES as error:
                raise DetectorError(
                    f"{self.name} cannot take a picture of {self.card.width}×{self.card.height}: {_last_line(error)}"
                ) from error

    def _boxes(self, picture: NDArray[np.uint8]) -> list[Box]:
        require_picture(picture)
        square = fitted(picture, self.card.width, self.card.height, self.card.fit)
        found = findings(self.answer(square.picture), self.card)
        height, width = picture.shape[:2]
        return boxes_of(found, square, width, height, self.card)


def _compiled(module: torch.jit.ScriptModule, shape: tuple[int, ...]) -> torch.jit.ScriptModule | None:
    """Returns ``module``, several times as fast for batches of ``shape``, or None where it cannot be compiled."""
    torch.set_num_threads(1)  # as embedding does: one pass, one core
    torch.jit.enable_onednn_fusion(True)
    batch = torch.zeros(shape)
    with compiling, torch.inference_mode(), torch.jit.optimized_execution(True):  # type: ignore[attr-defined]
        try:
            found: torch.jit.ScriptModule = torch.jit.freeze(module)
            for _ in range(_PASSES_TO_COMPILE):
                found(batch)
        except _FAILURES:
            return None
    return found


def save_detector(module: torch.jit.ScriptModule, card: DetectorCard, path: Path) -> None:
    """Write ``module``, in eval mode, with ``card`` inside to ``path``."""
    torch.jit.save(module, str(path), _extra_files={CARD_FILE: card.model_dump_json(indent=1)})


def _last_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]
