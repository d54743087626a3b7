"""The detail head's loss: two changed copies of a picture should get the same code, other pictures different ones.

This is NT-Xent (Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations", 2020) on the
codes themselves: for each copy, a softmax over the batch says which code belongs to the other copy of the same picture.
Similarity is the share of equal bits, scaled to −1…1. Signs have no gradient, so tanh's gradient is used.
"""

import torch
from torch import Tensor
from torch.nn import functional

#: Inverse temperature. At 12, a copy outvotes a batch of 256 if it agrees in three quarters of the bits.
_SHARPNESS = 12.0


def instance_loss(first: Tensor, second: Tensor, doubtful: Tensor | None = None) -> Tensor:
    """Returns the loss of ``first`` and ``second``, (n, bits): outputs for two copies of n pictures, in the same
    order.

    ``doubtful``, bool (n, n), marks pairs that are neither copies nor different pictures; they don't count.
    """
    similarity = _SHARPNESS / first.shape[1] * (signs(first) @ signs(second).T)
    if doubtful is not None:
        similarity = similarity.masked_fill(doubtful, -torch.inf)
    own = torch.arange(len(first), device=first.device)
    return (functional.cross_entropy(similarity, own) + functional.cross_entropy(similarity.T, own)) / 2


def signs(outputs: Tensor) -> Tensor:
    """Returns ±1, with the gradient of tanh."""
    smooth = outputs.tanh()
    return smooth + (outputs.sign() - smooth).detach()
