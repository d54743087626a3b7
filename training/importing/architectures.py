"""The architectures that can be imported, by the names that users know.

ViT-B/32, vit_b32, ViT-B-32 ─▶ "vitb32" ─▶ Clip("ViT-B/32", …)
"""

from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

from contract.names import plain_model_name
from pictures.preparation import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from training.errors import TrainingError
from training.importing.libraries import library

#: Channel statistics of the pictures that CLIP was trained on (Radford et al., 2021).
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class Clip:
    """An image and a text tower by open_clip. ``config`` holds the sizes of both; None: open_clip's own of
    ``configured``."""

    name: str
    alias: str
    configured: str
    config: dict[str, Any] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """What users call it."""
        return self.alias, self.name

    def sizes(self) -> dict[str, Any]:
        """Returns embed_dim, vision_cfg and text_cfg."""
        found: dict[str, Any] = self.config or library("open_clip").get_model_config(self.configured)
        return {name: found[name] for name in ("embed_dim", "vision_cfg", "text_cfg")}

    @property
    def preprocessing(self) -> Preprocessing:
        return Preprocessing(
            decoding=2,
            image_size=self.sizes()["vision_cfg"]["image_size"],
            resize="center-crop",
            interpolation="bicubic",
            mean=CLIP_MEAN,
            std=CLIP_STD,
        )


@dataclass(frozen=True)
class Backbone:
    """An image tower alone, the network ``called`` in ``package``. Weights of its classifier, below ``head``, are left
    out; ``prefixes`` stand before its weights in checkpoints of the training that it is known for; ``also`` is one more
    name."""

    name: str
    alias: str
    package: Literal["torchvision", "timm"]
    called: str
    head: str = "head."
    prefixes: tuple[str, ...] = ()
    image_size: int = 224
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    also: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """What users call it."""
        return tuple(name for name in (self.alias, self.name, self.also) if name)

    @property
    def preprocessing(self) -> Preprocessing:
        return Preprocessing(
            decoding=2,
            image_size=self.image_size,
            resize="center-crop",
            interpolation=self.interpolation,
            mean=self.mean,
            std=self.std,
        )


_HALF = (0.5, 0.5, 0.5)
_MOCO = ("module.encoder_q.", "encoder_q.", "module.base_encoder.")
_DINO = ("module.backbone.", "backbone.", "module.")

ARCHITECTURES: tuple[Clip | Backbone, ...] = (
    Clip("RN50", "clip_rn50", "RN50"),
    Clip("RN101", "clip_rn101", "RN101"),
    Clip("RN50x4", "clip_rn50x4", "RN50x4"),
    Clip("RN50x16", "clip_rn50x16", "RN50x16"),
    Clip("RN50x64", "clip_rn50x64", "RN50x64"),
    Clip("ViT-B/32", "vit_b32", "ViT-B-32"),
    Clip("ViT-B/16", "vit_b16", "ViT-B-16"),
    Clip("ViT-L/14", "vit_l14", "ViT-L-14"),
    Clip("ViT-L/14@336px", "vit_l14_336", "ViT-L-14-336"),
    Backbone("ResNet-34", "resnet34", "torchvision", "resnet34", "fc."),
    Backbone("ResNet-50", "resnet50", "torchvision", "resnet50", "fc."),
    Backbone("MoCo v2", "moco_v2", "torchvision", "resnet50", "fc.", _MOCO),
    Backbone(
        "DINO ViT-S/16", "dino_vits16", "timm", "vit_small_patch16_224", prefixes=_DINO, interpolation="bicubic",
        also="dino_vitsmall16",
    ),
    Backbone(
        "DINO ViT-B/8", "dino_vitb8", "timm", "vit_base_patch8_224", prefixes=_DINO, interpolation="bicubic",
        also="dino_vitbase8",
    ),
    *(
        Backbone(
            f"EfficientNet-Lite{number}", f"efficientnet_lite{number}", "timm", f"tf_efficientnet_lite{number}",
            "classifier.", image_size=size, interpolation="bicubic", mean=_HALF, std=_HALF,
        )
        for number, size in enumerate((224, 240, 260, 280, 300))
    ),
)  # fmt: skip


def architecture(name: str) -> Clip | Backbone:
    """Returns the architecture called ``name``. Raises TrainingError, which lists those that there are."""
    plain = plain_model_name(name)
    by_name = {plain_model_name(known): each for each in ARCHITECTURES for known in each.names}
    if plain in by_name:
        return by_name[plain]
    alike = [by_name[each].name for each in get_close_matches(plain, by_name, n=3)]
    meant = f"; you may mean {' or '.join(dict.fromkeys(alike))}" if alike else ""
    raise TrainingError(
        f"there is no architecture {name[:60]!r}{meant}; there are: "
        f"{', '.join(each.name for each in ARCHITECTURES)}, torchscript"
    )
