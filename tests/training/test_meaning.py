"""The head learns labels from pictures, and keeps what the classifier knows of classes without any."""

import torch

from training.cells import CELL_CHANNELS, GRAIN_CHANNELS
from training.class_codes import class_codes
from training.efficientnet import CHANNELS, Classifier
from training.general_network import MeaningHead, Pooling
from training.meaning import _MadeUp, train_meaning
from training.seen import Seen, Views

CLASSES, BITS = 12, 32


def classifier() -> Classifier:
    """Class i is sure of features that are large in channels 20 i … 20 i + 19."""
    directions = torch.zeros(CLASSES, CHANNELS)
    for number in range(CLASSES):
        directions[number, 20 * number : 20 * number + 20] = 0.3
    return Classifier(directions, torch.zeros(CLASSES))


def views_of(kinds: torch.Tensor, seed: int) -> Views:
    """Two views of each picture; of kind k, the channels of class k are 1 in its features, and others near 0."""
    random = torch.Generator().manual_seed(seed)
    n = 2 * len(kinds)
    features = 0.3 * torch.rand(n, CHANNELS, generator=random)
    for row, kind in enumerate(kinds.repeat_interleave(2).tolist()):
        features[row, 20 * kind : 20 * kind + 20] += 1.0
    cells = torch.randn(n, 16, CELL_CHANNELS, generator=random)
    grain = torch.randn(n, GRAIN_CHANNELS, generator=random)
    subject = torch.arange(len(kinds)).repeat_interleave(2)
    own = torch.arange(len(kinds))
    return Views(Seen(cells.half(), grain.half(), features.half()), subject, own, torch.zeros_like(own))


def test_labels_get_codes_and_classes_without_pictures_keep_theirs() -> None:
    """Pictures show the first six classes; the labels are two kinds of class 0 … 3: even and odd."""
    known = classifier()
    random = torch.Generator().manual_seed(0)
    anything = views_of(torch.randint(6, (60,), generator=random), seed=1)
    kinds = torch.randint(4, (60,), generator=random)
    head = MeaningHead(known, class_codes(known.directions, BITS, seed=0))
    pooling = Pooling().eval()
    head, label_codes = train_meaning(head, known, pooling, anything, views_of(kinds, 2), kinds % 2, steps=60, seed=0)
    assert label_codes.shape == (2, BITS)
    assert label_codes.abs().eq(1).all()

    def codes(kinds: torch.Tensor) -> torch.Tensor:
        seen = views_of(kinds, seed=3).seen
        with torch.inference_mode():
            return head(pooling(seen.cells.float(), seen.grain.float()), seen.features.float()).sign()[::2]

    labelled = codes(torch.tensor([0, 1, 2, 3]).repeat(5))
    assert ((labelled @ label_codes.T).argmax(1) == torch.tensor([0, 1, 0, 1]).repeat(5)).float().mean() > 0.9
    without_pictures = torch.arange(6, CLASSES).repeat(5)
    assert ((codes(without_pictures) @ head.codes.T).argmax(1) == without_pictures).float().mean() > 0.9


def test_made_up_features_are_of_their_class_and_never_negative() -> None:
    known, random = classifier(), torch.Generator().manual_seed(0)
    made_up = _MadeUp(known, views_of(torch.arange(CLASSES).repeat(4), seed=1).seen.features.float())
    wanted = torch.arange(CLASSES)
    features = made_up.features(wanted, random)
    assert features.min() == 0
    assert ((features @ known.directions.T).argmax(1) == wanted).all()
