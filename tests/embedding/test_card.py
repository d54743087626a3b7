"""A card survives its model file unchanged, and a card that cannot be used is refused by the name of its mistake."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from contract.closeness import Calibration, Curve
from embedding.card import CARD_FILE, ModelCard, parse_card, plain_name, preprocessing_for
from embedding.errors import ModelError
from embedding.torchscript import TorchScriptEmbedder, save_model
from pictures.preparation import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from tests.fakes import PREPROCESSING, ColourGrid

FULL = ModelCard(
    name="Käfer 🐞, fine-tuned",
    bits=16,
    detail_bits=32,
    classes=("Hemd", "robe d'été"),
    preprocessing=Preprocessing(
        image_size=16,
        resize="center-crop",
        interpolation="bicubic",
        reducing_gap=2.0,
        jpeg_draft=1.5,
        mean=(0.1, 0.2, 0.3),
        std=(0.4, 0.5, 0.6),
    ),
    cuda_precision="float32",
    calibration=Calibration(
        code=Curve(distances=(0, 16), shares=(1, 0)),
        detail=Curve(distances=(0, 4, 32), shares=(1, 0.5, 0)),
        text=Curve(distances=(4, 8), shares=(0.9, 0.1)),
        copies_within=2,
        nothing_below=0.25,
    ),
    training={"data": ["a", "b"], "mAP": 0.875, "epochs": None},
)


LINE = {"distances": [0, 1], "shares": [1, 0]}


def changed(**fields: Any) -> str:
    """The text of a good card with ``fields`` changed; a field of the preprocessing is written ``preprocessing__x``."""
    card = json.loads(FULL.model_dump_json())
    for field, value in fields.items():
        *outer, name = field.split("__")
        (card[outer[0]] if outer else card)[name] = value
    return json.dumps(card)


def test_the_card_in_a_model_file_is_the_card_that_was_saved(tmp_path: Path) -> None:
    save_model(torch.jit.script(ColourGrid().eval()), FULL, tmp_path / "full.pt")
    assert TorchScriptEmbedder.load(tmp_path / "full.pt").card == FULL


def test_the_card_can_be_read_by_torch_alone(tmp_path: Path) -> None:
    save_model(torch.jit.script(ColourGrid().eval()), FULL, tmp_path / "full.pt")
    extra = {CARD_FILE: ""}
    torch.jit.load(str(tmp_path / "full.pt"), _extra_files=extra)  # type: ignore[no-untyped-call]
    assert json.loads(extra[CARD_FILE])["preprocessing"]["image_size"] == 16


numbers = st.floats(-10, 10)
positive = st.floats(1e-3, 10)
preparations = st.builds(
    Preprocessing,
    image_size=st.integers(8, 2048),
    resize=st.sampled_from(["stretch", "center-crop"]),
    interpolation=st.sampled_from(["bilinear", "bicubic"]),
    reducing_gap=st.none() | st.floats(1, 4),
    jpeg_draft=st.none() | st.floats(1, 4),
    mean=st.tuples(numbers, numbers, numbers),
    std=st.tuples(positive, positive, positive),
)


@settings(deadline=None, max_examples=100)
@given(st.text(min_size=1), st.integers(1, 128), preparations)
def test_every_card_survives_its_own_text(name: str, width: int, preprocessing: Preprocessing) -> None:
    card = ModelCard(name=name, bits=8 * width, preprocessing=preprocessing)
    assert parse_card(card.model_dump_json(), "x.pt") == card


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("{", "the whole card: Invalid JSON"),
        ("", "the whole card: Invalid JSON"),
        ("[]", "the whole card: .*object"),
        (changed(format=2), "format: "),
        (changed(bits=12), "bits: .*12 is no multiple of 8"),
        (changed(bits=0), "bits: "),
        (changed(bits=2048), "bits: "),
        (changed(bits=None), "bits: "),
        (changed(detail_bits=12), "detail_bits: .*12 is no multiple of 8"),
        (changed(detail_bits=0), "detail_bits: "),
        (changed(detail_bits=2048), "detail_bits: "),
        (changed(classes=["a", "b", "a"]), "classes: .*a name of its own"),
        (changed(classes=["dress", "Dress"]), "classes: .*a name of its own, whatever its case"),
        (changed(classes=["dress", " dress"]), "classes: .*a name of its own"),
        (changed(classes=["a", ""]), "classes: .*a name of its own"),
        (changed(classes=["a", " "]), "classes: .*a name of its own"),
        (changed(classes=[1]), "classes.0: "),
        (changed(name=""), "name: "),
        (changed(colour="red"), "colour: "),
        (changed(cuda_precision="int8"), "cuda_precision: "),
        (changed(calibration={}), "calibration.nothing_below: .*required"),
        (changed(calibration={"nothing_below": 0.1}), "calibration: .*it has code or embedding"),
        (
            changed(calibration={"embedding": LINE, "nothing_below": 0.1}),
            "the whole card: .*embedding, and .*makes none",
        ),
        (changed(calibration__code={"distances": [0, 1], "shares": [0, 1]}), "calibration.code: .*no share may be"),
        (changed(calibration__copies_within=33), "the whole card: .*copies_within has a distance of 33, .*32 bits"),
        (changed(detail_bits=None), "the whole card: .*detail has a distance of 32, .*0 bits"),
        (changed(classes=[]), "the whole card: .*a curve for text, and the model knows no classes"),
        (changed(preprocessing={}), "preprocessing.image_size: .*required"),
        (changed(preprocessing__image_size=7), "preprocessing.image_size: "),
        (changed(preprocessing__image_size=4096), "preprocessing.image_size: "),
        (changed(preprocessing__resize="squash"), "preprocessing.resize: "),
        (changed(preprocessing__interpolation="nearest"), "preprocessing.interpolation: "),
        (changed(preprocessing__jpeg_draft=0.5), "preprocessing.jpeg_draft: "),
        (changed(preprocessing__reducing_gap=0.5), "preprocessing.reducing_gap: "),
        (changed(preprocessing__mean=[0, 0]), "preprocessing.mean"),
        (changed(preprocessing__std=[1, 0, 1]), "preprocessing.std.1: "),
        (changed(preprocessing__crop=3), "preprocessing.crop: "),
    ],
)
def test_a_bad_card_is_refused_by_file_and_field(text: str, mistake: str) -> None:
    with pytest.raises(ModelError, match=f"net.pt has a model card that cannot be used: {mistake}"):
        parse_card(text, "net.pt")


def test_a_card_from_before_there_were_detail_codes_has_none() -> None:
    card = json.loads(FULL.model_dump_json())
    del card["detail_bits"], card["classes"], card["calibration"]
    found = parse_card(json.dumps(card), "net.pt")
    assert (found.detail_bits, found.classes, found.calibration) == (None, (), None)


def test_the_calibration_travels_with_the_vectors(tmp_path: Path) -> None:
    card = FULL.model_copy(update={"preprocessing": PREPROCESSING})
    save_model(torch.jit.script(ColourGrid().eval()), card, tmp_path / "full.pt")
    assert TorchScriptEmbedder.load(tmp_path / "full.pt").identity.calibration == FULL.calibration


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("field", ["mean", "std"])
def test_a_channel_statistic_is_a_finite_number(field: str, number: float) -> None:
    # With any of these every picture would get one and the same code.
    with pytest.raises(ModelError, match=f"preprocessing.{field}"):
        parse_card(changed(**{f"preprocessing__{field}": [1, number, 1]}), "net.pt")


def test_a_card_never_changes() -> None:
    with pytest.raises(ValidationError):
        FULL.bits = 32
    with pytest.raises(ValidationError):
        FULL.detail_bits = None
    with pytest.raises(ValidationError):
        PREPROCESSING.image_size = 32


class TestWithoutCard:
    @pytest.mark.parametrize(
        ("name", "size"),
        [
            ("relahash-small-64bits.pt", 224),
            ("relahash-medium-64bits.pt", 300),
            ("Relahash-LARGE.pt", 600),
            ("small.v2.pt", 224),
        ],
    )
    def test_the_name_says_the_size(self, name: str, size: int) -> None:
        assert preprocessing_for(Path("large models") / name, None) == Preprocessing(
            image_size=size, resize="stretch", interpolation="bilinear", mean=IMAGENET_MEAN, std=IMAGENET_STD
        )

    @pytest.mark.parametrize("name", ["relahash.pt", "small-or-large.pt", "tiny.small", ".pt"])
    def test_a_name_that_says_none_or_two_asks_for_image_size(self, name: str) -> None:
        with pytest.raises(
            ModelError, match=f"^{name} has no model card, and .*: give its input size with --image_size"
        ):
            preprocessing_for(Path("models") / name, None)

    def test_a_given_size_counts_more_than_the_name(self) -> None:
        assert preprocessing_for(Path("relahash-small.pt"), 128).image_size == 128

    @pytest.mark.parametrize("size", [-1, 0, 7, 2049])
    def test_a_size_out_of_range_is_refused(self, size: int) -> None:
        with pytest.raises(ModelError, match=f"--image_size {size}: "):
            preprocessing_for(Path("net.pt"), size)


def test_class_names_are_compared_as_people_read_them() -> None:
    decomposed = "robe d'e\u0301te\u0301"
    assert plain_name(f" {decomposed.upper()} ") == plain_name("robe d'été")
    with pytest.raises(ValueError, match="a name of its own"):
        ModelCard(name="m", bits=8, classes=("robe d'été", decomposed), preprocessing=Preprocessing(image_size=8))
