"""How close an image is: the share of true matches among pairs of pictures so far apart, 0 to 1.

    code     distance 0   8    16   32          detail   distance 0    10   40   128
    share    0.98     0.90 0.40 0.02            share    1.00     0.98 0.30 0.00

The two curves, measured on pictures that the model wasn't trained on, say how often two pictures show the same kind of
thing, and how often they are the very same picture. Between their points they are straight: 4 bits of the code give
0.94. A model's card has them, and its identity, so that an index version has them too (contract/model.py).

A model of embeddings has curves over 1 − cos. Words lie much farther from pictures than pictures do from each other, so
what they find has a curve of its own.
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from contract.space import CODE, DETAIL, EMBEDDING

#: An index version's manifest repeats the curves.
_MAX_POINTS = 64
#: Closeness is rounded to so many decimals. What follows from it follows from the rounded number, which clients see.
_DECIMALS = 4

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Distance = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Curve(BaseModel):
    """A piecewise-linear curve through the points (`distances`, `shares`), constant before the first and after the
    last. Distances increase; shares never do."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    distances: tuple[Distance, ...] = Field(
        min_length=1, max_length=_MAX_POINTS, description="differing bits, or 1 − cos"
    )
    shares: tuple[Share, ...] = Field(description="of true matches among pairs so far apart, one for each distance")

    @model_validator(mode="after")
    def _falls(self) -> Self:
        if len(self.shares) != len(self.distances):
            raise ValueError(f"{len(self.distances)} distances have {len(self.shares)} shares")
        if any(earlier >= later for earlier, later in zip(self.distances, self.distances[1:], strict=False)):
            raise ValueError("each distance must be greater than the one before")
        if any(earlier < later for earlier, later in zip(self.shares, self.shares[1:], strict=False)):
            raise ValueError("no share may be greater than the one before: what is farther is no better")
        return self

    def at(self, distance: float) -> float:
        """The share at ``distance``, rounded to four decimals."""
        place = bisect_left(self.distances, distance)
        if place == len(self.distances):
            share = self.shares[-1]
        elif place == 0:
            share = self.shares[0]
        else:
            left, right = self.distances[place - 1 : place + 1]
            above, below = self.shares[place - 1 : place + 1]
            share = above + (below - above) * (distance - left) / (right - left)
        return round(share, _DECIMALS)


class Calibration(BaseModel):
    """What the distances of a model mean, as measured: those of its codes or of its embeddings. ``detail`` and
    ``copies_within`` go together, and so do ``words`` and ``words_nothing_below``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: Curve | None = Field(
        default=None, description="shares of pairs that show the same kind of thing, by the distance of their codes"
    )
    detail: Curve | None = Field(
        default=None,
        description="shares of pairs that are the very same picture, by the distance of their detail codes",
    )
    text: Curve | None = Field(
        default=None,
        description="shares of pictures that are of a class, by the distance of their codes from the class's own",
    )
    embedding: Curve | None = Field(
        default=None, description="shares of pairs that show the same kind of thing, by 1 − cos of their embeddings"
    )
    words: Curve | None = Field(
        default=None, description="shares of pictures that show what words say, by 1 − cos of picture and words"
    )
    copies_within: Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="the greatest distance of detail codes at which two pictures are called copies"
    )
    nothing_below: Share = Field(description="an answer whose best closeness is less found nothing like the query")
    words_nothing_below: Share | None = Field(default=None, description="likewise, of an answer to words")

    @model_validator(mode="after")
    def _of_something(self) -> Self:
        if (self.code is None) == (self.embedding is None):
            raise ValueError("a calibration is of codes or of embeddings: it has code or embedding")
        if self.embedding is None and self.words is not None:
            raise ValueError("words needs embedding")
        if (self.words is None) != (self.words_nothing_below is None):
            raise ValueError("words and words_nothing_below go together")
        return self

    @model_validator(mode="after")
    def _details_together(self) -> Self:
        if (self.detail is None) != (self.copies_within is None):
            raise ValueError("detail and copies_within go together")
        return self

    def curve(self, space: str, *, of_text: bool = False) -> Curve | None:
        """The curve for images ordered by their distances in ``space``, from a picture or ``of_text``: from words, or
        from the code of a class; None where that wasn't measured."""
        by_space = {
            CODE: self.text if of_text else self.code,
            EMBEDDING: self.words if of_text else self.embedding,
            DETAIL: self.detail,
        }
        return by_space.get(space)

    def finds_nothing(self, closeness: Sequence[float], space: str, *, of_text: bool = False) -> bool:
        """Whether an answer has nothing like the query; ``closeness`` is that of its images, best first, by ``curve``
        for the same ``space``."""
        least = self.nothing_below
        if space == EMBEDDING and of_text and self.words_nothing_below is not None:
            least = self.words_nothing_below
        return not closeness or closeness[0] < least

    def require_within(self, bits: int, detail_bits: int | None) -> None:
        """Raises ValueError for a distance that no two codes of such widths have, and no two embeddings."""
        farthest = dict[str, tuple[float, int]]()
        for name, of_embeddings in (("embedding", self.embedding), ("words", self.words)):
            if of_embeddings is not None and of_embeddings.distances[-1] > 2:
                raise ValueError(f"{name} has a distance of {of_embeddings.distances[-1]:g}, and 1 − cos is at most 2")
        if self.code is not None:
            farthest["code"] = (self.code.distances[-1], bits)
        if self.text is not None:
            farthest["text"] = (self.text.distances[-1], bits)
        if self.detail is not None and self.copies_within is not None:
            farthest["detail"] = (self.detail.distances[-1], detail_bits or 0)
            farthest["copies_within"] = (self.copies_within, detail_bits or 0)
        for name, (distance, width) in farthest.items():
            if distance > width:
                raise ValueError(f"{name} has a distance of {distance:g}, and such codes have {width} bits")
