"""``python -m training.general``: makes the general model, for any photograph.

EfficientNet-Lite0 from its package, which stays as it is
a labelled list, a folder of any photographs ─▶ views ─▶ what it sees in them, kept in files (training/seen.py)
                                                        ─▶ details (training/sameness.py)
                                                        ─▶ meaning (training/meaning.py)
pictures of both that were held out ─▶ what distances mean (training/calibration.py) ─▶ the model and its card
"""

from pathlib import Path

import click
import torch
from pydantic import JsonValue
from torch import Tensor

from contract.terminal import say
from embedding.card import ModelCard, plain_name
from embedding.torchscript import TorchScriptEmbedder, save_model
from pictures.preparation import NEWEST_DECODING, Preprocessing
from training.calibration import calibrate
from training.cells import CellBackbone
from training.class_codes import class_codes
from training.efficientnet import MEAN, STD, class_names, pretrained
from training.errors import TrainingError
from training.export import save_and_measure
from training.general_network import GeneralNetwork, MeaningHead, with_half_weights
from training.meaning import train_meaning
from training.network import DETAIL_BITS
from training.pictures import held_out, held_out_photograph, pictures_below, read_list
from training.sameness import train_details
from training.seen import parted, see, whole
from training.split import held_out_split

_BACKBONE = "efficientnet-lite0"
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command()
@click.argument("labels", type=click.Path(exists=True, path_type=Path))
@click.argument("photographs", type=_FOLDER)
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The .pt file to write.")
@click.option("--cache", required=True, type=_FOLDER, help="Folder for what the network saw: about 25 kB a view.")
@click.option("--ignore_label", multiple=True, help="Leave out pictures with this label; may be repeated.")
@click.option("--bits", default=64, show_default=True, type=click.IntRange(8, 1024), help="Length of the codes.")
@click.option(
    "--image_size", default=128, show_default=True, type=click.IntRange(32, 1024), help="Input size in pixels."
)
@click.option("--views", default=7, show_default=True, type=click.IntRange(2), help="Views of each labelled picture.")
@click.option(
    "--part_views", default=9, show_default=True, type=click.IntRange(2), help="Views of each part of a photograph."
)
@click.option("--detail_steps", default=900, show_default=True, type=click.IntRange(1), help="Batches for the details.")
@click.option(
    "--meaning_steps", default=1500, show_default=True, type=click.IntRange(1), help="Batches for the meaning."
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Start of every random choice.")
def main(
    labels: Path,
    photographs: Path,
    out: Path,
    cache: Path,
    ignore_label: tuple[str, ...],
    bits: int,
    image_size: int,
    views: int,
    part_views: int,
    detail_steps: int,
    meaning_steps: int,
    seed: int,
) -> None:  # fmt: skip
    """Make the general model from LABELS, a list or folder of labelled pictures as for hashlake train, and PHOTOGRAPHS,
    a folder of any others.

    A tenth of the labelled pictures and three tenths of the photographs, chosen by file name, are held out: the figures
    and the calibration in the card are of these.
    """
    ignored = frozenset(ignore_label)
    files = [file for file in read_list(labels, ignored) if not held_out(file.path.name)]
    names = sorted({file.label for file in files})
    paths = list(pictures_below(photographs))
    seen_paths = [path for path in paths if not held_out_photograph(path.name)]
    kept_paths = [path for path in paths if held_out_photograph(path.name)]
    if not seen_paths or not kept_paths:
        raise TrainingError(f"{photographs} holds {len(paths)} pictures: too few to hold three tenths out")
    preprocessing = Preprocessing(
        decoding=NEWEST_DECODING, image_size=image_size, reducing_gap=1.5, jpeg_draft=1.5, mean=MEAN, std=STD
    )
    network, classifier = pretrained(_BACKBONE)
    backbone = CellBackbone(network).eval()
    anything = see(backbone, parted(seen_paths, part_views), preprocessing, cache)
    labelled = see(backbone, whole([file.path for file in files], views), preprocessing, cache)
    detail = train_details([anything, labelled], DETAIL_BITS, detail_steps, seed)
    numbers = torch.tensor([names.index(file.label) for file in files])
    meaning = MeaningHead(classifier, class_codes(classifier.directions, bits, seed))
    meaning, label_codes = train_meaning(
        meaning, classifier, detail.pooling, anything, labelled, numbers, meaning_steps, seed
    )
    classes, codes = _classes(meaning.codes, names, label_codes)
    trained = with_half_weights(GeneralNetwork(backbone, meaning, detail, codes).eval())
    notes: dict[str, JsonValue] = {
        "data": [labels.resolve().parent.name, photographs.resolve().name],
        "pictures": len(files) + len(seen_paths),
        "network": f"{_BACKBONE}, its ImageNet weights unchanged",
        "views": views,
        "part_views": part_views,
        "detail_steps": detail_steps,
        "meaning_steps": meaning_steps,
        "seed": seed,
        "torch": torch.__version__,
    }
    card = ModelCard(
        name=out.stem,
        bits=bits,
        detail_bits=DETAIL_BITS,
        classes=classes,
        preprocessing=preprocessing,
        training=notes,
    )
    save_model(torch.jit.script(trained), card, out)
    split = held_out_split(labels, ignored)
    calibration = calibrate(TorchScriptEmbedder.load(out), split, kept_paths, names)
    evaluation = save_and_measure(trained, card.model_copy(update={"calibration": calibration}), out, split)
    figure = evaluation.methods[0].figures["mAP@all"]
    say(f"{out}: mAP@all {figure.value:.4f} [{figure.low:.4f}, {figure.high:.4f}]")


def _classes(codes: Tensor, labels: list[str], label_codes: Tensor) -> tuple[tuple[str, ...], Tensor]:
    """Returns ImageNet's names and the labels, and their codes. A label that is called like a class of ImageNet takes
    its place: it was learned from pictures."""
    found = dict(zip(map(plain_name, class_names()), zip(class_names(), codes, strict=True), strict=True))
    found |= dict(zip(map(plain_name, labels), zip(labels, label_codes, strict=True), strict=True))
    return tuple(name for name, _ in found.values()), torch.stack([code for _, code in found.values()])


if __name__ == "__main__":
    main()
