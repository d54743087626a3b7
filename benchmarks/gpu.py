"""Are a GPU's codes right, and how fast is it? ``python -m benchmarks.gpu FOLDER [--device cuda:0]``

1. Codes of the photographs in FOLDER, in float32 and in half precision, against the CPU's: photographs and bits that
   differ, also between a photograph alone and in a batch.
2. Photographs hashed per second, by batch size and precision, decoded beforehand and from files in memory.

``--device cpu`` runs the same on the CPU, to try everything but the device. Without a GPU any device does that, and a
line says so.
"""

import logging
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.bare import decode_and_hash_rate, forward_rate
from embedding.cores import usable_cores
from embedding.device import find_device
from embedding.torchscript import TorchScriptEmbedder
from pictures.decode import decode
from pictures.formats import SUFFIXES

PRECISIONS = ("float32", "float16")


def bits_of(model: TorchScriptEmbedder, pictures: NDArray[np.uint8], batch: int) -> dict[str, NDArray[np.bool_]]:
    """Returns the bits in each space, bool (n, width), hashed ``batch`` at a time."""
    found = [model.embed(pictures[first : first + batch]) for first in range(0, len(pictures), batch)]
    return {
        space.name: np.unpackbits(np.concatenate([each[space.name] for each in found]), axis=1).astype(bool)
        for space in model.identity.spaces
    }


def show_codes(path: Path, reference: TorchScriptEmbedder, device: torch.device, pictures: NDArray[np.uint8]) -> None:
    expected = bits_of(reference, pictures, reference.batch)
    click.echo(
        f"{len(pictures)} photographs, {device} against the CPU's float32; "
        f"the card says {reference.card.cuda_precision} for a GPU"
    )
    for precision in PRECISIONS:
        model = TorchScriptEmbedder.load(path, str(device), precision=precision)
        together, alone = bits_of(model, pictures, model.batch), bits_of(model, pictures, 1)
        for name, here in together.items():
            wrong = (here != expected[name]).sum(axis=1)
            click.echo(
                f"  {precision}, {name:12}{int(wrong.sum()):6} of {wrong.size * here.shape[1]:,} bits differ, in "
                f"{np.count_nonzero(wrong)} photographs, at most {wrong.max()} in one; "
                f"alone and in batches {int((here != alone[name]).sum())} bits differ"
            )


def show_rates(
    path: Path, reference: TorchScriptEmbedder, device: torch.device, files: list[bytes], batches: tuple[int, ...]
) -> None:
    click.echo(f"\nphotographs a second, {usable_cores()} cores; decoded beforehand / from files in memory")
    click.echo(f"  {'pictures a forward pass':24}" + "".join(f"{batch:>18}" for batch in batches))
    ways = [("CPU, float32", reference)]
    for precision in PRECISIONS:
        if device.type != "cpu" or precision != reference.precision:
            ways.append((f"{device}, {precision}", TorchScriptEmbedder.load(path, str(device), precision=precision)))
    for name, model in ways:
        rates = []
        for model.batch in batches:
            model.warm_up(model.batch)
            rates.append(
                (forward_rate(model, len(files), model.batch), decode_and_hash_rate(model, files, model.batch))
            )
        click.echo(f"  {name:24}" + "".join(f"{forward:9.0f} /{whole:7.0f}" for forward, whole in rates))


def named(device: torch.device) -> str:
    if device.type == "cpu":
        return "cpu, so that nothing here is about a GPU"
    properties: Any = torch.cuda.get_device_properties(device)
    return f"{device}, {properties.name}, {properties.total_memory >> 30} GiB"


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--model_path", default="torchscripts_models/relahash-small-64bits.pt", type=click.Path(exists=True, path_type=Path)
)
@click.option("--device", "name", default="cuda:0", show_default=True, help="cpu, cuda or cuda:0.")
@click.option("--pictures", "most", default=2000, show_default=True, help="Photographs, at most.")
@click.option("--hash_batch", "hashed", multiple=True, type=int, default=(1, 4, 16, 64, 256), help="Pictures at once.")
def main(folder: Path, model_path: Path, name: str, most: int, hashed: tuple[int, ...]) -> None:
    """Compare a GPU's codes and rates with the CPU's, on the photographs in FOLDER."""
    logging.basicConfig(level=logging.WARNING, format="  %(message)s")
    device = find_device(name)
    click.echo(f"{named(device)}; PyTorch {torch.__version__}")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    files = [path.read_bytes() for path in paths[:: max(1, len(paths) // most)][:most]]
    reference = TorchScriptEmbedder.load(model_path)
    pictures = np.stack([decode(data, reference.card.preprocessing) for data in files])
    show_codes(model_path, reference, device, pictures)
    show_rates(model_path, reference, device, files, hashed)


if __name__ == "__main__":
    main()
