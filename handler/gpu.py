"""An index version's codes in the memory of a GPU, for ``searcher.gpu``.

Counting bits is integer arithmetic, so the answers are the same on every device. faiss's GpuIndexBinaryFlat is not
used: it gives each query one warp of the GPU, which suits thousands of queries at once, and a server has a few. Where
CUDA fails it also ends the process, and PyTorch raises (``benchmarks/gpu.py`` compares them).
"""

from collections.abc import Callable
from threading import Thread

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from searcher.version import IndexVersion

#: Bytes of codes that are compared at a time: what lies between the steps stays in the GPU's cache.
_CHUNK = 1 << 25

#: The distance of a row that is not allowed.
_FAR = np.iinfo(np.int16).max


class GpuCodes:
    """``codes``, uint8 (n, bytes), n at least 1, on ``device``, where they take as many bytes as in the file.

    Raises RuntimeError where they don't fit.
    """

    def __init__(self, codes: NDArray[np.uint8], device: torch.device) -> None:
        self._count, width = codes.shape
        if self._count > np.iinfo(np.int32).max:
            raise RuntimeError(f"{self._count:,} codes are more than PyTorch counts on a GPU")
        words = -(-width // 4)
        self._device = device
        self._chunk = max(1, _CHUNK // (4 * words))
        self._words = torch.empty((words, self._count), dtype=torch.int32, device=device)
        for first in range(0, self._count, self._chunk):
            part = codes[first : first + self._chunk]
            self._words[:, first : first + self._chunk] = _as_words(part).to(device).T

    def near(
        self, query: NDArray[np.uint8], top_k: int, limit: int, allowed: NDArray[np.uint8] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """As ``searcher.gpu.Near.near``."""
        with torch.inference_mode():
            distances = self._distances(_as_words(query[None]).to(self._device).T)
            if allowed is not None:
                distances.masked_fill_(~self._rows_of(allowed), _FAR)
            best = torch.topk(distances, min(top_k, self._count), largest=False, sorted=False).values
            rows = torch.nonzero(distances <= min(int(best.max()), limit - 1)).flatten()
            return distances[rows].long().cpu().numpy(), rows.cpu().numpy()

    def _distances(self, query: Tensor) -> Tensor:
        """Differing bits between each code and ``query``, int32 (words, 1): int16 (n,)."""
        distances = torch.empty(self._count, dtype=torch.int16, device=self._device)
        for first in range(0, self._count, self._chunk):
            part = slice(first, first + self._chunk)
            distances[part] = _ones(self._words[:, part] ^ query).sum(0, dtype=torch.int16)
        return distances

    def _rows_of(self, allowed: NDArray[np.uint8]) -> Tensor:
        """Which rows the bitmap has, bool (n,)."""
        places = torch.arange(8, dtype=torch.uint8, device=self._device)
        bits = torch.tensor(allowed, device=self._device)[:, None] >> places & 1
        return bits.flatten()[: self._count].bool()


def search_on(device: torch.device) -> Callable[[IndexVersion], None]:
    """What makes a version search on the GPU ``device`` if that is faster: it answers at once, and the version answers
    on the CPU until its codes are there and the comparison is done."""

    def accelerate(version: IndexVersion) -> None:
        Thread(target=version.offer_gpu, args=(lambda codes: GpuCodes(codes, device),), daemon=True).start()

    return accelerate


def _as_words(codes: NDArray[np.uint8]) -> Tensor:
    """Codes, uint8 (n, bytes), as words of 32 bits filled up with zeros, int32 (n, words)."""
    count, width = codes.shape
    padded = np.zeros((count, -(-width // 4) * 4), np.uint8)
    padded[:, :width] = codes
    return torch.from_numpy(padded.view(np.int32))


def _ones(words: Tensor) -> Tensor:
    """How many bits of each of ``words``, int32, are 1. Overwrites them.

    Sums of neighbours, side by side in one word: of 2 bits, of 4, of 8, of 16, of all. Worked example, 8 bits:
    11 01 00 10 → 10 01 00 01 → 0011 0001 → 00000100. A right shift repeats the sign; what it brings in is masked away.
    """
    words.sub_(words.bitwise_right_shift(1).bitwise_and_(0x55555555))
    fours = words.bitwise_right_shift(2).bitwise_and_(0x33333333).add_(words.bitwise_and_(0x33333333))
    fours.add_(fours.bitwise_right_shift(4)).bitwise_and_(0x0F0F0F0F)
    fours.add_(fours.bitwise_right_shift(8))
    fours.add_(fours.bitwise_right_shift(16))
    return fours.bitwise_and_(0x3F)
