"""How good a detector's boxes are: recall and precision at an overlap of one half.

Of each picture, the best score first: a finding is right if it overlaps by a half or more with a box of its label that
no better one found.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detection.overlap import Floats, overlaps

_OVERLAP = 0.5


@dataclass(frozen=True)
class Counts:
    """``scores`` of all findings and whether each is ``right``, bool; ``boxes``: how many there were to find."""

    scores: Floats
    right: NDArray[np.bool_]
    boxes: int

    def at(self, threshold: float) -> tuple[float, float]:
        """Returns the share of boxes found and the share of findings that are right, of those with at least this
        score; both are 1 where there is nothing."""
        chosen = self.right[self.scores >= threshold]
        recall = float(chosen.sum() / self.boxes) if self.boxes else 1.0
        return recall, float(chosen.mean()) if len(chosen) else 1.0

    def best(self) -> tuple[float, float, float]:
        """Returns recall, precision and the threshold, in hundredths, with the greatest harmonic mean of both."""
        found = [(*self.at(step / 100), step / 100) for step in range(5, 96)]
        return max(found, key=lambda each: 2 * each[0] * each[1] / (each[0] + each[1]) if each[0] + each[1] else 0)


def counted(found: Sequence[Floats], wanted: Sequence[Floats], label: int | None = None) -> Counts:
    """Compares ``found``, float32 (n, 6) of each picture as ``detection.overlap.distinct`` returns them, with
    ``wanted``, float32 (m, 5); of one ``label`` or of all."""
    scores, right, boxes = [], [], 0
    for findings, truth in zip(found, wanted, strict=True):
        if label is not None:
            findings, truth = findings[findings[:, 5] == label], truth[truth[:, 4] == label]
        free = np.ones(len(truth), np.bool_)
        boxes += len(truth)
        for finding in findings:
            scores.append(finding[4])
            fits = np.where(free & (truth[:, 4] == finding[5]), overlaps(finding[:4], truth[:, :4]), 0)
            best = int(fits.argmax()) if len(fits) else -1
            right.append(best >= 0 and bool(fits[best] >= _OVERLAP))
            if right[-1]:
                free[best] = False
    return Counts(np.array(scores, np.float32), np.array(right, np.bool_), boxes)
