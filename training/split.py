"""Splits labelled pictures into queries and the database that they are searched in."""

from dataclasses import dataclass
from pathlib import Path

from sources.left_out import LeftOut
from training.errors import TrainingError
from training.pictures import LabelledFile, held_out, read_list


@dataclass(frozen=True)
class Split:
    """``queries`` are searched in ``database``; neither is empty. ``protocol`` says in words how they were chosen."""

    queries: list[LabelledFile]
    database: list[LabelledFile]
    protocol: str


def held_out_split(labels_csv: Path, ignored_labels: frozenset[str], left_out: LeftOut | None = None) -> Split:
    """Returns the pictures that training holds out as queries, and those that it trains on as the database."""
    files = read_list(labels_csv, ignored_labels, left_out)
    queries = [file for file in files if held_out(file.path.name)]
    database = [file for file in files if not held_out(file.path.name)]
    if not queries or not database:
        raise TrainingError(f"{labels_csv} lists {len(files)} pictures: too few to hold a tenth out as queries")
    return Split(queries, database, "queries: the tenth held out by sha1 of the file name; database: the others")


def two_list_split(
    queries_csv: Path, database_csv: Path, ignored_labels: frozenset[str], left_out: LeftOut | None = None
) -> Split:
    """Returns all pictures of one list as queries, all of another as the database; no picture may be in both."""
    queries, database = (read_list(path, ignored_labels, left_out) for path in (queries_csv, database_csv))
    for path, files in ((queries_csv, queries), (database_csv, database)):
        if not files:
            raise TrainingError(f"{path} has no picture left without the ignored labels")
    known = {file.path.resolve() for file in database}
    both = [file.path for file in queries if file.path.resolve() in known]
    if both:
        raise TrainingError(f"{queries_csv} and {database_csv} both list {both[0]}: every query would find itself")
    return Split(queries, database, f"queries: all of {queries_csv.name}; database: all of {database_csv.name}")
