"""The limits that serving and indexing are measured against: bare loops, one thread per core."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from contract.space import Vectors
from embedding.cores import usable_cores
from embedding.torchscript import TorchScriptEmbedder
from pictures.formats import SUFFIXES


def read_pictures(folder: Path) -> list[bytes]:
    """Returns the contents of all image files below ``folder``."""
    return [path.read_bytes() for path in sorted(folder.rglob("*")) if path.suffix.lower() in SUFFIXES]


def rate(work: Callable[[int], object], items: int) -> float:
    """Returns calls of ``work(0 … items − 1)`` per second, with one thread per core."""
    with ThreadPoolExecutor(usable_cores()) as pool:
        started = time.perf_counter()
        for _ in pool.map(work, range(items)):
            pass
        return items / (time.perf_counter() - started)


def decode_and_hash_rate(model: TorchScriptEmbedder, files: list[bytes], batch: int) -> float:
    """Returns pictures decoded and hashed per second, from files in memory, ``batch`` pictures per forward pass."""
    chunks = [files[start : start + batch] for start in range(0, len(files), batch)]

    def work(index: int) -> Vectors:
        return model.embed(np.stack([model.prepare(data) for data in chunks[index]]))

    return rate(work, len(chunks)) * len(files) / len(chunks)


def forward_rate(model: TorchScriptEmbedder, pictures: int, batch: int) -> float:
    """Returns pictures per second of the forward pass alone, on decoded pictures."""
    size = model.card.preprocessing.image_size
    block = np.random.default_rng(0).integers(0, 256, (batch, size, size, 3), dtype=np.uint8)
    return rate(lambda _: model.embed(block), -(-pictures // batch)) * batch
