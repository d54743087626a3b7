"""Trains a backbone and its heads on labelled pictures.

    classes   augment ─▶ mix ─▶ backbone ─▶ a hash head for each width ─▶ RelaHash loss ─▶ AdamW, averaged weights
    details   two copies of each picture ─▶ backbone, now fixed ─▶ detail head ─▶ instance loss

Several widths cost one training: the heads share the backbone, and their losses are averaged. The details come second,
so they take nothing from the classes. A fresh network starts with small pictures: less arithmetic, and batch
normalisation settles well before the end. On one machine's CPU the same recipe and pictures give the same weights, even
if the run was killed and resumed.
"""

import math
import time
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from pictures.preparation import Preprocessing
from training.augmentation import augment, mix
from training.checkpoint import Checkpoint, State
from training.details import instance_loss
from training.errors import TrainingError
from training.kept import Views, rest, trained_parameters
from training.network import HashNetwork, SharedNetwork, detail_head
from training.pictures import LabelledPictures
from training.progress import Epochs
from training.recipe import AVERAGED, FRESH_RATE, MIXED, Recipe, schedule, size_at
from training.relahash import RelaHashLoss, far_apart_centroids

_DETAIL_RATE = 2e-3
_SAVE_SECONDS = 30.0


class Trainer:
    """Trains ``backbone`` (see ``training.network``) on ``data``, whose pictures are OVERSIZE times the size in
    ``preprocessing``."""

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
            1 - 1 / max(1.0, AVERAGED * recipe.epochs * self._batch_count)
        )
        self._losses = [
            RelaHashLoss(centroids, recipe.beta, recipe.margin).to(device) for centroids in self._centroids.values()
        ]
        self._network = SharedNetwork(backbone, recipe.bits)
        self._network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._average = AveragedModel(self._network, multi_avg_fn=average, use_buffers=True)
        for parameter in self._average.parameters():
            parameter.detach_()  # copies of TorchScript stay attached to their original
        self._detail = detail_head(backbone.level_channels).to(device)  # type: ignore[arg-type]
        self._views: Views | None = None
        self._mean, self._std = (
            torch.tensor(values, device=device).reshape(1, 3, 1, 1)
            for values in (preprocessing.mean, preprocessing.std)
        )

    @property
    def trained_on(self) -> int:
        """How many pictures the network is trained on."""
        return len(self._rows)

    def run(self) -> dict[int, HashNetwork]:
        """Train, from the checkpoint on. Returns the network of each width, on the CPU, in eval mode."""
        # A user's TorchScript is trained unoptimised: its compiler fails on gradients in mixed precision.
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
        optimiser = torch.optim.AdamW(self._parameters(), weight_decay=recipe.weight_decay)
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
                size = size_at(epoch / recipe.epochs, self._size) if recipe.grows else self._size
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

    def _parameters(self) -> list[dict[str, Any]]:
        """What is trained, in groups with their peak learning rates: fresh heads learn faster than trained weights."""
        recipe = self._recipe
        chosen = trained_parameters(self._network.backbone, recipe.tune)
        for parameter in self._network.backbone.parameters():
            parameter.requires_grad_(False)
        for parameter in chosen:
            parameter.requires_grad_(True)
        head_rate = recipe.learning_rate if recipe.tune == "full" else FRESH_RATE
        groups = [{"params": list(self._network.heads.parameters()), "peak": head_rate}]
        return [*groups, {"params": chosen, "peak": recipe.learning_rate}] if chosen else groups

    def _class_epoch(self, epoch: int, size: int, optimiser: torch.optim.Optimizer) -> float:
        """The mean loss."""
        recipe = self._recipe
        self._network.train()
        total = 0.0
        batches = self._batches()
        for number, rows in enumerate(batches):
            progress = (epoch + number / len(batches)) / recipe.epochs
            images, levels = self._inputs(rows, size, epoch)
            labels = self._labels[rows].to(self._device)
            parts = [(1.0, labels)]
            if images.dim() == 4 and progress < MIXED and float(torch.rand(1, generator=self._random)) < 0.5:
                images, others, share = mix(images, self._random)
                parts = [(share, labels), (1 - share, labels[others.to(self._device)])]
            with self._mixed_precision():
                outputs = self._outputs(images, levels)
            loss = torch.stack(
                [
                    weight * loss_of(output.float(), wanted)
                    for output, loss_of in zip(outputs, self._losses, strict=True)
                    for weight, wanted in parts
                ]
            ).sum() / len(outputs)
            total += _descend(optimiser, loss, schedule(progress))
            self._average.update_parameters(self._network)
        return total / len(batches)

    def _inputs(self, rows: Tensor, size: int, epoch: int) -> tuple[Tensor, Tensor | None]:
        """Returns pictures, or what is kept of a view of them."""
        if self._recipe.tune == "full":
            return self._augmented(rows, size, self._random), None
        images, levels = self._view(epoch, rows)
        return images, levels

    def _outputs(self, images: Tensor, levels: Tensor | None) -> list[Tensor]:
        if levels is None:
            outputs: list[Tensor] = self._network(self._normalised(images))
            return outputs
        features, _ = rest(self._network.backbone, self._recipe.tune, (images, levels))
        return self._network.hashed(features)

    def _view(self, number: int, rows: Tensor) -> tuple[Tensor, Tensor]:
        if self._views is None:
            self._views = Views(
                self._averaged.backbone,
                self._recipe.tune,
                self._rows,
                lambda rows, random: self._normalised(self._augmented(rows, self._size, random)),
                self._recipe.seed,
            )
        first, second = self._views.of(number, rows)
        if first.dim() == 4:
            first = first.contiguous(memory_format=torch.channels_last)
        return first.to(self._device), second.to(self._device)

    def _accuracy(self) -> float:
        """Returns the share of validation pictures whose output is nearest their class's centroid, over all widths."""
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
        optimiser = torch.optim.AdamW(
            [{"params": list(self._detail.parameters()), "peak": _DETAIL_RATE}], weight_decay=0.01
        )
        if "detail" in state:
            self._detail.load_state_dict(state["detail"])
            optimiser.load_state_dict(state["optimiser"])
            self._set_random_state(state["random"])
        saved = -math.inf  # save at once: the class training is too expensive to lose
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
            outputs = [self._detail(self._levels(rows, 2 * epoch + copy)) for copy in range(2)]
            total += _descend(optimiser, instance_loss(*outputs), schedule(progress))
        return total / len(batches)

    def _levels(self, rows: Tensor, view: int) -> Tensor:
        """Returns the levels, float32 (n, level_channels), of a random copy of each picture."""
        backbone, tune = self._averaged.backbone, self._recipe.tune
        kept = None if tune == "full" else self._view(view, rows)  # in float32
        with torch.no_grad(), self._mixed_precision():
            if kept is None:
                _, levels = backbone(self._normalised(self._augmented(rows, self._size, self._random)))
            else:
                _, levels = rest(backbone, tune, kept)
        found: Tensor = levels.float()
        return found

    # --- Random numbers

    def _random_state(self) -> list[Tensor]:
        """Returns the states of our own generator and of those that a user's network may use (dropout)."""
        of_gpu = [torch.cuda.get_rng_state(self._device)] if self._device.type == "cuda" else []
        return [self._random.get_state(), torch.get_rng_state(), *of_gpu]

    def _set_random_state(self, state: list[Tensor]) -> None:
        self._random.set_state(state[0])
        torch.set_rng_state(state[1])
        if self._device.type == "cuda":
            torch.cuda.set_rng_state(state[2], self._device)

    # --- Batches

    def _batches(self) -> tuple[Tensor, ...]:
        """Returns the rows to train on, in random order, in batches of nearly equal size."""
        order = self._rows[torch.randperm(len(self._rows), generator=self._random)]
        return order.tensor_split(self._batch_count)

    def _augmented(self, rows: Tensor, size: int, random: torch.Generator) -> Tensor:
        return augment(self._pictures[rows].to(self._device), size, random)

    def _whole(self, rows: Tensor) -> Tensor:
        images = self._pictures[rows].to(self._device).permute(0, 3, 1, 2).float() / 255.0
        return self._normalised(nn.functional.interpolate(images, self._size, mode="area"))

    def _normalised(self, images: Tensor) -> Tensor:
        return ((images - self._mean) / self._std).contiguous(memory_format=torch.channels_last)

    def _mixed_precision(self) -> AbstractContextManager[Any]:
        kind = self._device.type
        if kind == "cuda":  # where emulated, it would be slower than float32
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


def _descend(optimiser: torch.optim.Optimizer, loss: Tensor, share: float) -> float:
    """Take one step at that ``share`` of each group's peak learning rate. Returns the loss before it."""
    for group in optimiser.param_groups:
        group["lr"] = share * group["peak"]
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    return loss.item()
