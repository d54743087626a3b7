"""Measures a model and its baselines on labelled pictures.

    lists → queries and database → signatures by each method → figures of ranking
                                                             → recall of distorted copies
                                                             → statistics of the model's codes, its worst queries

Every method gets the same pictures, the same distorted copies and the same bootstrap samples.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from embedding.torchscript import TorchScriptEmbedder
from training.codes import code_statistics
from training.copies import chosen_rows, figures_of, missed, near_duplicates, sign_copies
from training.quality import FIGURES, TIES, Ranking, answerable, measure
from training.results import Answered, ClassFigures, Evaluation, MethodFigures, WorstQuery
from training.signatures import Signatures
from training.signing import lines_of, methods_of, sign_files
from training.split import Split

#: The most queries to make distorted copies of: enough for ±3 percentage points.
NEAR_DUPLICATES = 1000
WORST = 12
ANSWERS = 8


def evaluate(model: TorchScriptEmbedder, split: Split, seed: int = 0) -> Evaluation:
    """Measure ``model`` and BASELINES. Raises TrainingError for a picture that cannot be read."""
    names, query_labels, database_labels, known = label_numbers(split)
    copied = chosen_rows([Path(file.path.name) for file in split.queries], NEAR_DUPLICATES)

    files = split.queries + split.database
    signed = sign_files(methods_of(model), files, "hashing", lambda data, _: [data], 1)
    signed_copies = sign_copies(model, [split.queries[row] for row in copied], seed)
    lines, signatures = lines_of(model, signed.whole())
    _, copies = lines_of(model, signed_copies.whole())

    count = len(split.queries)
    rankings = [
        measure(every[:count][known], query_labels[known], every[count:], database_labels) for every in signatures
    ]
    ranking = rankings[0]
    return Evaluation(
        model=model.identity.model_dump(mode="json"),
        protocol=split.protocol,
        ties=TIES,
        queries=int(known.sum()),
        left_out=int((~known).sum()),
        database=len(split.database),
        near_duplicate_queries=len(copied),
        methods=[
            MethodFigures(
                name=name,
                note=note,
                of_model=name == model.card.name,
                figures=figures_of(FIGURES, found.figures, seed),
                # Distorted copies are searched among all pictures, because these include the originals.
                near_duplicates=near_duplicates(copy, every, copied, seed),
            )
            for (name, note), found, every, copy in zip(lines, rankings, signatures, copies, strict=True)
        ],
        classes=_classes(names, query_labels, database_labels, known, ranking),
        query_codes=code_statistics(signatures[0].values[:count]),
        database_codes=code_statistics(signatures[0].values[count:]),
        same_class=_shares(ranking.same),
        other_class=_shares(ranking.other),
        missed=missed(model, copies, signatures, copied, files),
        seed=seed,
        worst=_worst(split, np.flatnonzero(known), ranking, signatures[0]),
    )


def label_numbers(split: Split) -> tuple[list[str], NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Returns the classes, the class numbers of queries and database, and which queries' class the database has.

    Raises TrainingError if it has none of them.
    """
    names = sorted({file.label for file in split.queries + split.database})
    query_labels, database_labels = (
        np.array([names.index(file.label) for file in files]) for files in (split.queries, split.database)
    )
    return names, query_labels, database_labels, answerable(query_labels, database_labels)


def _classes(
    names: Sequence[str],
    query_labels: NDArray[np.int64],
    database_labels: NDArray[np.int64],
    known: NDArray[np.bool_],
    ranking: Ranking,
) -> list[ClassFigures]:
    lines = []
    for number, name in enumerate(names):
        mine = ranking.figures[query_labels[known] == number]
        precision, average = (
            (round(float(mine[:, FIGURES.index(figure)].mean()), 6) if len(mine) else None)
            for figure in ("precision@10", "mAP@all")
        )
        lines.append(
            ClassFigures(
                name=name,
                queries=int((query_labels == number).sum()),
                database=int((database_labels == number).sum()),
                average_precision=average,
                precision_10=precision,
            )
        )
    return lines


def _shares(counts: NDArray[np.int64]) -> list[float]:
    shares: list[float] = (counts / max(1, counts.sum())).round(6).tolist()
    return shares


def _worst(split: Split, rows: NDArray[np.int64], ranking: Ranking, codes: Signatures) -> list[WorstQuery]:
    """Returns the queries with the lowest average precision; ``rows`` are the measured queries."""
    precisions = ranking.figures[:, FIGURES.index("mAP@all")]
    chosen = np.argsort(precisions, kind="stable")[:WORST]
    count = len(split.queries)
    distances = codes[rows[chosen]].distances(codes[count:])
    return [
        WorstQuery(
            path=split.queries[row].path,
            label=split.queries[row].label,
            average_precision=round(float(precision), 6),
            answers=[
                Answered(
                    path=split.database[answer].path, label=split.database[answer].label, distance=int(away[answer])
                )
                for answer in np.argsort(away, kind="stable")[:ANSWERS]
            ],
        )
        for row, precision, away in zip(rows[chosen], precisions[chosen], distances, strict=True)
    ]
