"""``hashlake evaluate``: measures a model beside baselines; reports on a terminal, as JSON and as a web page.

pictures with labels ─▶ evaluation.py: retrieval by class, and copies        any folder ─▶ copies.py: copies alone
"""

import os
import sys
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from contract.terminal import say, visible
from embedding.torchscript import TorchScriptEmbedder
from sources.left_out import LeftOut
from training.copies import RECALLS, SAMPLE, measure_copies
from training.evaluation import evaluate as run_evaluation
from training.pictures import has_labels
from training.quality import FIGURES
from training.report import copies_report, html_report
from training.results import CopiesFound, Evaluation, Figure, MethodFigures
from training.split import held_out_split, two_list_split

_FILE = click.Path(dir_okay=False, path_type=Path)
_LIST = click.Path(exists=True, path_type=Path)
#: Files to name that cannot be read; the JSON names all.
_REASONS = 10


@click.command(short_help="Measure a hash model on your pictures, beside baselines.")
@click.argument("model_path", metavar="MODEL", type=_FILE)
@click.argument("labels", metavar="PICTURES", type=_LIST)
@click.option("--database_csv", type=_LIST, help="Look for all pictures of PICTURES among those of this list.")
@click.option("--copies", is_flag=True, help="PICTURES is a folder whose folders are no labels: measure copies alone.")
@click.option(
    "--sample", default=SAMPLE, show_default=True, type=click.IntRange(2), help="Without labels: most pictures to use."
)
@click.option("--ignore_label", multiple=True, help="Leave out pictures with this label; may be repeated.")
@click.option("--image_size", type=int, help="Input size of a model that comes without a card.")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda or cuda:0.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Start of every random choice.")
@click.option("--json", "json_path", type=_FILE, help="Write everything that was measured to this file.")
@click.option("--html", "html_path", type=_FILE, help="Write a report with plots and the worst queries to this file.")
def evaluate(
    model_path: Path,
    labels: Path,
    database_csv: Path | None,
    copies: bool,
    sample: int,
    ignore_label: tuple[str, ...],
    image_size: int | None,
    device: str,
    seed: int,
    json_path: Path | None,
    html_path: Path | None,
) -> None:  # fmt: skip
    """Measure MODEL, a TorchScript hash model, on PICTURES.

    A folder with pictures in it, or any folder with --copies, needs no labels: distorted copies of up to 250 pictures
    (cropped, turned, recoloured, …) look for their originals among up to --sample pictures of the folder.

    With labels, the ranking by class is measured too. PICTURES is then a CSV (columns path and label, paths relative
    to the file), or a folder that has a folder of pictures for each label, and none beside these. Queries are the
    tenth of the pictures that hashlake train holds out, chosen by file name; the database is the others. With
    --database_csv, queries are all of PICTURES: figures are honest if the model was trained on none of them.

    mAP@R is the mean over the hits within the first R answers (all of them, or 100) of the share of hits up to there;
    a hit has the query's label. Every figure is its expected value over all orders of pictures at equal distance, and
    comes with its 95% bootstrap interval over queries. Baselines: pHash, dHash (64 bits each) and a colour histogram
    (64 bytes, compared by L1).
    """
    for name, path in (("--json", json_path), ("--html", html_path)):
        if path and not path.parent.is_dir():
            raise click.BadParameter(f"the folder {path.parent} does not exist", param_hint=name)
    if json_path and html_path and json_path.resolve() == html_path.resolve():
        raise click.BadParameter("--json writes to the same file", param_hint="--html")
    unlabelled = copies or not (database_csv or has_labels(labels))
    if unlabelled and (database_csv or ignore_label or not labels.is_dir()):
        raise click.UsageError("copies alone are measured in a folder, without --database_csv and --ignore_label")

    def load() -> TorchScriptEmbedder:
        return TorchScriptEmbedder.load(model_path, device, image_size=image_size)

    found: Evaluation | CopiesFound
    if unlabelled:
        found = measure_copies(load(), labels, sample, seed)
    else:
        ignored = frozenset(ignore_label)
        left_out = LeftOut()
        split = (
            two_list_split(labels, database_csv, ignored, left_out)
            if database_csv
            else held_out_split(labels, ignored, left_out)
        )
        _say_left_out(left_out)
        found = run_evaluation(load(), split, seed)
    outputs = {}
    if json_path:
        outputs[json_path] = found.model_dump_json(indent=1) + "\n"
    if html_path:
        outputs[html_path] = html_report(found) if isinstance(found, Evaluation) else copies_report(found)
    for path, text in outputs.items():
        _write_whole(path, text)
    if isinstance(found, Evaluation):
        _say(found)
    else:
        _say_copies(found)
    for path in outputs:
        say(f"written: {path}")


def _write_whole(path: Path, text: str) -> None:
    """Write ``text`` to ``path``; a failure leaves the old file."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(text, encoding="utf-8")
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def _console() -> Console:
    return Console(width=None if sys.stdout.isatty() else 200, highlight=False)


def _say_left_out(left_out: LeftOut) -> None:
    if left_out.total():
        say(left_out.told(), err=True)


def _say_copies(found: CopiesFound) -> None:
    _say_left_out(LeftOut(found.left_out))
    for why in found.unread[:_REASONS]:
        say(f"left out: {why}", err=True)
    say(found.protocol)
    say(f"left out: {len(found.unread):,} that cannot be read, {found.repeats:,} whose file is another one's")
    say(f"ties: {found.ties}")
    say()
    _console().print(_near_duplicates(found.methods))


def _say(evaluation: Evaluation) -> None:
    console = _console()
    left_out = f"; {evaluation.left_out:,} queries left out, whose class it lacks" if evaluation.left_out else ""
    say(f"{evaluation.queries:,} queries, {evaluation.database:,} pictures in the database{left_out}")
    say(evaluation.protocol)
    say(f"ties: {evaluation.ties}; in brackets: 95% bootstrap interval over queries")
    say()
    for table in (_retrieval(evaluation), _near_duplicates(evaluation.methods), _classes(evaluation)):
        console.print(table)
        say()
    for whose, codes in (("queries", evaluation.query_codes), ("database", evaluation.database_codes)):
        correlation = "" if codes.correlation is None else f", mean |r| of two bits {codes.correlation:.3f}"
        say(
            f"codes of the {whose}: {codes.distinct:.1%} distinct, at most {codes.largest_group:,} pictures share one; "
            f"entropy {codes.entropy:.3f} a bit, least balanced bit {codes.worst_bit} "
            f"(mean {codes.bit_means[codes.worst_bit]:.3f}){correlation}"
        )


def _retrieval(evaluation: Evaluation) -> Table:
    table = Table("", "signature", box=None)
    for name in FIGURES:
        table.add_column(name, justify="right")
    for each in evaluation.methods:
        table.add_row(Text(visible(each.name)), each.note, *(_cell(each.figures[name]) for name in FIGURES))
    return table


def _near_duplicates(methods: list[MethodFigures]) -> Table:
    """Returns a table with recall at 1 and 10 in one cell, so a line fits a terminal; the files have the intervals."""
    table = Table(" / ".join(RECALLS), box=None)
    for each in methods:
        table.add_column(Text(visible(each.note if each.of_model else each.name)), justify="right")
    for distortion in methods[0].near_duplicates:
        recalls = (each.near_duplicates[distortion] for each in methods)
        table.add_row(distortion, *(" / ".join(f"{found[name].value:.3f}" for name in RECALLS) for found in recalls))
    return table


def _classes(evaluation: Evaluation) -> Table:
    table = Table("class", box=None)
    for name in ("queries", "database", "AP", "precision@10"):
        table.add_column(name, justify="right")
    for each in evaluation.classes:
        shares = ("–" if value is None else f"{value:.3f}" for value in (each.average_precision, each.precision_10))
        table.add_row(Text(visible(each.name)), f"{each.queries:,}", f"{each.database:,}", *shares)
    return table


def _cell(figure: Figure) -> Text:
    return Text(f"{figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}]")  # Text, because brackets would be markup
