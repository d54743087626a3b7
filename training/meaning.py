"""Trains the head that tells what is shown, for any picture, and for classes of which no picture is at hand.

    views of anything   ─▶ classes as the classifier sees the whole picture ┐
                        ─▶ neighbours as in the classifier's features       │
    views with labels   ─▶ their label's code                               ├─▶ signs ─▶ one loss
    made-up features    ─▶ the class that they were made for                │
    all of them         ─▶ each bit set for half                            ┘

ImageNet's pictures aren't needed: its classifier's directions say where the features of a class lie. If w is a class's
direction and Σ the covariance of features, the class's features lie toward Σ·w (that is where linear discriminant
analysis would find w). A made-up feature is a real one, moved so far that way that the classifier is as sure as it
likes, and it borrows what was pooled of another picture: so that doesn't outvote a classifier that is sure.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.details import signs
from training.efficientnet import Classifier
from training.general_network import MeaningHead, Pooling
from training.seen import Views
from training.steps import mixed_precision, train_head

#: Views of each of the three kinds in a batch.
_BATCH = 256
_POOLED_AT_ONCE = 1024
#: Inverse temperature of the agreement with classes' codes, and with labels' codes; the margin of the right label.
_BETA, _LABEL_BETA, _MARGIN = 16.0, 12.0, 0.25
#: Temperature of neighbours' cosines, and inverse temperature of their agreement.
_COSINE, _NEIGHBOUR_BETA = 0.1, 12.0
#: How much each part of the loss counts.
_CLASSES, _LABELLED_CLASSES, _MADE_UP, _LABELS, _NEIGHBOURS, _BALANCE = 0.5, 0.15, 0.5, 1.5, 0.5, 0.5
#: How far a made-up feature keeps a real one's deviation, and how far its class's logit is raised.
_KEPT, _RAISED = (0.2, 0.9), (7.0, 15.0)


class _MadeUp:
    """Features of classes without pictures."""

    def __init__(self, classifier: Classifier, real: Tensor) -> None:
        self._mean, self._real = real.mean(0), real
        deviations = real - self._mean
        directions = classifier.directions - classifier.directions.mean(0)
        toward = directions @ (deviations.T @ deviations / len(real))
        self._toward = toward / (directions * toward).sum(1, keepdim=True)  # raises the class's logit by 1

    def features(self, classes: Tensor, random: torch.Generator) -> Tensor:
        """Returns (n, channels) for ``classes``, int64 (n,)."""

        def uniform(ends: tuple[float, float]) -> Tensor:
            return torch.rand(len(classes), 1, generator=random) * (ends[1] - ends[0]) + ends[0]

        real = self._real[torch.randint(len(self._real), (len(classes),), generator=random)]
        moved = self._mean + uniform(_KEPT) * (real - self._mean) + uniform(_RAISED) * self._toward[classes]
        return moved.clamp_min(0)


def train_meaning(
    head: MeaningHead,
    classifier: Classifier,
    pooling: Pooling,
    anything: Views,
    labelled: Views,
    labels: Tensor,
    steps: int,
    seed: int,
) -> tuple[MeaningHead, Tensor]:
    """Returns ``head`` trained, in eval mode, and the codes of the labels, ±1 (labels, bits).

    ``labels``: int64 (subjects of ``labelled``,), each label at least once.
    """
    torch.manual_seed(seed)
    random = torch.Generator().manual_seed(seed)
    pooled = {id(views): _pooled(pooling, views) for views in (anything, labelled)}
    whole = [views.seen.features[views.first].float() for views in (anything, labelled)]
    made_up = _MadeUp(classifier, torch.cat(whole))
    mean = torch.cat(whole).mean(0)
    near = functional.normalize(whole[0] - mean)
    shown = [torch.addmm(classifier.bias, features, classifier.directions.T).softmax(1) for features in whole]
    with torch.no_grad():
        expected = head.expected(whole[1])
    start = torch.stack([expected[labels == label].mean(0) for label in range(int(labels.max()) + 1)])
    start = start - start.mean(0)
    # Small, so that a few steps can turn a bit.
    label_values = nn.Parameter(0.3 * start / start.std() + 0.1 * torch.randn(start.shape, generator=random))

    def drawn(views: Views) -> tuple[Tensor, Tensor, Tensor]:
        rows = torch.randint(len(views.subject), (_BATCH,), generator=random)
        return pooled[id(views)][rows].float(), views.seen.features[rows].float(), views.subject[rows]

    def loss() -> Tensor:
        some, others = drawn(anything), drawn(labelled)
        classes = torch.randint(len(classifier.bias), (_BATCH,), generator=random)
        invented = made_up.features(classes, random)
        lent = torch.cat((drawn(anything)[0][::2], drawn(labelled)[0][::2]))
        with mixed_precision():
            outputs = head(torch.cat((some[0], others[0], lent)), torch.cat((some[1], others[1], invented)))
        codes = signs(outputs.float())
        of_some, of_others, of_invented = codes.view(3, _BATCH, -1)
        return (
            _CLASSES * _of_classes(of_some, head.codes, shown[0][some[2]])
            + _LABELLED_CLASSES * _of_classes(of_others, head.codes, shown[1][others[2]])
            + _MADE_UP * _of_classes(of_invented, head.codes, _half_sure(classifier, invented, classes))
            + _LABELS * _of_labels(of_others, signs(label_values), labels[others[2]])
            + _NEIGHBOURS * _of_neighbours(of_some, near[some[2]])
            + _BALANCE * codes.mean(0).square().mean()
        )

    trained = train_head("meaning", head, loss, steps, [label_values])
    return trained, torch.where(label_values.detach() > 0, 1.0, -1.0)


def _pooled(pooling: Pooling, views: Views) -> Tensor:
    """Returns what ``pooling`` makes of each view, float16 (n, POOLED_CHANNELS)."""
    parts = []
    for rows in torch.arange(len(views.subject)).split(_POOLED_AT_ONCE):  # type: ignore[no-untyped-call]
        seen = views.seen.rows(rows)
        with torch.inference_mode():
            parts.append(pooling(seen.cells, seen.grain).half())
    return torch.cat(parts)


def _of_classes(codes: Tensor, of_classes: Tensor, wanted: Tensor) -> Tensor:
    return functional.cross_entropy(_BETA / codes.shape[1] * (codes @ of_classes.T), wanted)


def _half_sure(classifier: Classifier, features: Tensor, classes: Tensor) -> Tensor:
    """Half of what the classifier sees in made-up ``features``, half the class that they were made for."""
    seen = torch.addmm(classifier.bias, features, classifier.directions.T).softmax(1)
    return (seen + functional.one_hot(classes, seen.shape[1])) / 2


def _of_labels(codes: Tensor, of_labels: Tensor, labels: Tensor) -> Tensor:
    agreement = codes @ of_labels.T / codes.shape[1] - _MARGIN * functional.one_hot(labels, len(of_labels))
    return functional.cross_entropy(_LABEL_BETA * agreement, labels)


def _of_neighbours(codes: Tensor, near: Tensor) -> Tensor:
    """Which pictures of the batch are like which: as by the cosines of ``near``, unit vectors (n, channels)."""
    itself = torch.eye(len(codes), dtype=torch.bool)
    wanted = (near @ near.T / _COSINE).masked_fill(itself, -torch.inf).softmax(1)
    agreement = _NEIGHBOUR_BETA / codes.shape[1] * (codes @ codes.T)
    return functional.cross_entropy(agreement.masked_fill(itself, -1e4), wanted)
