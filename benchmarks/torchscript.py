"""Which way of running a TorchScript model on one core is fastest; see RESULTS.md.

    python -m benchmarks.torchscript [--model_path MODEL.pt]

Each way gets the same pictures in turn, several times over; medians of milliseconds a picture are printed.
"""

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import click
import torch

from hashing.model import HashModel

BATCHES = (1, 4, 16)


@click.command()
@click.option(
    "--model_path", default="torchscripts_models/relahash-small-64bits.pt", type=click.Path(exists=True, path_type=Path)
)
def main(model_path: Path) -> None:
    model = HashModel.load(model_path)
    size = model.card.preprocessing.image_size
    batch = torch.rand(BATCHES[-1], 3, size, size).contiguous(memory_format=torch.channels_last)

    def loaded() -> torch.jit.ScriptModule:
        module: torch.jit.ScriptModule = torch.jit.load(str(model_path)).eval()  # type: ignore[no-untyped-call]
        return module.to(memory_format=torch.channels_last)  # type: ignore[no-any-return, call-overload]

    ways: dict[str, tuple[bool, Callable[[torch.Tensor], torch.Tensor]]] = {
        "as saved": (False, loaded()),
        "frozen": (False, torch.jit.freeze(loaded())),
        "optimize_for_inference": (False, torch.jit.optimize_for_inference(loaded())),
        "frozen, oneDNN graph compiler": (True, torch.jit.freeze(loaded())),
    }
    times: dict[tuple[str, int], list[float]] = {}
    with torch.inference_mode():
        for turn in range(8):
            for name, (fused, forward) in ways.items():
                torch.jit.enable_onednn_fusion(fused)
                for count in BATCHES:
                    for _ in range(3):
                        forward(batch[:count])
                    started = time.perf_counter()
                    for _ in range(64 // count):
                        forward(batch[:count])
                    if turn:  # the first turn compiles
                        times.setdefault((name, count), []).append(
                            (time.perf_counter() - started) / (64 // count * count)
                        )
    click.echo(f"{'one core, ms a picture, at batches of':32}" + "".join(f"{count:7}" for count in BATCHES))
    for name in ways:
        click.echo(f"{name:37}" + "".join(f"{1000 * statistics.median(times[name, n]):7.2f}" for n in BATCHES))


if __name__ == "__main__":
    main()
