"""What pages and photographs are composed of: small pictures in memory, and the things cut out of some of them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from pictures.decode import shrunken
from pictures.errors import ImageError
from training.detecting.ageing import aged
from training.detecting.composed import Composed
from training.detecting.objects import SIDE, CutOut, composed_object, cut_out
from training.detecting.pages import Photographs, composed_page
from training.errors import TrainingError

#: How likely each effect is on a page: none on some pages, most on others.
_AGES = (0.0, 0.3, 0.6)


class Material:
    """``photographs`` become figures and grounds, and the things in ``garments`` objects."""

    def __init__(self, photographs: Sequence[Path], garments: Sequence[Path]) -> None:
        pictures = [small for path in photographs if (small := _small(path)) is not None]
        dressed = [small for path in garments if (small := _small(path)) is not None]
        if not pictures:
            raise TrainingError("there are no photographs to compose pages of")
        self._photographs = Photographs(pictures + dressed[: len(pictures)])
        self._things: list[CutOut] = [thing for each in dressed if (thing := cut_out(each)) is not None]

    def page(self, random: np.random.Generator, likely: float | None = None) -> Composed:
        """Returns a page, aged as ``likely`` says, or as much as it comes."""
        page = composed_page(random, self._photographs)
        likely = float(random.choice(_AGES)) if likely is None else likely
        if likely == 0:
            return page
        back = composed_page(random, self._photographs).picture if random.random() < 0.3 else None
        return aged(page, random, back, likely)

    def object(self, random: np.random.Generator) -> Composed:
        """Returns a photograph of one thing."""
        return composed_object(random, self._photographs, self._things)


def _small(path: Path) -> Image.Image | None:
    try:
        return shrunken(path.read_bytes(), SIDE)
    except (OSError, ImageError):
        return None
