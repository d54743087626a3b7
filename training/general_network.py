"""The general model: EfficientNet-Lite0 with a code for what is shown and a code for this very picture.

    picture ─▶ CellBackbone ─▶ cells ─▶ a layer for each ─▶ eight weighted means, the mean, the maximum ─▶ pooled
    pooled ─────────────▶ details ─▶ (n, detail_bits)
    pooled, features ───▶ meaning ─▶ (n, bits)

The weights of the means are drawn from the cells themselves (as in J. Lee et al., "Set Transformer", 2019), so a frame,
a caption or an empty wall can be left out. Nothing depends on the order of the cells: a mirrored or turned picture has
the same ones.

Meaning starts from ImageNet's classifier: the code to expect of a picture is the mean of the classes' codes, each as
likely as the classifier takes it to be. What else was seen is added to it.
"""

import torch
from torch import Tensor, nn

from training.cells import CELL_CHANNELS, GRAIN_CHANNELS, CellBackbone
from training.efficientnet import CHANNELS, Classifier
from training.network import deep_head

_ATTENTIONS = 8
_WIDTH, _VALUES, _HIDDEN = 256, 512, 768

#: Length of what a ``Pooling`` answers.
POOLED_CHANNELS = _VALUES + 2 * _WIDTH + GRAIN_CHANNELS

#: Inverse temperature of the classifier's probabilities: below 1, a picture keeps something of all that it may show.
_SHARPNESS = 2 / 3
#: How much the expected code counts at first, beside what is added to it: more only where the classifier is sure.
_EXPECTED = 3.0


class Pooling(nn.Module):
    """``forward(cells (n, 16, CELL_CHANNELS), grain (n, GRAIN_CHANNELS))`` → (n, POOLED_CHANNELS)."""

    cell_mean: Tensor
    cell_scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("cell_mean", torch.zeros(CELL_CHANNELS))
        self.register_buffer("cell_scale", torch.ones(CELL_CHANNELS))
        self.cell = nn.Linear(CELL_CHANNELS, _WIDTH)
        self.attention = nn.Linear(_WIDTH, _ATTENTIONS)
        self.value = nn.Linear(_WIDTH, _VALUES)

    def fit_scale(self, cells: Tensor) -> None:
        """Take the scale of each channel from ``cells`` (n, 16, CELL_CHANNELS): mean 0, standard deviation 1."""
        each = cells.flatten(0, 1)
        self.cell_mean.copy_(each.mean(0))
        self.cell_scale.copy_(1 / (each.std(0) + 1e-3))

    def forward(self, cells: Tensor, grain: Tensor) -> Tensor:
        seen = torch.relu(self.cell((cells - self.cell_mean) * self.cell_scale))
        weights = self.attention(seen).softmax(1)
        values = self.value(seen).view(weights.shape[0], weights.shape[1], weights.shape[2], -1)
        weighted = (weights.unsqueeze(3) * values).sum(1).flatten(1)
        return torch.cat((weighted, seen.mean(1), seen.amax(1), grain), 1)


class DetailHead(nn.Module):
    """``forward(cells, grain)`` → real-valued outputs (n, bits): which picture it is."""

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.pooling = Pooling()
        self.layers = deep_head(POOLED_CHANNELS, _HIDDEN, bits)

    def forward(self, cells: Tensor, grain: Tensor) -> Tensor:
        outputs: Tensor = self.layers(self.pooling(cells, grain))
        return outputs


class MeaningHead(nn.Module):
    """``forward(pooled (n, POOLED_CHANNELS), features (n, 1280))`` → real-valued outputs (n, bits): what is shown.

    ``codes``, ±1 (classes, bits), belong to the rows of ``classifier``, which stays as it is.
    """

    codes: Tensor

    def __init__(self, classifier: Classifier, codes: Tensor) -> None:
        super().__init__()
        classes, channels = classifier.directions.shape
        self.classifier = nn.Linear(channels, classes)
        self.classifier.load_state_dict({"weight": classifier.directions, "bias": classifier.bias})
        self.classifier.requires_grad_(False)
        self.register_buffer("codes", codes)
        self.strength = nn.Parameter(torch.tensor(_EXPECTED))
        self.sharpness = _SHARPNESS
        self.layers = deep_head(POOLED_CHANNELS + CHANNELS, _HIDDEN, codes.shape[1])

    def expected(self, features: Tensor) -> Tensor:
        """The mean of the classes' codes, by the classifier's probabilities, (n, bits)."""
        return torch.mm(self._shown(features), self.codes)

    def _shown(self, features: Tensor) -> Tensor:
        """Probabilities (n, classes)."""
        logits: Tensor = self.sharpness * self.classifier(features)
        return logits.softmax(1)

    def forward(self, pooled: Tensor, features: Tensor) -> Tensor:
        added = self.layers(torch.cat((pooled, features), 1))
        # The codes are scaled, not the product: oneDNN's graph compiler fails on a product that is scaled afterwards.
        outputs: Tensor = torch.mm(self._shown(features), self.strength * self.codes) + added
        return outputs


class GeneralNetwork(nn.Module):
    """The saved network. ``centroids``: ±1 (classes, bits), the codes of the card's classes."""

    centroids: Tensor

    def __init__(self, backbone: CellBackbone, meaning: MeaningHead, detail: DetailHead, centroids: Tensor) -> None:
        super().__init__()
        self.backbone = backbone
        self.meaning = meaning
        self.detail = detail
        self.register_buffer("centroids", centroids)

    def forward(self, x: Tensor) -> Tensor:
        """Pictures (n, 3, size, size) → (n, bits)."""
        return self.outputs(x)[0]

    def outputs(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Pictures (n, 3, size, size) → (n, bits) and (n, detail_bits)."""
        features, cells, grain = self.backbone(x)
        pooled = self.detail.pooling(cells, grain)
        return self.meaning(pooled, features), self.detail.layers(pooled)


# Not a decorator: TorchScript would take mypy's comment on that line for a signature.
torch.jit.export(GeneralNetwork.outputs)


def with_half_weights(network: nn.Module) -> nn.Module:
    """Store the weights of ``network``'s layers as float16: half the file. Whoever loads it computes in float32; the
    statistics of batch normalisation keep their precision, for they may be large or tiny."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.half()
    return network
