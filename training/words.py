"""``python -m training.words``: makes the general model that understands words, ``clip-general.pt``.

EfficientNet-Lite0 from its package, which stays as it is
drawn garments, labelled ones, any photographs ─▶ what it sees in them ─▶ attributes (training/attributes.py)
imagenet_words.txt ─▶ vocabulary ─▶ what each phrase means (training/meanings.py) ─▶ the model, its card and tokenizer
pictures that were held out ─▶ what cosines mean (training/cosine_calibration.py) ─▶ its card
"""

from collections.abc import Iterable
from pathlib import Path

import click
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from contract.terminal import say
from embedding.card import ModelCard, TextTower
from embedding.torchscript import TorchScriptEmbedder, save_model
from pictures.decode import decode
from pictures.preparation import NEWEST_DECODING, Preprocessing
from training.attributes import NOT_KNOWN, Described, train_attributes
from training.cells import CellBackbone
from training.colours import COLOURS
from training.cosine_calibration import calibrate_cosines, embedded
from training.efficientnet import MEAN, STD, class_names, pretrained
from training.errors import TrainingError
from training.garments import GARMENTS, PATTERNS, drawn_garments
from training.general_network import with_half_weights
from training.importing.rotation import random_rotation
from training.meanings import meanings
from training.pictures import LabelledFile, held_out, held_out_photograph, pictures_below, read_list
from training.vocabulary import CONTEXT, vocabulary, word_tokenizer
from training.words_network import BITS, WIDTH, Classes, Seeing, WordsNetwork, class_directions

_BACKBONE = "efficientnet-lite0"
_BATCH = 16
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command()
@click.argument("labels", type=click.Path(exists=True, path_type=Path))
@click.argument("photographs", type=_FOLDER)
@click.argument("drawn", type=_FOLDER)
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The .pt file to write.")
@click.option(
    "--image_size", default=128, show_default=True, type=click.IntRange(32, 1024), help="Input size in pixels."
)
@click.option("--steps", default=400, show_default=True, type=click.IntRange(1), help="Batches for the attributes.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Start of every random choice.")
def main(labels: Path, photographs: Path, drawn: Path, out: Path, image_size: int, steps: int, seed: int) -> None:
    """Make the general model with words from LABELS, a list or folder of labelled clothes as for hashlake train,
    PHOTOGRAPHS, a folder of any others, and DRAWN, a folder that hashlake sample has drawn.

    A tenth of the labelled pictures and three tenths of the photographs, chosen by file name, are held out: these tell
    what cosines of pictures mean. Labels that aren't the name of a garment (training/garments.py) are left out.
    """
    torch.set_num_threads(1)
    listed = [file for file in read_list(labels, frozenset()) if file.label.lower() in GARMENTS]
    files = [file for file in listed if not held_out(file.path.name)]
    found = list(pictures_below(photographs))
    paths = [path for path in found if not held_out_photograph(path.name)]
    kept = [file for file in listed if held_out(file.path.name)]
    kept += [LabelledFile(path, "") for path in found if held_out_photograph(path.name)]
    if not files or not paths:
        raise TrainingError(f"{labels} lists {len(files)} garments and {photographs} holds {len(paths)} pictures")
    garments = drawn_garments(drawn)
    preprocessing = Preprocessing(
        decoding=NEWEST_DECODING, image_size=image_size, reducing_gap=1.5, jpeg_draft=1.5, mean=MEAN, std=STD
    )
    network, classifier = pretrained(_BACKBONE)
    seeing = Seeing(CellBackbone(network)).eval()
    seeing.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    torch.jit.enable_onednn_fusion(True)  # as embedding/torchscript.py
    compiled = torch.jit.freeze(torch.jit.script(seeing))

    def seen(some: Iterable[Path], what: str) -> tuple[Tensor, Tensor]:
        found = _seen(compiled, some, preprocessing)
        say(f"{len(found[0]):,} {what} seen")
        return found

    of_drawn = seen([each.path for each in garments], "drawn garments")
    of_files = seen([file.path for file in files], "labelled pictures")
    of_paths = seen(paths, "photographs")
    unknown = [torch.full((len(some),), NOT_KNOWN) for some in (files, paths)]
    attributes = train_attributes(
        [
            Described(
                of_drawn[1],
                _places([each.garment for each in garments], GARMENTS),
                _places([each.colour for each in garments], COLOURS),
                _places([each.pattern for each in garments], PATTERNS),
            ),
            Described(of_files[1], _places([file.label.lower() for file in files], GARMENTS), unknown[0], unknown[0]),
            Described(of_paths[1], torch.full((len(paths),), len(GARMENTS)), unknown[1], unknown[1]),
        ],
        steps,
        seed,
    )
    # As many photographs as clothes: anything is as likely.
    fewer = slice(None, None, max(1, len(files) // len(paths)))
    features, inputs = (torch.cat((of_paths[part], of_files[part][fewer])) for part in (0, 1))
    directions = class_directions(classifier)
    phrases = vocabulary()
    row_of_token, rows = meanings(phrases, directions)
    trained = WordsNetwork(seeing, Classes(classifier, directions, features), attributes, row_of_token, rows).eval()
    _fit_codes(trained, features, inputs)
    card = ModelCard(
        name=out.stem,
        bits=BITS,
        embedding_width=WIDTH,
        text=TextTower(context_length=CONTEXT),
        classes=tuple(dict.fromkeys((*class_names(), *GARMENTS))),
        preprocessing=preprocessing,
        training={
            "data": [labels.resolve().parent.name, photographs.resolve().name, drawn.resolve().name],
            "pictures": len(garments) + len(files) + len(paths),
            "network": f"{_BACKBONE}, its ImageNet weights unchanged",
            "phrases": len(phrases),
            "steps": steps,
            "seed": seed,
            "torch": torch.__version__,
        },
    )
    for name in ("meanings", "rotation"):
        setattr(trained, name, getattr(trained, name).half())
    trained.classes.directions = directions.half()
    module, tokenizer = torch.jit.script(with_half_weights(trained)), word_tokenizer(phrases).to_str()
    save_model(module, card, out, tokenizer)
    model = TorchScriptEmbedder.load(out)
    # Words have no curve: the cosines of garments' words and of ImageNet's mean different shares (clip-general.md).
    calibration = calibrate_cosines(model, embedded(model, kept), words=False)
    save_model(module, card.model_copy(update={"calibration": calibration}), out, tokenizer)
    say(f"{out}: {len(phrases):,} phrases, {out.stat().st_size / 1e6:.1f} MB")


def _seen(seeing: nn.Module, paths: Iterable[Path], preprocessing: Preprocessing) -> tuple[Tensor, Tensor]:
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (preprocessing.mean, preprocessing.std))
    parts = []
    with torch.inference_mode():
        for pictures in _batches(paths, preprocessing):
            batch = torch.from_numpy(pictures).permute(0, 3, 1, 2).float().div(255).sub(mean).div(std)
            parts.append(seeing(batch))
    features, inputs = (torch.cat(part) for part in zip(*parts, strict=True))
    return features.clone(), inputs.clone()


def _batches(paths: Iterable[Path], preprocessing: Preprocessing) -> Iterable[NDArray[np.uint8]]:
    some: list[NDArray[np.uint8]] = []
    for path in paths:
        some.append(decode(path.read_bytes(), preprocessing))
        if len(some) == _BATCH:
            yield np.stack(some)
            some = []
    if some:
        yield np.stack(some)


def _places(found: Iterable[str], names: Iterable[str]) -> Tensor:
    place = {name: number for number, name in enumerate(names)}
    return torch.tensor([place[name] for name in found])


def _fit_codes(network: WordsNetwork, features: Tensor, inputs: Tensor) -> None:
    """Set what makes codes: the means of pictures and of texts, and a rotation.

    It is a random one. One fitted to a few pictures would leave out what they don't show, and words ask for it.
    """
    with torch.no_grad():
        network.image_mean.copy_(functional.normalize(network.from_seen(features, inputs)).mean(0))
        words = network.meaning_of.nonzero()
        network.text_mean.copy_(functional.normalize(network.encode_text(words)).mean(0))
        network.rotation.copy_(torch.from_numpy(random_rotation(WIDTH, BITS)))


if __name__ == "__main__":
    main()
