"""A model and its baselines, measured on labelled pictures.

    lists → queries and database → signatures by each method → figures of ranking
                                                             → recall of distorted copies
                                                             → statistics of the model's codes, its worst queries

Every method meets the same pictures, the same distorted copies and the same bootstrap samples.
"""

import hashlib
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from hashing.card import Preprocessing
from hashing.cores import usable_cores
from hashing.errors import ImageError
from hashing.model import HashModel
from hashing.picture import decode
from training.baselines import BASELINES
from training.codes import code_statistics
from training.distortions import DISTORTIONS, distorted
from training.errors import TrainingError
from training.pictures import LabelledFile
from training.quality import FIGURES, TIES, Ranking, answerable, bootstrap, measure, recall
from training.results import Answered, ClassFigures, Evaluation, Figure, MethodFigures, WorstQuery
from training.signatures import Method, Signatures
from training.split import Split

#: Distorted copies are made of at most so many queries: enough for ±3 percent points.
NEAR_DUPLICATES = 1000
WORST = 12
ANSWERS = 8
RECALLS = {"recall@1": 1, "recall@10": 10}

_CHUNK = 16  # pictures a forward pass


def evaluate(model: HashModel, split: Split, seed: int = 0) -> Evaluation:
    """Measure ``model`` and BASELINES. Raises TrainingError for a picture that cannot be read."""
    methods = [
        Method(model.card.name, f"{model.card.bits} bits", model.card.preprocessing, _all_codes(model)),
        *BASELINES,
    ]
    names, query_labels, database_labels, known = label_numbers(split)
    copied = _near_duplicate_rows(split.queries)

    files = split.queries + split.database
    signed = _signatures(methods, files, "hashing", lambda data, _: [data], 1)
    chosen = [split.queries[row] for row in copied]
    signed_copies = _signatures(
        methods, chosen, "distorting", lambda data, file: distorted(data, file.path.name, seed), len(DISTORTIONS)
    )
    lines, signatures = _lines(model, signed)
    _, copies = _lines(model, signed_copies)

    count = len(split.queries)
    rankings = [
        measure(every[:count][known], query_labels[known], every[count:], database_labels) for every in signatures
    ]
    ranking = rankings[0]
    return Evaluation(
        model=model.identity(),
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
                figures=_figures(FIGURES, found.figures, seed),
                # The database of distorted copies holds the originals too: all pictures.
                near_duplicates=_near_duplicates(copy, every, copied, seed),
            )
            for (name, note), found, every, copy in zip(lines, rankings, signatures, copies, strict=True)
        ],
        classes=_classes(names, query_labels, database_labels, known, ranking),
        query_codes=code_statistics(signatures[0].values[:count]),
        database_codes=code_statistics(signatures[0].values[count:]),
        same_class=_shares(ranking.same),
        other_class=_shares(ranking.other),
        worst=_worst(split, np.flatnonzero(known), ranking, signatures[0]),
    )


def label_numbers(split: Split) -> tuple[list[str], NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """The classes, those of the queries and of the database as numbers, and which queries' class the database has.

    Raises TrainingError if it has none of them.
    """
    names = sorted({file.label for file in split.queries + split.database})
    query_labels, database_labels = (
        np.array([names.index(file.label) for file in files]) for files in (split.queries, split.database)
    )
    return names, query_labels, database_labels, answerable(query_labels, database_labels)


def _all_codes(model: HashModel) -> Callable[[NDArray[np.uint8]], NDArray[np.uint8]]:
    """Codes, and behind them detail codes where the model has them: pictures are hashed once for all orders."""

    def sign(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
        hashed = model.hash(pictures)
        return hashed.codes if hashed.details is None else np.hstack((hashed.codes, hashed.details))

    return sign


def _lines(model: HashModel, signed: list[Signatures]) -> tuple[list[tuple[str, str]], list[Signatures]]:
    """Name and note of each line of the tables, and its signatures: the model's own in each order, the baselines'."""
    bits, detail_bits = model.card.bits, model.card.detail_bits
    width, values = bits // 8, signed[0].values
    ours = {f"{bits} bits": Signatures(values[:, :width])}
    if detail_bits:
        ours[f"{bits} bits, ties by detail"] = Signatures(values, "hamming, ties by detail", width)
        ours[f"rank detail: {detail_bits} bits"] = Signatures(values[:, width:])
    lines = [(model.card.name, note) for note in ours] + [(method.name, method.note) for method in BASELINES]
    return lines, [*ours.values(), *signed[1:]]


def _near_duplicate_rows(queries: Sequence[LabelledFile]) -> NDArray[np.int64]:
    """Rows of the queries that copies are made of: all, or a choice by name that ignores the order of the list."""
    digests = [hashlib.sha1(file.path.name.encode(), usedforsecurity=False).hexdigest() for file in queries]
    return np.sort(np.argsort(digests, kind="stable")[:NEAR_DUPLICATES])


def _signatures(
    methods: Sequence[Method],
    files: Sequence[LabelledFile],
    what: str,
    versions: Callable[[bytes, LabelledFile], list[bytes]],
    each: int,
) -> list[Signatures]:
    """For each method, signatures of the ``each`` ``versions`` of each file, in this order, hashed on all cores."""
    step = max(1, _CHUNK // each)
    chunks = [files[start : start + step] for start in range(0, len(files), step)]

    def sign(chunk: Sequence[LabelledFile]) -> list[NDArray[np.uint8]]:
        prepared: dict[Preprocessing, list[NDArray[np.uint8]]] = {method.preprocessing: [] for method in methods}
        for file in chunk:
            try:
                for data in versions(file.path.read_bytes(), file):
                    for preprocessing, pictures in prepared.items():
                        pictures.append(decode(data, preprocessing))
            except (OSError, ValueError, ImageError) as error:  # ValueError: a name with a zero byte
                reason = error.strerror if isinstance(error, OSError) else None
                raise TrainingError(f"{file.path}: {reason or error}") from error
        stacked = {preprocessing: np.stack(pictures) for preprocessing, pictures in prepared.items()}
        return [method.sign(stacked[method.preprocessing]) for method in methods]

    with ThreadPoolExecutor(usable_cores()) as pool:
        parts = list(
            track(
                pool.map(sign, chunks),
                description=what,
                total=len(chunks),
                console=Console(stderr=True),
                disable=not sys.stderr.isatty(),
            )
        )
    return [
        Signatures(np.concatenate(values), method.metric)
        for method, values in zip(methods, zip(*parts, strict=True), strict=True)
    ]


def _near_duplicates(
    copies: Signatures, database: Signatures, originals: NDArray[np.int64], seed: int
) -> dict[str, dict[str, Figure]]:
    """Recall of each distortion: whether ``originals``, rows of the database, are found from ``copies``, which hold
    all distortions of the first, then of the second, …"""
    found = {}
    for number, distortion in enumerate(DISTORTIONS):
        queries = copies[number :: len(DISTORTIONS)]
        columns = [recall(queries, database, originals, places) for places in RECALLS.values()]
        found[distortion.name] = _figures(tuple(RECALLS), np.stack(columns, axis=1), seed)
    return found


def _figures(names: Sequence[str], values: NDArray[np.float64], seed: int) -> dict[str, Figure]:
    low, high = bootstrap(values, seed=seed)
    columns = zip(names, values.mean(axis=0), low, high, strict=True)
    return {
        name: Figure(value=round(mean, 6), low=round(least, 6), high=round(most, 6))
        for name, mean, least, most in columns
    }


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
    """The queries of lowest average precision; ``rows``: those of the queries that were measured."""
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
