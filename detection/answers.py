"""What networks answer for one picture → findings: left, top, right, bottom, score, label's number.

boxes    (1, n, 6), (n, 6), or a list of one (n, 6)   left, top, right, bottom, score, label's number
yolov5   (1, n, 5 + labels)                           middle x, middle y, width, height, score, share of each label
yolov8   (1, 4 + labels, n)                           middle x, middle y, width, height, score of each label

All in pixels of the network's input; scores and shares from 0 to 1. Whatever else comes beside them in a tuple is left.
"""

import numpy as np
import torch

from contract.boxes import Box
from detection.card import DetectorCard, Form
from detection.errors import DetectorError
from detection.fitting import Fitted
from detection.overlap import Floats, distinct

#: Scores may be over 1 by rounding.
_ROUNDING = 1e-3


def findings(answer: object, card: DetectorCard) -> Floats:
    """Returns float32 (n, 6) of the rows of ``answer`` with at least the card's threshold. Raises DetectorError where
    it is none of the card's form."""
    tensor = _tensor(answer, card)
    values = tensor.detach().float().cpu().numpy()
    if not np.isfinite(values).all():
        raise DetectorError(f"{card.name} answers numbers that are infinite or not numbers")
    if card.form == "boxes":
        rows = values.reshape(-1, 6)
    else:
        rows = _best_labels(values[0] if card.form == "yolov5" else values[0].T, card.form)
    rows = rows[rows[:, 4] >= card.threshold]
    if len(rows) and (rows[:, 4].max() > 1 + _ROUNDING):
        raise DetectorError(f"{card.name} answers a score of {rows[:, 4].max():g}, and scores are from 0 to 1")
    labels = rows[:, 5]
    if len(rows) and (labels.min() < 0 or labels.max() >= len(card.labels) or (labels != labels.round()).any()):
        wrong = labels[(labels < 0) | (labels >= len(card.labels)) | (labels != labels.round())][0]
        raise DetectorError(f"{card.name} answers the label {wrong:g}, and it has {len(card.labels)}, from 0 on")
    return rows


def boxes_of(found: Floats, fitted: Fitted, width: int, height: int, card: DetectorCard) -> list[Box]:
    """Returns the distinct boxes among ``found``, in whole pixels of a picture of ``width`` × ``height``. What lies
    outside is cut off; what then has no pixel left is left out."""
    found = found.copy()
    found[:, :4] = np.clip(fitted.back(found)[:, :4], 0, np.array([width, height, width, height], np.float32))
    found = found[(found[:, 2] - found[:, 0] >= 0.5) & (found[:, 3] - found[:, 1] >= 0.5)]
    made = []
    for left, top, right, bottom, score, label in distinct(found, card.threshold, card.overlap).tolist():
        x, y = min(width - 1, round(left)), min(height - 1, round(top))
        wide, high = max(1, min(width, round(right)) - x), max(1, min(height, round(bottom)) - y)
        made.append(Box(x, y, wide, high, min(1.0, score), card.labels[int(label)]))
    return made


def _tensor(answer: object, card: DetectorCard) -> torch.Tensor:
    """Returns the one tensor of ``answer``, of the shape that the card's form has for one picture."""
    tensor = answer
    while isinstance(tensor, list | tuple) and tensor:
        tensor = tensor[0]
    labels = len(card.labels)
    wanted = {
        "boxes": "(1, boxes, 6) or (boxes, 6)",
        "yolov5": f"(1, boxes, {5 + labels})",
        "yolov8": f"(1, {4 + labels}, boxes)",
    }[card.form]
    if not isinstance(tensor, torch.Tensor):
        raise DetectorError(f"{card.name} answers {type(tensor).__name__}, and no tensor {wanted}")
    shape = tuple(tensor.shape)
    fits = {
        "boxes": shape[-1:] == (6,) and len(shape) in (2, 3) and (len(shape) == 2 or shape[0] == 1),
        "yolov5": len(shape) == 3 and shape[0] == 1 and shape[2] == 5 + labels,
        "yolov8": len(shape) == 3 and shape[0] == 1 and shape[1] == 4 + labels,
    }
    if not fits[card.form]:
        raise DetectorError(
            f"{card.name} answers a tensor {shape} for one picture; with {labels} label{'s' * (labels != 1)} the form "
            f"{card.form} is {wanted}"
        )
    return tensor


def _best_labels(rows: Floats, form: Form) -> Floats:
    """YOLO's rows with their best label, by left, top, right and bottom."""
    first = 5 if form == "yolov5" else 4
    shares = rows[:, first:]
    label = shares.argmax(axis=1)
    score = shares[np.arange(len(rows)), label]
    if form == "yolov5":
        score = score * rows[:, 4]
    half = rows[:, 2:4] / 2
    low, high = rows[:, :2] - half, rows[:, :2] + half
    return np.concatenate((low, high, score[:, None], label[:, None].astype(np.float32)), axis=1)
