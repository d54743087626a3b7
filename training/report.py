"""Writes an evaluation as one self-contained HTML page: tables, inline plots, pictures of what was not found."""

import base64
from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path

from pictures.decode import whole_picture
from pictures.errors import ImageError
from training.copies import RECALLS
from training.distortions import DISTORTIONS, distorted
from training.errors import TrainingError
from training.plots import bars, columns, escape, histogram
from training.quality import FIGURES
from training.results import CopiesFound, Evaluation, Figure, MethodFigures, Missed, WorstQuery

_THUMBNAIL = (112, 112)

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1080px; margin: 2em auto; padding: 0 1em; color: #222 }
table { border-collapse: collapse; margin: 1em 0 } th, td { padding: .25em .8em; text-align: right }
th:first-child, td:first-child { text-align: left } tr + tr { border-top: 1px solid #ddd }
small, figcaption { color: #666 } svg { font: 12px system-ui, sans-serif; max-width: 100%; height: auto }
.strip { display: flex; flex-wrap: wrap; gap: 6px; margin: .5em 0 1.2em } figure { margin: 0; width: 118px }
img { border: 3px solid #4a9d5b; display: block } .query img { border-color: #222 } .wrong img { border-color: #c8372d }
figcaption { font-size: 12px; overflow-wrap: anywhere } .wrong figcaption { color: #c8372d }
"""


def html_report(evaluation: Evaluation) -> str:
    """Returns the page. Reads the pictures that it shows again; raises TrainingError if one is gone."""
    return page(
        f"Evaluation of {evaluation.model['name']}",
        [
            *_conditions(evaluation),
            *_retrieval(evaluation),
            *_copies(evaluation.near_duplicate_queries, evaluation.methods),
            *_classes(evaluation),
            *_codes(evaluation),
            *_worst(evaluation.worst),
            *_missed(evaluation.missed, evaluation.seed),
        ],
    )


def copies_report(found: CopiesFound) -> str:
    """Returns the page of what was measured without labels, like ``html_report``."""
    parts = [
        f"<p>{escape(found.protocol)}. Left out: {len(found.unread):,} that cannot be read, {found.repeats:,} whose "
        f"file is another one's. Model file sha256 <code>{escape(str(found.model['sha256']))}</code>.</p>",
        f"<p>Ties of distance: {escape(found.ties)}. In brackets: 95% bootstrap interval over queries.</p>",
        *_copies(found.copied, found.methods),
        *_missed(found.missed, found.seed),
    ]
    return page(f"Copies by {found.model['name']}", parts)


def page(title: str, parts: Iterable[str]) -> str:
    """Returns ``parts``, of HTML, as a page of its own."""
    head = f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
    style = f"<style>{_STYLE}</style></head><body><h1>{escape(title)}</h1>"
    return "\n".join([head, style, *parts, "</body></html>\n"])


def _conditions(evaluation: Evaluation) -> Iterable[str]:
    left_out = f", {evaluation.left_out:,} queries without a picture of their class left out"
    yield (
        f"<p>{evaluation.queries:,} queries, {evaluation.database:,} pictures in the database"
        f"{left_out if evaluation.left_out else ''} ({escape(evaluation.protocol)}). "
        f"Model file sha256 <code>{escape(str(evaluation.model['sha256']))}</code>.</p>"
    )
    yield (
        "<p>A hit is a picture of the query's class. mAP@R: mean over the hits within the first R answers of the share "
        "of hits up to there, then over queries; 0 without a hit. kNN@10: the ten nearest vote, a tie goes to the "
        f"nearest. Ties of distance: {escape(evaluation.ties)}. In brackets: 95% bootstrap interval over queries.</p>"
    )


def _retrieval(evaluation: Evaluation) -> Iterable[str]:
    yield "<h2>Retrieval by class</h2>"
    yield _table(
        ["", "signature", *FIGURES],
        [
            [escape(each.name), escape(each.note), *(_cell(each.figures[name]) for name in FIGURES)]
            for each in evaluation.methods
        ],
    )
    rows = [(each.name, each.figures["mAP@all"]) for each in evaluation.methods]
    yield bars("mAP@all", [(name, figure.value, figure.low, figure.high) for name, figure in rows])


def _copies(queries: int, methods: Sequence[MethodFigures]) -> Iterable[str]:
    yield "<h2>Near-duplicates</h2>"
    yield (
        f"<p>{queries:,} queries are distorted copies of pictures; the database holds the "
        "originals beside all other pictures. Recall: the original is among the first 1 or 10 answers.</p>"
    )
    for name in RECALLS:
        yield f"<h3>{name}</h3>"
        yield _table(
            ["", *(escape(each.note if each.of_model else each.name) for each in methods)],
            [
                [escape(distortion), *(_cell(each.near_duplicates[distortion][name]) for each in methods)]
                for distortion in methods[0].near_duplicates
            ],
        )


def _classes(evaluation: Evaluation) -> Iterable[str]:
    yield "<h2>Classes</h2>"
    yield _table(
        ["", "queries", "database", "AP", "precision@10"],
        [
            [escape(each.name), f"{each.queries:,}", f"{each.database:,}", _share(each.average_precision),
             _share(each.precision_10)]
            for each in evaluation.classes
        ],
    )  # fmt: skip
    ranked = sorted(
        ((each.name, each.average_precision) for each in evaluation.classes if each.average_precision is not None),
        key=lambda row: -row[1],
    )
    yield bars("average precision of each class", [(name, value, value, value) for name, value in ranked])


def _codes(evaluation: Evaluation) -> Iterable[str]:
    both = (evaluation.query_codes, evaluation.database_codes)
    yield "<h2>Codes</h2>"
    yield _table(
        ["", "queries", "database"],
        [
            ["pictures", *(f"{codes.pictures:,}" for codes in both)],
            ["distinct codes", *(f"{codes.distinct:.1%}" for codes in both)],
            ["pictures with the most frequent code", *(f"{codes.largest_group:,}" for codes in both)],
            ["entropy a bit", *(f"{codes.entropy:.4f}" for codes in both)],
            ["least balanced bit", *(f"{codes.worst_bit}" for codes in both)],
            ["its mean", *(f"{codes.bit_means[codes.worst_bit]:.3f}" for codes in both)],
            ["constant bits", *(str(codes.constant_bits) for codes in both)],
            ["mean |r| of two bits", *(_share(codes.correlation) for codes in both)],
        ],
    )
    yield columns("mean of each bit, over the queries", "bit", evaluation.query_codes.bit_means, 0.5)
    yield "<h3>Distances between queries and database</h3>"
    series = {"same class": evaluation.same_class, "other class": evaluation.other_class}
    yield histogram("share of pairs by Hamming distance", "Hamming distance", series)


def _worst(queries: Sequence[WorstQuery]) -> Iterable[str]:
    yield "<h2>Worst queries</h2><p>Lowest average precision first; answers by distance, then row.</p>"
    for query in queries:
        figures = [_figure("query", query.path, _read(query.path), f"{query.label}, AP {query.average_precision:.3f}")]
        for answer in query.answers:
            kind = "right" if answer.label == query.label else "wrong"
            mark = "" if kind == "right" else "✗ "
            figures.append(_figure(kind, answer.path, _read(answer.path), f"{mark}{answer.distance}: {answer.label}"))
        yield f'<div class="strip">{"".join(figures)}</div>'


def _missed(missed: Sequence[Missed], seed: int) -> Iterable[str]:
    yield "<h2>Copies that found another picture first</h2>"
    yield (
        "<p>Of each distortion those whose original comes last: the copy, what was found first, and what should have "
        "been, by the model's detail code, or its code if it has no other.</p>"
    )
    if not missed:
        yield "<p>None.</p>"
    numbers = {distortion.name: number for number, distortion in enumerate(DISTORTIONS)}
    for each in missed:
        data = _read(each.original)
        copy = distorted(data, each.original.name, seed)[numbers[each.distortion]]
        wanted = f"its original: {each.original_distance} bits, place {each.before + 1:,}"
        figures = [
            _figure("query", each.original, copy, each.distortion),
            _figure("wrong", each.found, _read(each.found), f"✗ {each.found.name}: {each.found_distance} bits"),
            _figure("right", each.original, data, f"{each.original.name}, {wanted}"),
        ]
        yield f'<div class="strip">{"".join(figures)}</div>'


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise TrainingError(f"{path}: {error}") from error


def _figure(kind: str, path: Path, data: bytes, caption: str) -> str:
    try:
        picture = whole_picture(data)
    except ImageError as error:
        raise TrainingError(f"{path}: {error}") from error
    picture.thumbnail(_THUMBNAIL)
    stream = BytesIO()
    picture.save(stream, "JPEG", quality=70)
    shown = base64.b64encode(stream.getvalue()).decode()
    text, name = escape(caption), escape(path.name)
    return (
        f'<figure class="{kind}"><img src="data:image/jpeg;base64,{shown}" alt="{text}" title="{name}">'
        f"<figcaption>{text}</figcaption></figure>"
    )


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Returns a table; its cells must be HTML already."""
    head = "".join(f"<th>{cell}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _cell(figure: Figure) -> str:
    return f"{figure.value:.3f} <small>[{figure.low:.3f}, {figure.high:.3f}]</small>"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
