"""How good a model is, as its card says: where training measured it, and which distances it can tell in words."""

from typing import Any, Self

from pydantic import BaseModel, Field, JsonValue

_MEASURE = "mAP@all"


class Precision(BaseModel):
    """The mean average precision of one kind of codes."""

    codes: str = Field(description="which codes", examples=["64 bits"])
    value: float = Field(description="mAP over all pictures: 1 if those of its kind come first", examples=[0.8017])
    low: float = Field(description="the lower end of its 95% interval", examples=[0.7658])
    high: float = Field(description="the upper end", examples=[0.835])


class Quality(BaseModel):
    """What the model's card says of how good the model is."""

    precision: list[Precision] = Field(description="mAP, by the kind of codes; empty where it wasn't measured")
    queries: int | None = Field(description="held-out pictures that were looked for", examples=[421])
    database: int | None = Field(description="pictures that they were looked for among", examples=[3676])
    protocol: str | None = Field(
        description="how they were held out", examples=["queries: the tenth held out by sha1 of the file name"]
    )
    calibrated: list[str] = Field(
        description="the kinds of vectors whose distances have a closeness; with none, answers have none",
        examples=[["code", "detail"]],
    )

    @classmethod
    def of(cls, card: dict[str, JsonValue]) -> Self:
        """Returns what ``card``, which anybody may have written, says; nothing where it isn't as expected."""
        figures = _mapping(_mapping(card.get("training")).get("figures"))
        calibration = _mapping(card.get("calibration"))
        return cls(
            precision=[
                Precision(codes=codes, value=value, low=low, high=high)
                for codes, found in figures.items()
                for value, low, high in _intervals(_mapping(found).get(_MEASURE))
            ],
            queries=_count(figures.get("queries")),
            database=_count(figures.get("database")),
            protocol=protocol if isinstance(protocol := figures.get("protocol"), str) else None,
            calibrated=[name for name, curve in calibration.items() if "distances" in _mapping(curve)],
        )


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _intervals(written: Any) -> list[tuple[float, float, float]]:
    """Returns the value and the ends of its interval, if that is what is ``written``."""
    numbers = [each for each in written if isinstance(each, int | float)] if isinstance(written, list) else []
    return [(numbers[0], numbers[1], numbers[2])] if len(numbers) == 3 else []


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) else None
