"""The general model with words: one space for pictures and for what is said of them.

    picture ─▶ CellBackbone ─┬▶ classifier ─▶ classes ─────────┐
                             └▶ attributes ─▶ garment, colour, ├─▶ embedding (n, WIDTH)
    its pixels ─▶ colours ───────┘            pattern          │
    tokens ─▶ what each word means, summed ────────────────────┘

Every part has length 1 in a picture, and in a text either that or 0, if nothing is said of it: so the cosine of a
picture and "red dress" is a weighted mean of how red and how much of a dress it is. A part is the square root of
probabilities, whose product with another's is 1 where both are the same. ImageNet's classes share fewer dimensions
than they are, alike classes nearly the same (``class_directions``).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.cells import CELL_CHANNELS, GRAIN_CHANNELS, CellBackbone
from training.colours import COLOURS, SHARES, ColourShares
from training.efficientnet import CHANNELS, MEAN, STD, Classifier
from training.garments import GARMENTS, PATTERNS
from training.network import deep_head

#: Dimensions of an embedding, and of its parts: the last of the garments is "none".
WIDTH = 512
PARTS = (WIDTH - len(GARMENTS) - 1 - len(COLOURS) - len(PATTERNS), len(GARMENTS) + 1, len(COLOURS), len(PATTERNS))
BITS = 256

#: How much each part of a picture counts.
_WEIGHTS = (1.0, 1.0, 0.7, 0.55)
#: How much what a text says of classes counts beside garments: drawn and worn ones look unlike ImageNet's.
_BESIDE_GARMENTS = 0.4
#: Inverse temperature of the classifier's probabilities: low, for a picture has more in it than one class.
_SHARPNESS = 0.35
#: How much the features count beside the probabilities.
_FEATURES = 1.0
_HIDDEN = 256
#: Standard deviation of the attributes' logits at first.
_LOGITS = 4.0

#: Length of what ``attribute_inputs`` answers.
ATTRIBUTE_INPUTS = CHANNELS + 2 * CELL_CHANNELS + GRAIN_CHANNELS + SHARES


def class_directions(classifier: Classifier) -> Tensor:
    """Unit vectors (classes, PARTS[0]) whose cosines follow those of the classifier's directions."""
    centred = classifier.directions - classifier.directions.mean(0)
    left, strength, _ = torch.linalg.svd(centred, full_matrices=False)
    # The signs of singular vectors are arbitrary, and may differ by machine.
    signs = left.gather(0, left.abs().argmax(0, keepdim=True)).sign()
    return functional.normalize((left * signs * strength.sqrt())[:, : PARTS[0]])


class Seeing(nn.Module):
    """What is known of a picture before anything is trained: pictures (n, 3, size, size), normalised by MEAN and STD →
    features (n, CHANNELS) and the inputs of the attributes (n, ATTRIBUTE_INPUTS)."""

    def __init__(self, backbone: CellBackbone) -> None:
        super().__init__()
        self.backbone = backbone
        self.colours = ColourShares(MEAN, STD)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features, cells, grain = self.backbone(x)
        return features, torch.cat((features, cells.mean(1), cells.amax(1), grain, self.colours(x)), 1)


class Attributes(nn.Module):
    """``forward(inputs (n, ATTRIBUTE_INPUTS))`` → logits of garments and none, of colours and of patterns."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = deep_head(ATTRIBUTE_INPUTS, _HIDDEN, PARTS[1] + PARTS[2] + PARTS[3])
        self.ends = (PARTS[1], PARTS[1] + PARTS[2])
        nn.init.constant_(self.layers[-1].weight, _LOGITS)  # type: ignore[arg-type]

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        logits = self.layers(inputs)
        return logits[:, : self.ends[0]], logits[:, self.ends[0] : self.ends[1]], logits[:, self.ends[1] :]


class Classes(nn.Module):
    """``forward(features (n, CHANNELS))`` → unit vectors (n, PARTS[0]): which of ImageNet's classes are shown.

    ``directions``: those of the classes. Both ways of seeing are centred on the mean of what ``features`` show.
    """

    directions: Tensor
    mean: Tensor

    def __init__(self, classifier: Classifier, directions: Tensor, features: Tensor) -> None:
        super().__init__()
        classes, channels = classifier.directions.shape
        self.classifier = nn.Linear(channels, classes)
        # Scaled here: oneDNN's graph compiler fails on a product that is scaled afterwards.
        self.classifier.load_state_dict(
            {"weight": _SHARPNESS * classifier.directions, "bias": _SHARPNESS * classifier.bias}
        )
        self.register_buffer("directions", directions)
        self.of_features = _FEATURES
        centred = classifier.directions - classifier.directions.mean(0)
        self.linear = nn.Linear(channels, directions.shape[1])
        weight = directions.T @ centred
        self.linear.load_state_dict({"weight": weight, "bias": -weight @ features.mean(0)})
        self.register_buffer("mean", torch.zeros(directions.shape[1]))
        with torch.no_grad():
            self.mean.copy_(self._shown(features).mean(0))
        self.requires_grad_(False)

    def _shown(self, features: Tensor) -> Tensor:
        logits: Tensor = self.classifier(features)
        return torch.mm(logits.softmax(1), self.directions)

    def forward(self, features: Tensor) -> Tensor:
        shown = functional.normalize(self._shown(features) - self.mean)
        return functional.normalize(shown + self.of_features * functional.normalize(self.linear(features)))


class WordsNetwork(nn.Module):
    """The saved network. ``meaning_of``, int64 (tokens,), names the row of ``meanings``, (rows, WIDTH), of each token;
    row 0 is zero. ``image_mean``, ``text_mean`` and ``rotation`` make codes (embedding/projection.py)."""

    image_mean: Tensor
    text_mean: Tensor
    rotation: Tensor
    meaning_of: Tensor
    meanings: Tensor

    def __init__(
        self, seeing: Seeing, classes: Classes, attributes: Attributes, meaning_of: Tensor, meanings: Tensor
    ) -> None:
        super().__init__()
        self.seeing = seeing
        self.classes = classes
        self.attributes = attributes
        self.weights = _WEIGHTS
        self.beside_garments = _BESIDE_GARMENTS
        self.parts = list(PARTS)
        self.register_buffer("meaning_of", meaning_of)
        self.register_buffer("meanings", meanings)
        self.register_buffer("image_mean", torch.zeros(WIDTH))
        self.register_buffer("text_mean", torch.zeros(WIDTH))
        self.register_buffer("rotation", torch.zeros(WIDTH, BITS))

    def forward(self, x: Tensor) -> Tensor:
        """Pictures (n, 3, size, size) → (n, WIDTH)."""
        return self.embedding(x)

    def embedding(self, x: Tensor) -> Tensor:
        """Pictures (n, 3, size, size) → (n, WIDTH)."""
        features, inputs = self.seeing(x)
        return self.from_seen(features, inputs)

    def from_seen(self, features: Tensor, inputs: Tensor) -> Tensor:
        """What ``seeing`` answers → (n, WIDTH)."""
        garment, colour, pattern = self.attributes(inputs)
        return torch.cat(
            (
                self.classes(features) * self.weights[0],
                garment.softmax(1).sqrt() * self.weights[1],
                colour.softmax(1).sqrt() * self.weights[2],
                pattern.softmax(1).sqrt() * self.weights[3],
            ),
            1,
        )

    def encode_text(self, tokens: Tensor) -> Tensor:
        """Tokens (n, context) → (n, WIDTH); zero where no word is known."""
        said = torch.split(self.meanings[self.meaning_of[tokens]].sum(1), self.parts, 1)
        classes, garment, colour, pattern = [functional.normalize(part) for part in said]
        of_garment = (garment * garment).sum(1, keepdim=True)  # 1 or 0
        beside = 1 - (1 - self.beside_garments) * of_garment
        return torch.cat((classes * beside, garment, colour, pattern), 1)


# Not a decorator: TorchScript would take mypy's comment on that line for a signature.
torch.jit.export(WordsNetwork.embedding)
torch.jit.export(WordsNetwork.encode_text)
