"""Labelled pictures to a backbone with its heads.

    classes   augment ─▶ mix ─▶ backbone ─▶ a hash head for each width ─▶ RelaHash loss ─▶ AdamW, averaged weights
    details   two copies of each picture ─▶ backbone, fixed now ─▶ detail head ─▶ instance loss

Several widths cost one training: the heads share the backbone, and their losses are averaged. The details come
second, so that they take nothing from the classes. To a fresh network, pictures are small at first: less arithmetic,
and batch normalisation settles well before the end. On one machine's CPU the same recipe and pictures give the same
weights, also when the run was killed on the way and started again.
"""

import math
import time
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from hashing.card import Preprocessing
from training.augmentation import augment, mix
from training.checkpoint import Checkpoint, State
from training.details import instance_loss
from training.errors import TrainingError
from training.network import HashNetwork, SharedNetwork, detail_head
from training.pictures import LabelledPictures
from training.progress import Epochs
from training.relahash import RelaHashLoss, far_apart_centroids

#: Peaks of the learning rate: of a fresh network, and of one that begins with trained weights.
FRESH_RATE, TRAINED_RATE = 4e-3, 5e-4
_DETAIL_RATE = 2e-3

#: Pictures are kept this much larger than the network's input, so that crops still have pixels.
OVERSIZE = 1.25

#: Share of the epochs up to which pictures have a size between the first (0) and the full one (1).
_SIZES = ((0.6, 0.0), (0.85, 0.5), (1.0, 1.0))
_LEAST_SIZE = 96

#: Share of the epochs in which half of the batches are mixed; afterwards pictures look as they will.
_MIXED = 0.8

#: Weights are averaged over about this share of the steps: fewer keep noise, more keep what was learned from smaller
#: pictures.
_AVERAGED = 1 / 17
_SAVE_SECONDS = 30.0


@dataclass(frozen=True)
class Recipe:
    """What decides a training run, beside the pictures and the backbone.

    ``patience``: epochs without a better validation accuracy after which the class training stops; None trains on
    the validation pictures too, to the end. ``grows``: pictures are small at first, which suits a fresh network.
    """

    bits: tuple[int, ...] = (64,)
    epochs: int = 200
    patience: int | None = None
    batch_size: int = 128
    learning_rate: float = FRESH_RATE
    weight_decay: float = 0.05
    beta: float = 8.0
    margin: float = 0.5
    grows: bool = True
    seed: int = 0

    @property
    def detail_epochs(self) -> int:
        return max(4, self.epochs // 10)


class Trainer:
    """Trains ``backbone`` (see ``training.network``) on ``data``, whose pictures are OVERSIZE times the size that
    ``preprocessing`` says."""

    def __init__(
        self,
        data: LabelledPictures,
        preprocessing: Preprocessing,
        recipe: Recipe,
        backbone: nn.Module,
        device: torch.device,
        checkpoint: Checkpoint,
    ) -> None:
        torch.manual_seed(recipe.seed)
        self._recipe = recipe
        self._device = device
        self._checkpoint = checkpoint
        self._size = preprocessing.image_size
        self._random = torch.Generator().manual_seed(recipe.seed)
        self._centroids = {bits: far_apart_centroids(len(data.classes), bits, recipe.seed) for bits in recipe.bits}
        self._validation = data.validation if recipe.patience else data.validation & False
        trained_on = ~(data.held_out | self._validation)
        self._pictures, self._labels = torch.from_numpy(data.pictures), torch.from_numpy(data.labels)
        self._rows = torch.from_numpy(trained_on.nonzero()[0])
        self._validation_rows = torch.from_numpy(self._validation.nonzero()[0])
        if recipe.patience and not len(self._validation_rows):
            raise TrainingError("there are too few pictures to set a tenth aside for stopping early")
        if len(self._rows) < 2:
            raise TrainingError("there are too few pictures to train on: fewer than 2")
        self._batch_count = max(1, len(self._rows) // recipe.batch_size)
        average = get_ema_multi_avg_fn(  # type: ignore[no-untyped-call]
            1 - 1 / max(1.0, _AVERAGED * recipe.epochs * self._batch_count)
        )
        self._losses = [
            RelaHashLoss(centroids, recipe.beta, recipe.margin).to(device) for centroids in self._centroids.values()
        ]
        self._network = SharedNetwork(backbone, recipe.bits)
        self._network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._average = AveragedModel(self._network, multi_avg_fn=average, use_buffers=True)
        for parameter in self._average.parameters():
            parameter.detach_()  # copies of TorchScript remember what they are copies of
        self._detail = detail_head(backbone.level_channels).to(device)  # type: ignore[arg-type]
        self._mean, self._std = (
            torch.tensor(values, device=device).reshape(1, 3, 1, 1)
            for values in (preprocessing.mean, preprocessing.std)
        )

    @property
    def trained_on(self) -> int:
        """How many pictures."""
        return len(self._rows)

    def run(self) -> dict[int, HashNetwork]:
        """The trained network of each width, on the CPU, in eval mode. The epochs go on from the checkpoint."""
        # A user's TorchScript is trained as it stands: its compiler trips over gradients in mixed precision.
        with torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
            self._train()
        trained, detail = self._averaged.cpu(), self._detail.eval().cpu()
        return {
            bits: HashNetwork(trained.backbone, head, detail, centroids).eval()
            for (bits, centroids), head in zip(self._centroids.items(), trained.heads, strict=True)
        }

    def _train(self) -> None:
        state = self._checkpoint.load() or {"phase": "classes", "epoch": 0}
        if state["phase"] == "classes":
            self._train_classes(state)
            state = {"phase": "details", "epoch": 0}
        else:
            self._average.load_state_dict(state["average"])
        self._train_details(state)

    @property
    def _averaged(self) -> SharedNetwork:
        network = self._average.module.eval()
        assert isinstance(network, SharedNetwork)
        return network

    # --- Classes

    def _train_classes(self, state: State) -> None:
        recipe = self._recipe
        parameters = self._network.parameters()
        optimiser = torch.optim.AdamW(parameters, lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
        best = _Best()
        if "network" in state:
            self._network.load_state_dict(state["network"])
            self._average.load_state_dict(state["average"])
            optimiser.load_state_dict(state["optimiser"])
            self._set_random_state(state["random"])
            best = _Best(**state["best"])
        saved = time.monotonic()
        with Epochs("classes", recipe.epochs, state["epoch"]) as epochs:
            for epoch in range(state["epoch"], recipe.epochs):
                size = _size(epoch / recipe.epochs, self._size) if recipe.grows else self._size
                loss = self._class_epoch(epoch, size, optimiser)
                note = f"{size} px  loss {loss:.4f}"
                if recipe.patience:
                    accuracy = self._accuracy()
                    best.see(accuracy, epoch, self._average)
                    note += f"  validation accuracy {accuracy:.3f}"
                epochs.done(note)
                if recipe.patience and epoch - best.epoch >= recipe.patience:
                    break
                if time.monotonic() - saved > _SAVE_SECONDS:
                    self._checkpoint.save(
                        {
                            "phase": "classes",
                            "epoch": epoch + 1,
                            "network": self._network.state_dict(),
                            "average": self._average.state_dict(),
                            "optimiser": optimiser.state_dict(),
                            "random": self._random_state(),
                            "best": asdict(best),
                        }
                    )
                    saved = time.monotonic()
        if best.weights:
            self._average.load_state_dict(best.weights)

    def _class_epoch(self, epoch: int, size: int, optimiser: torch.optim.Optimizer) -> float:
        """The mean loss."""
        recipe = self._recipe
        self._network.train()
        total = 0.0
        batches = self._batches()
        for number, rows in enumerate(batches):
            progress = (epoch + number / len(batches)) / recipe.epochs
            images, labels = self._augmented(rows, size), self._labels[rows].to(self._device)
            parts = [(1.0, labels)]
            if progress < _MIXED and float(torch.rand(1, generator=self._random)) < 0.5:
                images, others, share = mix(images, self._random)
                parts = [(share, labels), (1 - share, labels[others.to(self._device)])]
            with self._mixed_precision():
                outputs = self._network(self._normalised(images))
            loss = torch.stack(
                [
                    weight * loss_of(output.float(), wanted)
                    for output, loss_of in zip(outputs, self._losses, strict=True)
                    for weight, wanted in parts
                ]
            ).sum() / len(outputs)
            total += _descend(optimiser, loss, recipe.learning_rate * _schedule(progress))
            self._average.update_parameters(self._network)
        return total / len(batches)

    def _accuracy(self) -> float:
        """Share of the validation pictures whose output is most like their own class's centroid, over all widths."""
        network, right = self._averaged, []
        for rows in torch.split(self._validation_rows, self._recipe.batch_size):
            with torch.inference_mode(), self._mixed_precision():
                outputs = network(self._whole(rows))
            for output, loss_of in zip(outputs, self._losses, strict=True):
                chosen = (output.float() @ loss_of.centroids.T).argmax(1).cpu()
                right.append((chosen == self._labels[rows]).float())
        return float(torch.cat(right).mean())

    # --- Details

    def _train_details(self, state: State) -> None:
        recipe = self._recipe
        optimiser = torch.optim.AdamW(self._detail.parameters(), lr=_DETAIL_RATE, weight_decay=0.01)
        if "detail" in state:
            self._detail.load_state_dict(state["detail"])
            optimiser.load_state_dict(state["optimiser"])
            self._set_random_state(state["random"])
        saved = -math.inf  # the class training is too dear to lose
        with Epochs("details", recipe.detail_epochs, state["epoch"]) as epochs:
            for epoch in range(state["epoch"], recipe.detail_epochs):
                if time.monotonic() - saved > _SAVE_SECONDS:
                    self._checkpoint.save(
                        {
                            "phase": "details",
                            "epoch": epoch,
                            "average": self._average.state_dict(),
                            "detail": self._detail.state_dict(),
                            "optimiser": optimiser.state_dict(),
                            "random": self._random_state(),
                        }
                    )
                    saved = time.monotonic()
                epochs.done(f"loss {self._detail_epoch(epoch, optimiser):.4f}")

    def _detail_epoch(self, epoch: int, optimiser: torch.optim.Optimizer) -> float:
        """The mean loss."""
        recipe = self._recipe
        self._detail.train()
        total = 0.0
        batches = self._batches()
        for number, rows in enumerate(batches):
            progress = (epoch + number / len(batches)) / recipe.detail_epochs
            outputs = []
            for _ in range(2):
                with torch.no_grad(), self._mixed_precision():
                    images = self._normalised(self._augmented(rows, self._size))
                    _, levels = self._averaged.backbone(images)
                outputs.append(self._detail(levels.float()))
            total += _descend(optimiser, instance_loss(*outputs), _DETAIL_RATE * _schedule(progress))
        return total / len(batches)

    # --- Random numbers

    def _random_state(self) -> list[Tensor]:
        """Of our own generator, and of those that a user's network may draw from (dropout)."""
        of_gpu = [torch.cuda.get_rng_state(self._device)] if self._device.type == "cuda" else []
        return [self._random.get_state(), torch.get_rng_state(), *of_gpu]

    def _set_random_state(self, state: list[Tensor]) -> None:
        self._random.set_state(state[0])
        torch.set_rng_state(state[1])
        if self._device.type == "cuda":
            torch.cuda.set_rng_state(state[2], self._device)

    # --- Batches

    def _batches(self) -> tuple[Tensor, ...]:
        """The rows to train on, in random order, in batches of nearly equal size."""
        order = self._rows[torch.randperm(len(self._rows), generator=self._random)]
        return order.tensor_split(self._batch_count)

    def _augmented(self, rows: Tensor, size: int) -> Tensor:
        return augment(self._pictures[rows].to(self._device), size, self._random)

    def _whole(self, rows: Tensor) -> Tensor:
        images = self._pictures[rows].to(self._device).permute(0, 3, 1, 2).float() / 255.0
        return self._normalised(nn.functional.interpolate(images, self._size, mode="area"))

    def _normalised(self, images: Tensor) -> Tensor:
        return ((images - self._mean) / self._std).contiguous(memory_format=torch.channels_last)

    def _mixed_precision(self) -> AbstractContextManager[Any]:
        kind = self._device.type
        if kind == "cuda":  # emulated, it would be slower than float32
            able = torch.cuda.is_bf16_supported(including_emulation=False)
        else:
            able = torch.ops.mkldnn._is_mkldnn_bf16_supported()
        return torch.autocast(kind, torch.bfloat16, enabled=able)


@dataclass
class _Best:
    """The best validation ``accuracy``, the ``epoch`` that first had it, and the weights of the last that did."""

    accuracy: float = -1.0
    epoch: int = -1
    weights: State | None = None

    def see(self, accuracy: float, epoch: int, network: nn.Module) -> None:
        if accuracy > self.accuracy:
            self.accuracy, self.epoch = accuracy, epoch
        if accuracy == self.accuracy:
            self.weights = {name: value.clone() for name, value in network.state_dict().items()}


def _descend(optimiser: torch.optim.Optimizer, loss: Tensor, rate: float) -> float:
    """One step at learning rate ``rate``; the loss before it."""
    for group in optimiser.param_groups:
        group["lr"] = rate
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    return loss.item()


def _size(progress: float, full: int) -> int:
    """Pixels a side of the pictures at ``progress`` through the epochs."""
    first = max(min(full, _LEAST_SIZE), full // 2)
    share = next(share for until, share in _SIZES if progress < until)
    size = first + share * (full - first)
    return full if share == 1.0 else max(min(full, 32), int(size) // 16 * 16)


def _schedule(progress: float) -> float:
    """Learning rate as a share of its peak: up over the first twentieth, then down along a cosine."""
    warm = 0.05
    if progress < warm:
        return progress / warm
    return 0.5 * (1 + math.cos(math.pi * (progress - warm) / (1 - warm)))
