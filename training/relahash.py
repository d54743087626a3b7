"""The RelaHash loss: P. V. Thai, N. Q. Hao, N. T. Tuan, "RelaHash: Deep Hashing With Relative Position",
IEEE Access 2023.

Each class y has a fixed binary centroid c_y in {−1, +1}^K, far from the others. We want outputs z whose signs are the
centroid's; sign has no gradient, so the paper compares real-valued *relative positions* instead. A batch of outputs
(n × K) is moved to its own centre and scaled as a whole, so that what counts is where an output lies in its batch:

    z* = (z − mean(z)) / rms(z − mean(z))            mean over the batch, root mean square over all n·K entries
    l_j = z* · c_j / K                               one number for each class j

This replaces two losses of other methods. By Cauchy and Schwarz, the mean of l_y over the batch is at most 1, since
rms(z*) = 1 and every entry of c is ±1. It is 1 only if z* = c_y everywhere: then every entry is ±1, so no quantisation
loss is needed; and because mean(z*) is 0, every bit is set for half of the batch, so no balance loss is needed. This
requires scaling the batch as a whole: a row scaled by itself could be right by its direction alone.

Pulling l_y up and the others down is a classification, with a margin m on the right class, as in CosFace, and the
inverse temperature β:

    loss = −log( exp(β·(l_y − m)) / (exp(β·(l_y − m)) + Σ_{j≠y} exp(β·l_j)) )

Until l_y exceeds the others by more than m, the loss is above log 2, so it still pulls when the class is already right.
β sets how sharp that is. Since l is relative to the batch, β depends on the batch size: the fewer classes a batch
shows, the farther its mean is from zero. β = 8 and m = 0.5 suit batches of 64 to 256.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional


def far_apart_centroids(classes: int, bits: int, seed: int, tries: int = 2000) -> Tensor:
    """Returns centroids, float32 (classes, bits) of ±1: each is the one of ``tries`` random codes that is farthest from
    the earlier centroids."""
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
    """``forward(outputs (n, bits), labels (n,) int64)`` → the mean loss, a scalar."""

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
