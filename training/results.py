"""The results of an evaluation, as written to JSON."""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, JsonValue, PlainSerializer

from contract.terminal import visible
from training.codes import CodeStatistics

#: JSON has no name that isn't UTF-8.
ShownText = Annotated[str, PlainSerializer(visible, when_used="json")]
Shown = Annotated[Path, PlainSerializer(lambda path: visible(str(path)), return_type=str, when_used="json")]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Figure(_Frozen):
    """A mean over queries, and the ends of its 95% bootstrap interval."""

    value: float
    low: float
    high: float


class MethodFigures(_Frozen):
    """A line of the table. ``figures``: by the names of FIGURES. ``near_duplicates``: by distortion, then by RECALLS.
    ``of_model``: True for the model's codes in any order, False for a baseline."""

    name: str
    note: str
    of_model: bool
    figures: dict[str, Figure]
    near_duplicates: dict[str, dict[str, Figure]]


class Missed(_Frozen):
    """A distorted copy that found another picture first. ``before``: how many pictures come before the original."""

    distortion: str
    original: Shown
    original_distance: int
    found: Shown
    found_distance: int
    before: int


class CopiesFound(_Frozen):
    """What was measured of copies alone. ``methods``: as in Evaluation, without ``figures``. ``left_out``: what the
    listing leaves out, by kind (sources/left_out.py). ``repeats``: pictures whose file is byte for byte another one's.
    ``missed``: some copies of each distortion, the worst first."""

    model: dict[str, JsonValue]
    protocol: ShownText
    ties: str
    pictures: int
    copied: int
    unread: list[ShownText]
    left_out: dict[str, int]
    repeats: int
    seed: int
    methods: list[MethodFigures]
    missed: list[Missed]


class ClassFigures(_Frozen):
    """A class: its number of pictures, and the means over its queries; None if no query counts."""

    name: ShownText
    queries: int
    database: int
    average_precision: float | None
    precision_10: float | None


class Answered(_Frozen):
    path: Shown
    label: ShownText
    distance: int


class WorstQuery(_Frozen):
    """A query and its first answers, in the server's order: distance, then row."""

    path: Shown
    label: ShownText
    average_precision: float
    answers: list[Answered]


class Evaluation(_Frozen):
    """Everything that was measured. ``methods``: first the model's codes alone, then the two orders with its detail
    codes, if it has them, then the baselines. ``left_out``: queries whose class has no picture in the database.
    The statistics of queries and database are separate: codes of pictures that a model was trained on (usually the
    database) vary far less than others. ``same_class`` and ``other_class``: share of pairs of a query and a picture of
    the database at each Hamming distance, 0 … bits."""

    model: dict[str, JsonValue]
    protocol: ShownText
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
    missed: list[Missed]
    seed: int
    worst: list[WorstQuery]
