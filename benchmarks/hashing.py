"""How fast one core hashes photographs, by ways of running the model and ways of decoding; see RESULTS.md.

    python -m benchmarks.hashing FOLDER [--model_path MODEL.pt]

In each round every way decodes and hashes the same photographs, in batches of 16 and one by one, so a machine that
slows down does so for all. Prints medians of the rounds; × is a way's speed relative to the product. The last columns
are means over more photographs: bits of a code that differ from float32 as saved (ways of running) or from decoding
every pixel (ways of decoding), and bits that differ between a photograph alone and in a batch.
"""

import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import torch
from numpy.typing import NDArray

from embedding.card import ModelCard
from embedding.torchscript import TorchScriptEmbedder
from pictures.decode import decode, decoder
from pictures.formats import SUFFIXES
from pictures.preparation import Preprocessing

ROUNDS = 7
BATCH = 16
TIMED_IN_BATCHES = 64  # photographs
TIMED_ALONE = 32
COMPARED = 256

#: Multiples of the model's input size: a JPEG is not decoded smaller than that.
DRAFTS = (1.0, 1.5, 2.0, 4.0)
GAP = 1.5

Pictures = NDArray[np.uint8]
Outputs = NDArray[np.float32]
Bits = NDArray[np.bool_]


@dataclass(frozen=True)
class Running:
    """A way to run a TorchScript file: ``dtype`` of weights and layers, and what PyTorch does to it beforehand."""

    dtype: str = "float32"
    freeze: bool = True
    channels_last: bool = True
    graph_compiler: bool = False  # oneDNN's
    optimize_for_inference: bool = False
    autocast: bool = False

    def load(self, path: Path, card: ModelCard) -> Callable[[Pictures], Outputs]:
        """Returns a function from pictures, uint8 (n, size, size, 3), to outputs, float32 (n, bits)."""
        methods = ["outputs"] if card.detail_bits else []
        module = torch.jit.load(str(path)).eval().to(getattr(torch, self.dtype))  # type: ignore[no-untyped-call]
        if self.channels_last:
            module = module.to(memory_format=torch.channels_last)
        if self.optimize_for_inference:
            module = torch.jit.optimize_for_inference(module, methods)
        elif self.freeze:
            module = torch.jit.freeze(module, methods)
        mean, std = (torch.tensor(v).reshape(1, 3, 1, 1) for v in (card.preprocessing.mean, card.preprocessing.std))
        layout = torch.channels_last if self.channels_last else torch.contiguous_format

        def forward(pictures: Pictures) -> Outputs:
            with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=self.autocast):
                batch = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() * (1 / (255 * std)) - mean / std
                batch = batch.to(getattr(torch, self.dtype), memory_format=layout)
                outputs = torch.cat(module.outputs(batch), 1) if card.detail_bits else module(batch)
                result: Outputs = outputs.float().numpy()
                return result

        return forward


AS_SAVED = "float32, as saved"
PRODUCT = "float32, frozen, channels last, oneDNN graphs"
EVERY_PIXEL = "every pixel"

RUNNING: dict[str, Running | None] = {
    AS_SAVED: Running(freeze=False, channels_last=False),
    "float32, frozen": Running(channels_last=False),
    "float32, frozen, channels last": Running(),
    "float32, frozen, oneDNN graphs": Running(channels_last=False, graph_compiler=True),
    PRODUCT: None,  # the embedder itself, which also settles ties
    "float32, optimize_for_inference": Running(optimize_for_inference=True),
    "bfloat16, frozen, channels last": Running("bfloat16"),
    "bfloat16, frozen, channels last, oneDNN graphs": Running("bfloat16", graph_compiler=True),
    "autocast, frozen, channels last": Running(autocast=True),
    "autocast, frozen, channels last, oneDNN graphs": Running(autocast=True, graph_compiler=True),
}


@dataclass(frozen=True)
class Way:
    """One row: a decoder, a way to run the model, and the ``reference`` row to compare codes with."""

    preprocessing: Preprocessing
    bits: Callable[[Pictures], Bits]
    graph_compiler: bool
    reference: str

    def decoded(self, files: list[bytes]) -> Pictures:
        return np.stack([decode(data, self.preprocessing) for data in files])

    def in_batches(self, pictures: Pictures, size: int) -> Bits:
        return np.concatenate([self.bits(pictures[start : start + size]) for start in range(0, len(pictures), size)])

    def seconds(self, files: list[bytes], size: int) -> float:
        """Returns the seconds per picture to decode and hash ``files``, ``size`` at once.

        Counts this thread's CPU time, because it does all the work and never waits: other load on the core is excluded.
        """
        started = time.thread_time()
        for start in range(0, len(files), size):
            self.bits(self.decoded(files[start : start + size]))
        return (time.thread_time() - started) / len(files)


def signs(forward: Callable[[Pictures], Outputs]) -> Callable[[Pictures], Bits]:
    return lambda pictures: forward(pictures) > 0


def product_bits(model: TorchScriptEmbedder) -> Callable[[Pictures], Bits]:
    def bits(pictures: Pictures) -> Bits:
        return np.unpackbits(np.concatenate(list(model.embed(pictures).values()), axis=1), axis=1).astype(bool)

    return bits


def all_ways(path: Path, model: TorchScriptEmbedder) -> dict[str, Way]:
    """Returns every row by its name: the ways of running, then those of decoding."""
    prepared, own = model.card.preprocessing, product_bits(model)
    ways: dict[str, Way] = {}
    for name, running in RUNNING.items():
        bits = signs(running.load(path, model.card)) if running else own
        ways[name] = Way(prepared, bits, running is None or running.graph_compiler, AS_SAVED)
    for draft in sorted({0.0, *DRAFTS, prepared.jpeg_draft or 0.0}):
        for gap in sorted({0.0, GAP, prepared.reducing_gap or 0.0}):
            name = (f"JPEG draft {draft:g}×" if draft else EVERY_PIXEL) + (f", reducing gap {gap:g}" if gap else "")
            decoding = prepared.model_copy(update={"jpeg_draft": draft or None, "reducing_gap": gap or None})
            ways[name] = Way(decoding, own, True, EVERY_PIXEL)
    return ways


def forward_only(path: Path, card: ModelCard, dtype: str, pictures: Pictures) -> tuple[Outputs, float]:
    """Returns outputs for ``pictures``, and milliseconds per picture of a batched forward pass. Runs in any process."""
    torch.set_num_threads(1)
    torch.jit.enable_onednn_fusion(True)
    forward = Running(dtype, graph_compiler=True).load(path, card)
    for _ in range(3):
        forward(pictures[:BATCH])
    started = time.thread_time()
    outputs = np.concatenate([forward(pictures[start : start + BATCH]) for start in range(0, len(pictures), BATCH)])
    return outputs, 1000 * (time.thread_time() - started) / len(pictures)


def show_precision(path: Path, card: ModelCard, pictures: Pictures) -> None:
    """Print what else matters for bfloat16: the same figures with AVX2 only, as on processors without AVX-512 and AMX,
    and how close to zero an output must be for bfloat16 to be unsure of its sign."""
    os.environ["ONEDNN_MAX_CPU_ISA"] = "AVX2"  # read once per process, so this process keeps its own
    outputs: dict[str, Outputs] = {}
    with multiprocessing.get_context("spawn").Pool(1) as older:
        for dtype in ("float32", "bfloat16"):
            outputs[dtype], milliseconds = forward_only(path, card, dtype, pictures)
            there, older_milliseconds = older.apply(forward_only, (path, card, dtype, pictures))
            differing = ((outputs[dtype] > 0) != (there > 0)).sum(1).mean()
            click.echo(
                f"{dtype} on a processor with AVX2 only: forward pass {older_milliseconds:.2f} instead of "
                f"{milliseconds:.2f} ms, {differing:.3f} bits differ from {dtype} here"
            )
    exact = outputs["float32"] / np.abs(outputs["float32"]).mean(axis=1, keepdims=True)
    rounded = outputs["bfloat16"] / np.abs(outputs["float32"]).mean(axis=1, keepdims=True)
    error = np.abs(rounded - exact).max()
    unsure = (np.abs(exact) < error).any(axis=1).mean()
    click.echo(
        f"bfloat16 is off by up to {error:.2f} of a photograph's mean output; "
        f"{unsure:.0%} of the photographs have an output that close to zero"
    )


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--model_path", default="torchscripts_models/relahash-small-64bits.pt", type=click.Path(exists=True, path_type=Path)
)
def main(folder: Path, model_path: Path) -> None:
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    files = [path.read_bytes() for path in paths[:: max(1, len(paths) // COMPARED)][:COMPARED]]
    model = TorchScriptEmbedder.load(model_path)
    ways = all_ways(model_path, model)
    alone: dict[str, Bits] = {}
    moved: dict[str, float] = {}  # bits that differ between a picture alone and in a batch
    for name, way in ways.items():
        torch.jit.enable_onednn_fusion(way.graph_compiler)  # read when a batch size first occurs: here
        pictures = way.decoded(files)
        for size in (1, BATCH):
            for _ in range(3):
                way.bits(pictures[:size])
        alone[name] = way.in_batches(pictures, 1)
        moved[name] = (alone[name] != way.in_batches(pictures, BATCH)).sum(1).mean()
    at_once: dict[str, list[float]] = {name: [] for name in ways}
    single: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            torch.jit.enable_onednn_fusion(way.graph_compiler)
            at_once[name].append(way.seconds(files[:TIMED_IN_BATCHES], BATCH))
            single[name].append(way.seconds(files[:TIMED_ALONE], 1))
    width = alone[PRODUCT].shape[1]
    click.echo(f"{len(files)} photographs, one thread, median of {ROUNDS} rounds, {decoder()}; ◀ is the product")
    click.echo(f"{'':48}{f'batches of {BATCH}':>18}{'one alone':>18}{f'of {width} differ':>15}{'in batches':>12}")
    for name, way in ways.items():
        if name in (AS_SAVED, EVERY_PIXEL):
            click.echo("decoding, run as ◀" if name == EVERY_PIXEL else "running, decoded as ◀")
        batches, one = (
            statistics.median(own / other for own, other in zip(times[PRODUCT], times[name], strict=True))
            for times in (at_once, single)
        )
        click.echo(
            f"  {name:46}{1 / statistics.median(at_once[name]):9.0f}/s {batches:6.2f}×"
            f"{1000 * statistics.median(single[name]):8.2f} ms {one:5.2f}×"
            f"{(alone[name] != alone[way.reference]).sum(1).mean():15.3f}{moved[name]:12.3f}"
            + (" ◀" if way.bits is ways[PRODUCT].bits and way.preprocessing == model.card.preprocessing else "")
        )
    show_precision(model_path, model.card, ways[PRODUCT].decoded(files))


if __name__ == "__main__":
    main()
