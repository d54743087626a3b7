"""The vectors that a model makes of a picture, each in its own space.

    Space("code", "binary", 64, "hamming")          which pictures show the same thing
    Space("detail", "binary", 256, "hamming")       which are the very same picture
    Space("embedding", "float16", 512, "cosine")    shared by an image and a text tower

``Vectors`` holds those of n pictures, ``VectorBytes`` those of one, as stored in files: {"code": …, "detail": …}. Rooms
pass them on whole and look inside only to make or compare a vector.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

#: The spaces of RelaHash models: the class code, and the second code that tells pictures of one class apart.
CODE = "code"
DETAIL = "detail"
#: The space of a model of floats, beside whose vectors the code is a coarse sketch of them.
EMBEDDING = "embedding"

#: Of n pictures: for each space uint8 (n, width / 8), or float16 (n, width).
Vectors = Mapping[str, NDArray[Any]]

#: Of one picture: for each space the bytes of its row.
VectorBytes = Mapping[str, bytes]

_NAME = r"^[a-z][a-z0-9_]{0,31}$"
#: The distances of two codes and a row fit in one 64-bit number together.
_MAX_BITS = 1024
#: Names that an index version uses for other files.
_TAKEN = re.compile("index|details|multi_index.*")


class Space(BaseModel):
    """One kind of vector: `width` counts bits if it is `binary`, else dimensions.

    Binary vectors are packed, with the first bit as the most significant (numpy.packbits order).
    """

    model_config = ConfigDict(frozen=True)

    name: Annotated[str, Field(pattern=_NAME, examples=[CODE])]
    kind: Annotated[Literal["binary", "float16"], Field(description="bits, or numbers")] = "binary"
    width: Annotated[int, Field(ge=1, le=65_536, description="bits, or dimensions", examples=[64])]
    metric: Annotated[Literal["hamming", "cosine"], Field(description="how two are compared")] = "hamming"

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if _TAKEN.fullmatch(self.name):
            raise ValueError(f"a space cannot be called {self.name}: an index version has another file of that name")
        if self.kind == "binary" and (self.width % 8 or self.width > _MAX_BITS):
            raise ValueError(f"a code has a multiple of 8 bits, at most {_MAX_BITS}, and not {self.width}")
        if self.name in (CODE, DETAIL) and self.kind != "binary":
            raise ValueError(f"{self.name} is a binary space")
        if self.name == EMBEDDING and self.kind != "float16":
            raise ValueError(f"{EMBEDDING} is a space of float16")
        if (self.kind == "binary") != (self.metric == "hamming"):
            raise ValueError(f"{self.kind} vectors aren't compared by {self.metric}")
        return self

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.uint8 if self.kind == "binary" else "<f2")

    @property
    def columns(self) -> int:
        """Columns of an array of these vectors."""
        return self.width // 8 if self.kind == "binary" else self.width

    @property
    def row_bytes(self) -> int:
        return self.columns * self.dtype.itemsize

    def array(self, rows: Sequence[bytes]) -> NDArray[Any]:
        """``rows`` as one array, (len(rows), columns). Raises ValueError for a row of another width."""
        if any(len(row) != self.row_bytes for row in rows):
            raise ValueError(f"a vector of {self.name} has {self.row_bytes} bytes")
        return np.frombuffer(b"".join(rows), self.dtype).reshape(len(rows), self.columns)

    def empty(self, count: int = 0) -> NDArray[Any]:
        """An array with room for ``count`` rows."""
        return np.empty((count, self.columns), self.dtype)


def as_numbers(vectors: NDArray[np.float16]) -> Any:
    """``vectors``, float16, as lists of the shortest decimals that say which float16 each number is, if it is at most
    1: float16 are multiples of 2^-24, so eight decimals tell two apart."""
    return np.round(vectors.astype(np.float64), 8).tolist()


def row_of(vectors: Vectors, row: int) -> VectorBytes:
    """The vectors of the picture in ``row``."""
    return {name: array[row].tobytes() for name, array in vectors.items()}
