"""The limits that serving and indexing are measured against: bare loops, a thread a core, nothing around them."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hashing.cores import usable_cores
from hashing.model import HashModel
from hashing.picture import SUFFIXES, decode


def read_pictures(folder: Path) -> list[bytes]:
    """The contents of all image files below ``folder``."""
    return [path.read_bytes() for path in sorted(folder.rglob("*")) if path.suffix.lower() in SUFFIXES]


def rate(work: Callable[[int], object], items: int) -> float:
    """Calls of ``work(0 … items − 1)`` a second, on one thread a core."""
    with ThreadPoolExecutor(usable_cores()) as pool:
        started = time.perf_counter()
        for _ in pool.map(work, range(items)):
            pass
        return items / (time.perf_counter() - started)


def decode_and_hash_rate(model: HashModel, files: list[bytes], batch: int) -> float:
    """Pictures a second of decoding and hashing files already in memory, ``batch`` pictures a forward pass."""
    chunks = [files[start : start + batch] for start in range(0, len(files), batch)]

    def work(index: int) -> NDArray[np.uint8]:
        pictures = [decode(data, model.card.preprocessing) for data in chunks[index]]
        return model.hash(np.stack(pictures)).codes

    return rate(work, len(chunks)) * len(files) / len(chunks)


def forward_rate(model: HashModel, pictures: int, batch: int) -> float:
    """Pictures a second of the forward pass alone, on pictures already decoded."""
    size = model.card.preprocessing.image_size
    block = np.random.default_rng(0).integers(0, 256, (batch, size, size, 3), dtype=np.uint8)
    return rate(lambda _: model.hash(block), -(-pictures // batch)) * batch
