"""The RelaHash loss: P. V. Thai, N. Q. Hao, N. T. Tuan, "RelaHash: Deep Hashing With Relative Position",
IEEE Access 2023.

Each class has a fixed binary centroid c in {−1, +1}^K, far from the others. A batch of outputs z (n × K) is moved to
its own centre and scaled as a whole, so that what counts is where an output lies *relative* to its batch:

    z* = (z − mean(z)) / rms(z − mean(z))            mean over the batch, root mean square over all n·K entries
    l  = z* · c / K                                  1 exactly where z* equals the centroid
    loss = cross-entropy(β · (l − m · onehot(label)))

Scaling the batch as a whole, not each row, leaves one way to a high l: every entry of z* near ±1. Quantisation needs
no term of its own. The margin m keeps pulling after the class is right; β sets how sharp the softmax is.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional


def far_apart_centroids(classes: int, bits: int, seed: int, tries: int = 2000) -> Tensor:
    """Centroids, float32 (classes, bits) of ±1: each the best of ``tries`` random codes, farthest from those before."""
    random = np.random.default_rng(seed)
    chosen: list[NDArray[np.float32]] = []
    for _ in range(classes):
        candidates = random.choice(np.array([-1.0, 1.0], np.float32), (tries, bits))
        if chosen:
            nearest = (candidates @ np.stack(chosen).T).max(axis=1)  # larger product: smaller Hamming distance
            chosen.append(candidates[nearest.argmin()])
        else:
            chosen.append(candidates[0])
    return torch.from_numpy(np.stack(chosen))


class RelaHashLoss(nn.Module):
    """``forward(outputs (n, bits), labels (n,) int64)`` → scalar loss. β = 8 and m = 0.5 suit batches of 64 to 256."""

    centroids: Tensor

    def __init__(self, centroids: Tensor, beta: float = 8.0, margin: float = 0.5) -> None:
        super().__init__()
        self.register_buffer("centroids", centroids)
        self.beta = beta
        self.margin = margin

    def forward(self, outputs: Tensor, labels: Tensor) -> Tensor:
        classes, bits = self.centroids.shape
        centred = outputs - outputs.mean(dim=0)
        relative = centred / centred.pow(2).mean().clamp_min(1e-12).sqrt()  # a clamp after sqrt has no gradient at 0
        similarity = relative @ self.centroids.T / bits
        onehot = functional.one_hot(labels, classes)
        return functional.cross_entropy(self.beta * (similarity - self.margin * onehot), labels)
