"""How many photographs a second one core decodes and embeds: ``python -m benchmarks.rates FOLDER MODEL.pt …``.

As indexing does it: each model prepares and embeds the same photographs, in batches of 16, the models taking turns so
that a machine that slows down does so for all. Times are of the processor; medians of the rounds.
"""

import statistics
import time
from pathlib import Path

import click
import numpy as np
import torch

from embedding.torchscript import TorchScriptEmbedder
from training.pictures import pictures_below

ROUNDS = 5
BATCH = 16
PHOTOGRAPHS = 64


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("models", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
def main(folder: Path, models: tuple[Path, ...]) -> None:
    """Compare MODELS on the first photographs of FOLDER."""
    torch.set_num_threads(1)
    files = [path.read_bytes() for path, _ in zip(pictures_below(folder), range(PHOTOGRAPHS), strict=False)]
    loaded = {path.stem: TorchScriptEmbedder.load(path) for path in models}
    for model in loaded.values():
        model.warm_up(BATCH)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in loaded}
    for _ in range(ROUNDS):
        for name, model in loaded.items():
            started = time.process_time()
            pictures = np.stack([model.prepare(data) for data in files])
            decoded = time.process_time()
            for first in range(0, len(pictures), BATCH):
                model.embed(pictures[first : first + BATCH])
            times[name].append((decoded - started, time.process_time() - decoded))
    for name, rounds in times.items():
        decoding, embedding = (1000 * statistics.median(part) / len(files) for part in zip(*rounds, strict=True))
        rate = 1000 / (decoding + embedding)
        click.echo(f"{name:28} {rate:6.0f}/s   decoding {decoding:6.2f} ms, model {embedding:7.2f} ms a photograph")


if __name__ == "__main__":
    main()
