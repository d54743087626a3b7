"""An embedder whose vectors a reader computes by hand, in as many spaces as a test wants.

Pictures are grids of 4 × 4 cells (fakes.py). The code says which cells are bright, a further binary space which of them
are green, and one of float16 how bright the picture is in red, green and blue, from 0 to 1.
"""

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from contract.model import ModelIdentity
from contract.space import CODE, Space, Vectors
from embedding.card import ModelCard
from embedding.errors import UnknownText
from pictures.errors import UnreadableImage
from pictures.preparation import Preprocessing
from pictures.work import Budget

CODE_SPACE = Space(name=CODE, width=16)
#: Which cells are green.
GREEN = Space(name="green", width=16)
#: Mean red, green and blue.
COLOUR = Space(name="colour", kind="float16", width=3, metric="cosine")
WORDS = {"white": b"\xff\xff", "black": b"\x00\x00"}


class CellEmbedder:
    def __init__(self, *further: Space) -> None:
        self.identity = ModelIdentity(
            name="cells",
            sha256="ce" * 32,
            spaces=(CODE_SPACE, *further),
            precision="float32",
            preprocessing={"image_size": 16},
            text=True,
        )

        self.card = ModelCard(name="cells", bits=16, preprocessing=Preprocessing(image_size=16))

    def warm_up(self, batch: int) -> None:
        """There is nothing to wait for."""

    def prepare(self, data: bytes, budget: Budget | None = None) -> NDArray[np.uint8]:
        try:
            picture = Image.open(io.BytesIO(data)).convert("RGB").resize((16, 16), Image.Resampling.NEAREST)
        except OSError as error:
            raise UnreadableImage("no picture") from error
        return np.asarray(picture, np.uint8)

    def embed(self, pictures: NDArray[np.uint8]) -> Vectors:
        count = len(pictures)
        cells = pictures.reshape(count, 4, 4, 4, 4, 3).mean(axis=(2, 4)).reshape(count, 16, 3)
        vectors = {
            CODE: np.packbits(cells.mean(axis=2) > 127, axis=1),
            GREEN.name: np.packbits(cells[:, :, 1] > 127, axis=1),
            COLOUR.name: (cells.mean(axis=1) / 255).astype("<f2"),
        }
        return {space.name: vectors[space.name] for space in self.identity.spaces}

    def embed_text(self, texts: Sequence[str]) -> Vectors:
        for text in texts:
            if text not in WORDS:
                raise UnknownText(text, list(WORDS))
        return {CODE: CODE_SPACE.array([WORDS[text] for text in texts])}
