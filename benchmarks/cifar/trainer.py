"""Trains a network with several hash heads on labelled pictures of CIFAR-10, and optionally on unlabelled ones.

    labels alone:      epochs (view → network → RelaHash loss of each head, averaged → SGD, learning rate up and down)
    then, unlabelled:  epochs of the same, on labelled pictures and on those of whose class a teacher is sure

The teacher's weights are the running mean of the network's (A. Tarvainen, H. Valpola, "Mean teachers are better role
models", 2017). It sees a weak view of an unlabelled picture; where one class is likelier than CONFIDENT, the network
has to find that class in a patchy view (after K. Sohn et al., "FixMatch", 2020, whose stronger views take longer to
pay off than a few epochs).
"""

import copy
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.cifar.network import CifarNetwork, whitening
from benchmarks.cifar.views import patchy, plain, weak
from training.relahash import RelaHashLoss, far_apart_centroids

BATCH = 128
LEARNING_RATE = 0.1
MOMENTUM = 0.9
WEIGHT_DECAY = 5e-4

#: Share of the steps in which the learning rate rises from 0; in the rest it falls back to 0.
WARM = 0.2

#: Labelled pictures in a batch that also has unlabelled ones.
LABELLED_OF_BATCH = 32

#: The teacher is believed if a class's probability is above this.
CONFIDENT = 0.95

#: The share of its weights that the teacher keeps at each step.
INERTIA = 0.9975


class HeadsLoss(nn.Module):
    """The mean of the RelaHash losses of several heads: ``forward(outputs (n, sum of bits), labels (n,) int64)``."""

    def __init__(self, classes: int, bits: list[int], seed: int) -> None:
        super().__init__()
        self.bits = bits
        self.losses = [RelaHashLoss(far_apart_centroids(classes, width, seed)) for width in bits]

    def forward(self, outputs: Tensor, labels: Tensor) -> Tensor:
        heads = zip(self.losses, torch.split(outputs, self.bits, 1), strict=True)
        return torch.stack([loss(head, labels) for loss, head in heads]).mean()

    def probabilities(self, outputs: Tensor) -> Tensor:
        """Returns each class's probability, float32 (n, classes), from all heads together. Takes outputs in eval mode:
        batch normalisation has then centred them relative to all training pictures, as the loss expects."""
        heads = zip(self.losses, torch.split(outputs, self.bits, 1), strict=True)
        likeness = [head @ loss.centroids.T / head.shape[1] for loss, head in heads]
        return (self.losses[0].beta * torch.stack(likeness).mean(0)).softmax(1)


class Trainer:
    """Trains a network in one stage or two. One line per epoch goes to ``report``.

    ``pictures`` uint8 (n, 32, 32, 3) and ``labels`` int64 (n,) are the labelled ones.
    """

    def __init__(
        self,
        pictures: Tensor,
        labels: Tensor,
        classes: int,
        bits: list[int],
        seed: int,
        report: Callable[[str], None],
    ) -> None:
        torch.manual_seed(seed)
        self.random = torch.Generator().manual_seed(seed)
        self.pictures, self.labels = pictures, labels
        some = torch.randperm(len(pictures), generator=self.random)[:5000]
        self.network = CifarNetwork(whitening(plain(pictures[some])), bits)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.loss_of = HeadsLoss(classes, bits, seed)
        self.report = report

    def on_labels(self, epochs: int) -> None:
        """Train on patchy views of the labelled pictures."""
        batches = max(1, len(self.pictures) // BATCH)
        descent = _Descent(self.network, epochs * batches)
        started = time.monotonic()
        for epoch in range(epochs):
            losses = 0.0
            for rows in torch.randperm(len(self.pictures), generator=self.random).tensor_split(batches):
                outputs = outputs_of(self.network, patchy(self.pictures[rows], self.random))
                losses += descent.step(self.loss_of(outputs, self.labels[rows]))
            self.report(
                f"labels alone, epoch {epoch + 1}/{epochs}  loss {losses / batches:.4f}  "
                f"{time.monotonic() - started:.0f} s"
            )

    def on_unlabelled(self, epochs: int, unlabelled: Tensor) -> None:
        """Train on the labelled and the ``unlabelled`` pictures, uint8 (n, 32, 32, 3); an epoch is a pass over the
        latter."""
        teacher = copy.deepcopy(self.network).eval()
        batches = max(1, len(unlabelled) // (BATCH - LABELLED_OF_BATCH))
        descent = _Descent(self.network, epochs * batches)
        started = time.monotonic()
        for epoch in range(epochs):
            losses, kept = 0.0, 0
            for rows in torch.randperm(len(unlabelled), generator=self.random).tensor_split(batches):
                some = torch.randint(len(self.labels), (LABELLED_OF_BATCH,), generator=self.random)
                with torch.no_grad():
                    guess = self.loss_of.probabilities(outputs_of(teacher, weak(unlabelled[rows], self.random))).max(1)
                sure = guess.values > CONFIDENT
                labels = torch.cat([self.labels[some], guess.indices[sure]])
                pictures = torch.cat([self.pictures[some], unlabelled[rows[sure]]])
                outputs = outputs_of(self.network, patchy(pictures, self.random))
                losses += descent.step(self.loss_of(outputs, labels))
                kept += int(sure.sum())
                follow(teacher, self.network)
            self.report(
                f"with unlabelled, epoch {epoch + 1}/{epochs}  loss {losses / batches:.4f}  "
                f"{kept / len(unlabelled):.1%} sure  {time.monotonic() - started:.0f} s"
            )


class _Descent:
    """Stochastic gradient descent over ``steps`` steps, with Nesterov's momentum; ``step`` also returns the loss."""

    def __init__(self, network: nn.Module, steps: int) -> None:
        trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
        groups: list[dict[str, Any]] = [
            {"params": [each for each in trained if each.ndim > 1], "weight_decay": WEIGHT_DECAY},
            {"params": [each for each in trained if each.ndim == 1]},
        ]
        self.optimiser = torch.optim.SGD(groups, lr=LEARNING_RATE, momentum=MOMENTUM, nesterov=True)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimiser, lambda step: _share((step + 1) / (steps + 1)))
        network.train()

    def step(self, loss: Tensor) -> float:
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        self.schedule.step()
        return loss.item()


def _share(progress: float) -> float:
    """Returns the learning rate as a share of its peak."""
    return progress / WARM if progress < WARM else (1 - progress) / (1 - WARM)


def follow(teacher: nn.Module, network: nn.Module) -> None:
    """Move the teacher's weights, and the statistics of its batch normalisation, a little towards the network's."""
    with torch.no_grad():
        for mean, now in zip(teacher.state_dict().values(), network.state_dict().values(), strict=True):
            if mean.is_floating_point():
                mean.lerp_(now, 1 - INERTIA)


def outputs_of(network: CifarNetwork, inputs: Tensor) -> Tensor:
    """Returns float32 (n, sum of bits), computed in bfloat16 if the processor can."""
    with torch.autocast("cpu", torch.bfloat16, enabled=torch.ops.mkldnn._is_mkldnn_bf16_supported()):
        outputs: Tensor = network(inputs)
    return outputs.float()
