"""What an evaluation finds, as it is written to JSON."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, JsonValue

from training.codes import CodeStatistics


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Figure(_Frozen):
    """A mean over queries, and the ends of its 95% bootstrap interval."""

    value: float
    low: float
    high: float


class MethodFigures(_Frozen):
    """A line of the table. ``figures`` by the names of FIGURES; ``near_duplicates`` by distortion, then of RECALLS.
    ``of_model``: whether the model's codes are compared, in one way or another, or a baseline."""

    name: str
    note: str
    of_model: bool
    figures: dict[str, Figure]
    near_duplicates: dict[str, dict[str, Figure]]


class ClassFigures(_Frozen):
    """A class: how many pictures, and the means over its queries; None where it has none that counts."""

    name: str
    queries: int
    database: int
    average_precision: float | None
    precision_10: float | None


class Answered(_Frozen):
    path: Path
    label: str
    distance: int


class WorstQuery(_Frozen):
    """A query and its first answers, in the server's order: distance, then row."""

    path: Path
    label: str
    average_precision: float
    answers: list[Answered]


class Evaluation(_Frozen):
    """Everything that was measured. ``methods``: first the model's codes alone, then the two orders that its detail
    codes allow, if it has them, then the baselines. ``left_out``: queries whose class has no picture in the database.
    Codes of pictures that a model was trained on (the database, as a rule) are far less varied than those of others, so
    their statistics are apart. ``same_class`` and ``other_class``: share of pairs of a query and a picture of the
    database at each Hamming distance, 0 … bits."""

    model: dict[str, JsonValue]
    protocol: str
    ties: str
    queries: int
    left_out: int
    database: int
    near_duplicate_queries: int
    methods: list[MethodFigures]
    classes: list[ClassFigures]
    query_codes: CodeStatistics
    database_codes: CodeStatistics
    same_class: list[float]
    other_class: list[float]
    worst: list[WorstQuery]
