"""``python -m benchmarks.cifar``: the deep-hashing papers' benchmark, trained from scratch on CIFAR-10.

    read → split by protocol → train one network with a RelaHash head for each of BITS → codes → mAP@all of each width

All widths come from one training: the heads share the backbone, and the loss is the mean of theirs. The papers train
a network for each width.

Protocol "50000" trains on labels alone. Protocol "5000" does so first and is measured; then it continues with the rest
of the database as unlabelled pictures (see trainer.py) and is measured again. Queries are never trained on. Codes are
those of the unchanged pictures, one view each.
"""

import platform
import time
from pathlib import Path

import click
import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from benchmarks.cifar.data import DESCRIPTIONS, Cifar, Protocol, Split, read, split_by
from benchmarks.cifar.network import CifarNetwork
from benchmarks.cifar.trainer import Trainer, outputs_of
from benchmarks.cifar.views import plain
from training.errors import TrainingError
from training.quality import FIGURES, TIES, bootstrap, measure
from training.results import Figure
from training.signatures import Signatures

#: Widths of the heads.
BITS = [16, 32, 64, 128]

#: Default passes over the labelled pictures and over the unlabelled ones.
EPOCHS: dict[Protocol, tuple[int, int]] = {"5000": (40, 12), "50000": (20, 0)}


class Stage(BaseModel):
    """A stage of the training and its result; ``figures`` by width, then by the names of FIGURES.

    ``epochs`` are passes over the unlabelled pictures, if there are any; ``training_seconds`` are this stage's.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    epochs: int
    labelled: int
    unlabelled: int
    training_seconds: float
    figures: dict[int, dict[str, Figure]]


class CifarResult(BaseModel):
    """Everything that is written to JSON; ``stages`` are in order, and the last one is the result."""

    model_config = ConfigDict(frozen=True)

    data: str
    protocol: Protocol
    description: str
    queries: int
    database: int
    classes: list[str]
    seed: int
    method: str = "RelaHash, from scratch; one network with a head for each width"
    ties: str = TIES
    stages: list[Stage]
    threads: int
    processor: str
    torch: str


@click.command()
@click.option(
    "--data", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path), help="CIFAR-10 as npz."
)
@click.option("--protocol", default="50000", show_default=True, type=click.Choice(["5000", "50000"]))
@click.option(
    "--epochs",
    type=click.IntRange(1),
    show_default="20; 40 of protocol 5000",
    help="Passes over the labelled pictures.",
)
@click.option(
    "--unlabelled_epochs",
    type=click.IntRange(0),
    show_default="12",
    help="Then passes over the unlabelled pictures, which protocol 5000 has.",
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Start of every random choice.")
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="JSON file to write.")
def main(
    data: Path, protocol: Protocol, epochs: int | None, unlabelled_epochs: int | None, seed: int, out: Path
) -> None:
    """Train on CIFAR-10 by a protocol of the deep-hashing papers, and measure codes of 16, 32, 64 and 128 bits."""
    if not out.parent.is_dir():
        raise click.BadParameter(f"the folder {out.parent} does not exist", param_hint="--out")
    if protocol == "50000" and unlabelled_epochs:
        raise click.BadParameter("protocol 50000 has no unlabelled pictures", param_hint="--unlabelled_epochs")
    passes = EPOCHS[protocol]
    passes = (epochs or passes[0], passes[1] if unlabelled_epochs is None else unlabelled_epochs)
    try:
        cifar = read(data)
        split = split_by(protocol, cifar.labels, cifar.test, seed)
    except TrainingError as error:
        raise click.ClickException(str(error)) from error
    click.echo(
        f"protocol {protocol}: {len(split.queries):,} queries, {len(split.database):,} pictures in the database, "
        f"{len(split.labelled):,} labelled"
    )
    result = CifarResult(
        data=data.name,
        protocol=protocol,
        description=DESCRIPTIONS[protocol],
        queries=len(split.queries),
        database=len(split.database),
        classes=cifar.classes,
        seed=seed,
        stages=_stages(cifar, split, passes, seed),
        threads=torch.get_num_threads(),
        processor=_processor(),
        torch=torch.__version__,
    )
    out.write_text(result.model_dump_json(indent=1) + "\n", encoding="utf-8")
    click.echo(f"written: {out}")


def _stages(cifar: Cifar, split: Split, passes: tuple[int, int], seed: int) -> list[Stage]:
    """Train and measure: on labels alone, then, if ``passes`` has any for them, with unlabelled pictures."""
    pictures, labels = torch.from_numpy(cifar.pictures), torch.from_numpy(cifar.labels)
    trainer = Trainer(pictures[split.labelled], labels[split.labelled], len(cifar.classes), BITS, seed, click.echo)
    unlabelled = pictures[split.unlabelled]
    started = time.monotonic()
    trainer.on_labels(passes[0])
    seconds = time.monotonic() - started
    stages = [_measured("labels alone", passes[0], 0, seconds, trainer.network, cifar, split)]
    if passes[1]:
        started = time.monotonic()
        trainer.on_unlabelled(passes[1], unlabelled)
        seconds = time.monotonic() - started
        stages.append(_measured("with unlabelled", passes[1], len(unlabelled), seconds, trainer.network, cifar, split))
    return stages


def _measured(
    name: str, epochs: int, unlabelled: int, seconds: float, network: CifarNetwork, cifar: Cifar, split: Split
) -> Stage:
    queries, database = (_codes(network, cifar.pictures[rows]) for rows in (split.queries, split.database))
    figures = {}
    for bits in BITS:
        ranking = measure(
            Signatures(queries[bits]),
            cifar.labels[split.queries],
            Signatures(database[bits]),
            cifar.labels[split.database],
        )
        ends = zip(FIGURES, ranking.figures.mean(axis=0), *bootstrap(ranking.figures), strict=True)
        figures[bits] = {figure: Figure(value=value, low=low, high=high) for figure, value, low, high in ends}
        at_all = figures[bits]["mAP@all"]
        click.echo(f"{name}, {bits} bits: mAP@all {at_all.value:.4f} [{at_all.low:.4f}, {at_all.high:.4f}]")
    return Stage(
        name=name,
        epochs=epochs,
        labelled=len(split.labelled),
        unlabelled=unlabelled,
        training_seconds=round(seconds, 1),
        figures=figures,
    )


def _codes(network: CifarNetwork, pictures: NDArray[np.uint8]) -> dict[int, NDArray[np.uint8]]:
    """Returns packed codes, uint8 (n, bits / 8), by width; ``pictures`` uint8 (n, 32, 32, 3)."""
    network.eval()
    with torch.no_grad():
        outputs = torch.cat(
            [outputs_of(network, plain(some)) for some in torch.split(torch.from_numpy(pictures), 1000)]
        )
    heads = torch.split(outputs, BITS, 1)
    return {bits: np.packbits((head > 0).numpy(), axis=1) for bits, head in zip(BITS, heads, strict=True)}


def _processor() -> str:
    """Returns the processor's name, if Linux tells: timings mean little without it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.split(": ", 1)[1] for line in lines if line.startswith("model name")), platform.machine())
