"""A TorchScript detector that others exported → a detector's file with a card.

load ─▶ its form, told by the shape of its answer ─▶ a card ─▶ what it answers for test pictures ─▶ checked ─▶ file

YOLOv5 and YOLOv8 are exported by their own tools with ``format="torchscript"``; the forms are in detection/answers.py.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from numpy.typing import NDArray

from detection.answers import findings
from detection.card import DetectorCard, Form
from detection.errors import DetectorError
from detection.torchscript import TorchScriptDetector, save_detector
from training.errors import TrainingError

#: Where no row is near the threshold, what is answered is looked at from this score on.
_LEAST = 0.001


def import_detector(
    file: Path, out: Path, labels: Sequence[str], image_size: int, form: Form | None, threshold: float, overlap: float
) -> TorchScriptDetector:
    """Write the network in ``file`` with a card to ``out``, whole or not at all. Raises TrainingError, which says
    what is wrong with its answers, where they are none of a detector of ``labels``."""
    try:
        module = torch.jit.load(str(file), map_location="cpu").eval()  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError) as error:
        raise TrainingError(f"{file.name} is not a TorchScript file") from error
    card = DetectorCard(
        name=file.stem, labels=tuple(labels), width=image_size, height=image_size, threshold=threshold, overlap=overlap
    )
    try:
        answers = [TorchScriptDetector(module, card, file).answer(picture) for picture in _pictures(image_size)]
        card = card.model_copy(update={"form": form or _form(answers[0], card)})
        _check(answers, card)
    except DetectorError as error:
        raise TrainingError(str(error)) from error
    beside = out.with_name(f".{out.name}.part")
    try:
        save_detector(module, card.model_copy(update={"name": out.stem}), beside)
        os.replace(beside, out)
    finally:
        beside.unlink(missing_ok=True)
    return TorchScriptDetector.load(out)


def _pictures(size: int) -> Iterator[NDArray[np.uint8]]:
    """Pictures to try a detector with: a dark square on white, noise, and black."""
    square = np.full((size, size, 3), 255, np.uint8)
    square[size // 4 : -size // 4, size // 4 : -size // 4] = 60
    yield square
    yield np.random.default_rng(0).integers(0, 256, (size, size, 3)).astype(np.uint8)
    yield np.zeros((size, size, 3), np.uint8)


def _form(answer: object, card: DetectorCard) -> Form:
    """Returns the one form that ``answer`` can have. Raises TrainingError where there are none or several."""
    fit: list[Form] = []
    whys: list[str] = []
    for form in get_args(Form):
        try:
            findings(answer, card.model_copy(update={"form": form, "threshold": 1.0}))
            fit.append(form)
        except DetectorError as error:
            whys.append(str(error))
    if len(fit) > 1:
        raise TrainingError(f"the answers of {card.name} can be {' or '.join(fit)}: give --form")
    if not fit:
        raise TrainingError("; ".join(dict.fromkeys(whys)))
    return fit[0]


def _check(answers: Sequence[object], card: DetectorCard) -> None:
    """Raises TrainingError, or DetectorError, for what no detector of the card answers."""
    rows = np.concatenate([findings(each, card.model_copy(update={"threshold": _LEAST})) for each in answers])
    if not len(rows):
        return
    boxes = rows[:, :4]
    if np.abs(boxes).max() <= 1.5:
        raise TrainingError(
            f"{card.name} answers boxes of at most {np.abs(boxes).max():.2f}: shares of the picture, and not pixels of "
            f"its {card.width}×{card.height} input"
        )
    if ((boxes[:, 2] <= boxes[:, 0]) | (boxes[:, 3] <= boxes[:, 1])).mean() > 0.5:
        raise TrainingError(f"{card.name} answers boxes whose right or lower side comes first; the form is {card.form}")
    far = max(card.width, card.height) * 4
    if (np.abs(boxes) > far).all(axis=1).mean() > 0.5:
        raise TrainingError(f"{card.name} answers boxes far outside of its {card.width}×{card.height} input")
