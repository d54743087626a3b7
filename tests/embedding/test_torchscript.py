"""A model gives codes that a reader computes by hand, the same in every batch; it names its classes; an unfit file is a
ModelError."""

import hashlib
import json
from collections.abc import Iterator
from multiprocessing.pool import ThreadPool
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from embedding.card import CARD_FILE, ModelCard
from embedding.device import find_device, worker_device
from embedding.errors import ModelError, UnknownText
from embedding.torchscript import TorchScriptEmbedder, _precision, save_model
from pictures.decode import decode, decoder
from pictures.preparation import Preprocessing
from tests.fakes import (
    BITS,
    CLASSES,
    DETAIL_BITS,
    PREPROCESSING,
    ColourGrid,
    Grid,
    code_bytes,
    detail_bytes,
    picture_of,
    png_of,
)
from training.network import DETAIL_BITS as TRAINED_DETAIL_BITS
from training.network import SHAPES, Backbone, HashNetwork, Shape, detail_head, hash_head

Pixels = NDArray[np.uint8]
SHIPPED = Path("torchscripts_models/relahash-general-64bits.pt")

CARD = ModelCard(name="fake", bits=BITS, preprocessing=PREPROCESSING)
COLOUR_CARD = ModelCard(
    name="colours", bits=BITS, detail_bits=DETAIL_BITS, classes=tuple(CLASSES), preprocessing=PREPROCESSING
)
CODES = (0x0000, 0x8001, 0x1234, 0xFFFF, 0x0F0F)
DETAILS = (0x00000000, 0x80000001, 0x89ABCDEF, 0x0000FFFF, 0xF0F00F0F)


class FirstPixels(nn.Module):
    """(n, 3, size, size) → (n, outputs): the brightness of the first pixels of the red channel."""

    def __init__(self, outputs: int = BITS) -> None:
        super().__init__()
        self.width = outputs

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, : self.width]


def written(module: nn.Module, path: Path, card: ModelCard | None = None) -> Path:
    script = torch.jit.script(module.eval())
    if card:
        save_model(script, card, path)
    else:
        torch.jit.save(script, str(path))
    return path


def pictures(*codes: int) -> Pixels:
    return np.stack([np.asarray(picture_of(code)) for code in codes])


def as_ints(codes: Pixels) -> list[int]:
    return [int.from_bytes(code.tobytes(), "big") for code in codes]


class TestCodes:
    def test_a_code_is_the_signs_with_the_first_bit_most_significant(self, grid: TorchScriptEmbedder) -> None:
        assert grid.embed(pictures(0x8000))["code"].tolist() == [[0x80, 0x00]]
        assert grid.embed(pictures(0x0001))["code"].tolist() == [[0x00, 0x01]]

    @settings(deadline=None, max_examples=50)
    @given(codes=st.lists(st.integers(0, 0xFFFF), min_size=1, max_size=40))
    def test_a_batch_has_one_code_a_picture_in_order(self, grid: TorchScriptEmbedder, codes: list[int]) -> None:
        assert as_ints(grid.embed(pictures(*codes))["code"]) == codes

    def test_codes_are_packed_bytes(self, grid: TorchScriptEmbedder) -> None:
        codes = grid.embed(pictures(*CODES))["code"]
        assert codes.shape == (len(CODES), BITS // 8) and codes.dtype == np.uint8
        assert [code.tobytes() for code in codes] == [code_bytes(code) for code in CODES]

    def test_no_picture_has_no_code(self, grid: TorchScriptEmbedder) -> None:
        codes = grid.embed(np.empty((0, 16, 16, 3), np.uint8))["code"]
        assert codes.shape == (0, BITS // 8) and codes.dtype == np.uint8

    def test_the_bytes_of_a_file_become_its_code(self, grid: TorchScriptEmbedder) -> None:
        picture = decode(png_of(0x8001), grid.card.preprocessing)
        assert as_ints(grid.embed(picture[None])["code"]) == [0x8001]

    def test_pictures_may_lie_anyhow_in_memory(self, grid: TorchScriptEmbedder) -> None:
        batch = pictures(*CODES)
        assert as_ints(grid.embed(batch[::2])["code"]) == list(CODES[::2])
        planes = np.ascontiguousarray(batch.transpose(0, 3, 1, 2))
        assert as_ints(grid.embed(planes.transpose(0, 2, 3, 1))["code"]) == list(CODES)

    def test_pictures_may_lie_backwards_in_memory(self, grid: TorchScriptEmbedder) -> None:
        assert as_ints(grid.embed(pictures(*CODES)[::-1])["code"]) == list(CODES[::-1])

    def test_pictures_are_left_as_they_were(self, grid: TorchScriptEmbedder) -> None:
        batch = pictures(*CODES)
        grid.embed(batch)
        assert np.array_equal(batch, pictures(*CODES))

    @pytest.mark.parametrize("count", [1, 2, 5])
    def test_only_above_zero_is_one(self, count: int, tmp_path: Path) -> None:
        class Fixed(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.fixed = torch.tensor([[3.0, 0.0, -0.0, -3.0, 1e-30, -1e-30, 0.0, 0.5]])

            def forward(self, x: Tensor) -> Tensor:
                return self.fixed.expand(x.shape[0], -1)

        model = TorchScriptEmbedder.load(written(Fixed(), tmp_path / "fixed.pt", CARD.model_copy(update={"bits": 8})))
        assert as_ints(model.embed(pictures(*[0] * count))["code"]) == [0b1000_1001] * count

    def test_outputs_that_are_all_zero_are_all_zeros(self, tmp_path: Path) -> None:
        class Zero(nn.Module):
            def forward(self, x: Tensor) -> Tensor:
                return torch.zeros(x.shape[0], 16)

        model = TorchScriptEmbedder.load(written(Zero(), tmp_path / "zero.pt", CARD))
        assert as_ints(model.embed(pictures(*CODES))["code"]) == [0] * len(CODES)

    def test_pixels_are_normalised_by_the_card(self, tmp_path: Path) -> None:
        # Red 128 is 0.502 of white: above a mean of 0.5, below one of 0.505, whatever the deviation.
        for mean, bit in ((0.5, 1), (0.505, 0)):
            card = CARD.model_copy(
                update={"preprocessing": Preprocessing(image_size=16, mean=(mean, 0, 0), std=(7.0, 1, 1))}
            )
            model = TorchScriptEmbedder.load(written(FirstPixels(), tmp_path / "net.pt", card))
            assert as_ints(model.embed(np.full((1, 16, 16, 3), 128, np.uint8))["code"]) == [0xFFFF * bit]


def pairs() -> Pixels:
    """A picture for each of CODES, coloured by its place in DETAILS."""
    return np.stack([np.asarray(picture_of(code, detail=each)) for code, each in zip(CODES, DETAILS, strict=True)])


def assert_pairs(model: TorchScriptEmbedder) -> None:
    found = model.embed(pairs())
    assert found.get("detail") is not None
    assert (as_ints(found["code"]), as_ints(found.get("detail"))) == (list(CODES), list(DETAILS))


class TestDetailCodes:
    """The second code of a picture, beside its first."""

    def test_they_are_the_signs_of_the_second_outputs(self, colours: TorchScriptEmbedder) -> None:
        assert_pairs(colours)

    def test_they_are_packed_bytes(self, colours: TorchScriptEmbedder) -> None:
        details = colours.embed(pairs()).get("detail")
        assert details is not None
        assert details.shape == (len(CODES), DETAIL_BITS // 8) and details.dtype == np.uint8
        assert [each.tobytes() for each in details] == [detail_bytes(each) for each in DETAILS]

    def test_a_model_without_them_gives_none(self, grid: TorchScriptEmbedder) -> None:
        assert grid.embed(pictures(*CODES)).get("detail") is None
        assert grid.embed(np.empty((0, 16, 16, 3), np.uint8)).get("detail") is None

    def test_no_picture_has_none_of_either(self, colours: TorchScriptEmbedder) -> None:
        found = colours.embed(np.empty((0, 16, 16, 3), np.uint8))
        assert found.get("detail") is not None
        assert (found["code"].shape, found.get("detail").shape) == ((0, BITS // 8), (0, DETAIL_BITS // 8))

    def test_a_picture_has_the_same_two_alone(self, colours: TorchScriptEmbedder) -> None:
        for number, (code, detail) in enumerate(zip(CODES, DETAILS, strict=True)):
            found = colours.embed(pairs()[number : number + 1])
            assert found.get("detail") is not None
            assert (as_ints(found["code"]), as_ints(found.get("detail"))) == ([code], [detail])

    def test_of_a_module_that_was_saved_frozen(self, tmp_path: Path) -> None:
        frozen = torch.jit.freeze(torch.jit.script(ColourGrid().eval()), ["outputs", "centroids"])
        save_model(frozen, COLOUR_CARD, tmp_path / "frozen.pt")
        model = TorchScriptEmbedder.load(tmp_path / "frozen.pt")
        assert_pairs(model)
        assert model.embed_text(["shirt"])["code"][0].tobytes() == b"\xff\x00"

    def test_of_a_module_that_was_loaded_and_saved_again(self, colours_path: Path, tmp_path: Path) -> None:
        save_model(torch.jit.load(str(colours_path)), COLOUR_CARD, tmp_path / "again.pt")  # type: ignore[no-untyped-call]
        assert_pairs(TorchScriptEmbedder.load(tmp_path / "again.pt"))

    def test_outputs_that_the_card_does_not_speak_of_are_left_alone(self, tmp_path: Path) -> None:
        model = TorchScriptEmbedder.load(written(ColourGrid(), tmp_path / "net.pt", CARD))
        found = model.embed(pairs())
        assert (as_ints(found["code"]), found.get("detail")) == (list(CODES), None)

    def test_a_card_of_detail_bits_with_a_model_without_outputs(self, tmp_path: Path) -> None:
        path = written(Grid(), tmp_path / "net.pt", CARD.model_copy(update={"detail_bits": DETAIL_BITS}))
        with pytest.raises(
            ModelError, match="the card of fake names 32 detail bits, and the model has no method outputs"
        ):
            TorchScriptEmbedder.load(path)

    def test_a_module_that_was_saved_frozen_without_them_has_lost_its_outputs(self, tmp_path: Path) -> None:
        frozen = torch.jit.freeze(torch.jit.script(ColourGrid().eval()))
        save_model(frozen, COLOUR_CARD.model_copy(update={"classes": ()}), tmp_path / "frozen.pt")
        with pytest.raises(ModelError, match="the model has no method outputs"):
            TorchScriptEmbedder.load(tmp_path / "frozen.pt")

    @pytest.mark.parametrize("given", ["one tensor", "three", "swapped", "too few details", "other counts", "no batch"])
    def test_outputs_that_are_not_the_two_of_the_card(self, given: str, tmp_path: Path) -> None:
        modules: dict[str, nn.Module] = {
            "one tensor": _OneTensor(),
            "three": _Three(),
            "swapped": _Swapped(),
            "too few details": _Narrow(),
            "other counts": _OtherCounts(),
            "no batch": _NoBatch(),
        }
        path = written(modules[given], tmp_path / "net.pt", COLOUR_CARD.model_copy(update={"classes": ()}))
        with pytest.raises(ModelError, match=r"net\.pt (cannot hash a 16×16 picture: |answers outputs of shape)"):
            TorchScriptEmbedder.load(path)


class _OneTensor(Grid):
    @torch.jit.export
    def outputs(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, :48]


class _Three(Grid):
    @torch.jit.export
    def outputs(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        flat = x.flatten(1)
        return flat[:, :16], flat[:, :32], flat


class _Swapped(Grid):
    @torch.jit.export
    def outputs(self, x: Tensor) -> tuple[Tensor, Tensor]:
        flat = x.flatten(1)
        return flat[:, :32], flat[:, :16]


class _Narrow(Grid):
    @torch.jit.export
    def outputs(self, x: Tensor) -> tuple[Tensor, Tensor]:
        flat = x.flatten(1)
        return flat[:, :16], flat[:, :24]


class _OtherCounts(Grid):
    @torch.jit.export
    def outputs(self, x: Tensor) -> tuple[Tensor, Tensor]:
        flat = x.flatten(1)
        return flat[:, :16], flat[:1, :32]


class _NoBatch(Grid):
    @torch.jit.export
    def outputs(self, x: Tensor) -> tuple[Tensor, Tensor]:
        flat = x.flatten(1)
        return flat[0, :16], flat[0, :32]


class TestClasses:
    """The codes that pictures of a class were trained towards, by the class's name."""

    @pytest.mark.parametrize(
        ("name", "code"),
        [("Shirt", 0xFF00), ("shirt", 0xFF00), (" SHIRT\n", 0xFF00), ("robe d'été", 0x00FF), ("Robe D'ÉTÉ", 0x00FF)],
    )
    def test_a_class_has_the_code_of_its_centroid(self, colours: TorchScriptEmbedder, name: str, code: int) -> None:
        found = colours.embed_text([name])["code"][0]
        assert found.dtype == np.uint8 and found.shape == (BITS // 8,)
        assert found.tobytes() == code_bytes(code)

    @pytest.mark.parametrize("name", ["trousers", "", "shirts", "shir"])
    def test_a_name_that_is_none_is_told_those_that_are(self, colours: TorchScriptEmbedder, name: str) -> None:
        with pytest.raises(UnknownText) as caught:
            colours.embed_text([name])["code"][0]
        assert str(caught.value) == f"{name!r} is no class of the model; it knows Shirt, robe d'été"

    def test_a_long_name_is_cut_in_the_message(self, colours: TorchScriptEmbedder) -> None:
        with pytest.raises(UnknownText, match=r"^'x{60}' is no class"):
            colours.embed_text(["x" * 100_000])["code"][0]

    def test_a_model_without_classes_says_so(self, grid: TorchScriptEmbedder) -> None:
        with pytest.raises(UnknownText, match="'shirt' is no class of the model; it knows no classes by name"):
            grid.embed_text(["shirt"])["code"][0]

    def test_spaces_around_a_name_of_the_card_do_not_count(self, tmp_path: Path) -> None:
        card = COLOUR_CARD.model_copy(update={"classes": (" A ", "B")})
        assert as_ints(
            TorchScriptEmbedder.load(written(ColourGrid(), tmp_path / "net.pt", card)).embed_text(["a"])["code"][0][
                None
            ]
        ) == [0xFF00]

    def test_a_card_of_classes_with_a_model_without_centroids(self, tmp_path: Path) -> None:
        path = written(Grid(), tmp_path / "net.pt", CARD.model_copy(update={"classes": ("a", "b", "c")}))
        with pytest.raises(
            ModelError, match="the card of fake names 3 classes, and the model has no centroids for them"
        ):
            TorchScriptEmbedder.load(path)

    @pytest.mark.parametrize("classes", [("a",), ("a", "b", "c")], ids=["fewer", "more"])
    def test_a_card_of_another_number_of_classes(self, classes: tuple[str, ...], tmp_path: Path) -> None:
        path = written(ColourGrid(), tmp_path / "net.pt", COLOUR_CARD.model_copy(update={"classes": classes}))
        with pytest.raises(ModelError, match=f"names {len(classes)} classes, and the model has no centroids for them"):
            TorchScriptEmbedder.load(path)

    @pytest.mark.parametrize("shape", [(2, 8), (2, 24), (2,), (2, 16, 1)], ids=str)
    def test_centroids_of_another_width(self, shape: tuple[int, ...], tmp_path: Path) -> None:
        net = ColourGrid()
        net.centroids = torch.ones(shape)
        with pytest.raises(ModelError, match="no centroids for them"):
            TorchScriptEmbedder.load(written(net, tmp_path / "net.pt", COLOUR_CARD))

    def test_centroids_that_were_trained_are_as_good(self, tmp_path: Path) -> None:
        class Trained(Grid):
            def __init__(self) -> None:
                super().__init__()
                self.centroids = nn.Parameter(torch.tensor([[1.0, -1.0] * 8]))

        card = CARD.model_copy(update={"classes": ("striped",)})
        model = TorchScriptEmbedder.load(written(Trained(), tmp_path / "net.pt", card))
        assert as_ints(model.embed_text(["striped"])["code"][0][None]) == [0xAAAA]

    def test_a_model_of_classes_needs_no_detail_codes(self, tmp_path: Path) -> None:
        card = COLOUR_CARD.model_copy(update={"detail_bits": None})
        model = TorchScriptEmbedder.load(written(ColourGrid(), tmp_path / "net.pt", card))
        assert model.embed(pairs()).get("detail") is None
        assert as_ints(model.embed_text(["shirt"])["code"][0][None]) == [0xFF00]


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def noise(count: int, size: int) -> Pixels:
    return np.random.default_rng(7).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def codes_in_batches(model: TorchScriptEmbedder, batch: Pixels, size: int) -> Pixels:
    """Codes, and detail codes beside them, of ``batch`` in parts of ``size`` pictures."""
    parts = [model.embed(batch[start : start + size]) for start in range(0, len(batch), size)]
    return np.concatenate(
        [np.hstack([part["code"], *([] if part.get("detail") is None else [part.get("detail")])]) for part in parts]
    )


class Shifted(nn.Module):
    """``net`` less its own outputs for one picture, in the bits of ``shifted``."""

    def __init__(self, net: nn.Module, picture: Tensor, shifted: slice) -> None:
        super().__init__()
        self.net = net
        with torch.no_grad():
            own = torch.cat(net.outputs(picture), 1)[0]
        self.offset = nn.Parameter(torch.zeros_like(own))
        self.offset.data[shifted] = own[shifted]

    def forward(self, x: Tensor) -> Tensor:
        return self.outputs(x)[0]

    @torch.jit.export
    def outputs(self, x: Tensor) -> tuple[Tensor, Tensor]:
        codes, details = self.net.outputs(x)
        return codes - self.offset[:64], details - self.offset[64:]


class Company(nn.Module):
    """Answers 7e-5 more of its own scale in company than alone: all else being equal, the sign changes.

    Codes are of ``scale``, detail codes of 1.
    """

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        return self.outputs(x)[0]

    @torch.jit.export
    def outputs(self, x: Tensor) -> tuple[Tensor, Tensor]:
        some = x.flatten(1)[:, :48] * 0 + 1
        some[:, 0] = -1e-5 if x.shape[0] == 1 else 6e-5
        some[:, 16] = -1e-5 if x.shape[0] == 1 else 6e-5
        return some[:, :16] * self.scale, some[:, 16:]


@pytest.mark.usefixtures("threads")
class TestBatches:
    """A picture's codes are the same whatever batch it came in, and however many threads computed it."""

    CARD = ModelCard(
        name="random", bits=64, detail_bits=TRAINED_DETAIL_BITS,
        preprocessing=Preprocessing(image_size=64, mean=(0.5,) * 3, std=(0.25,) * 3),
    )  # fmt: skip

    #: Convolutions enough for outputs that differ by the batch, in a third of the time to compile of the small network.
    SHALLOW = Shape((24,), ((32, 1, 2), (64, 1, 2)), 32)

    @staticmethod
    def network(shape: Shape = SHAPES["small"]) -> HashNetwork:
        torch.manual_seed(0)
        backbone = Backbone(shape)
        heads = hash_head(backbone.channels, 64), detail_head(backbone.level_channels)
        network = HashNetwork(backbone, *heads, centroids=torch.ones(1, 64)).eval()
        assert isinstance(network, HashNetwork)
        return network

    def assert_codes_hold(self, model: TorchScriptEmbedder, batch: Pixels) -> None:
        alone = codes_in_batches(model, batch, 1)
        assert alone.shape == (len(batch), 8 + TRAINED_DETAIL_BITS // 8)
        for code in (alone[:, :8], alone[:, 8:]):
            assert len(np.unique(code, axis=0)) > len(batch) // 2, "codes that are all alike would prove nothing"
        for threads in (1, 2):
            torch.set_num_threads(threads)
            for size in (1, 2, 5, 33):
                assert np.array_equal(codes_in_batches(model, batch, size), alone), (threads, size)

    def test_of_the_network_that_is_shipped(self, tmp_path: Path) -> None:
        model = TorchScriptEmbedder.load(written(self.network(), tmp_path / "net.pt", self.CARD))
        self.assert_codes_hold(model, noise(33, 64))

    @pytest.mark.parametrize(
        "shifted",
        [slice(8), slice(32), slice(64), slice(64, 320), slice(60, 68)],
        ids=["8 bits", "32 bits", "the code", "the detail code", "some of both"],
    )
    def test_of_a_picture_whose_outputs_are_rounding_noise(self, shifted: slice, tmp_path: Path) -> None:
        batch = noise(33, 64)
        picture = (torch.from_numpy(batch[20:21]).permute(0, 3, 1, 2) / 255 - 0.5) / 0.25
        model = TorchScriptEmbedder.load(
            written(Shifted(self.network(self.SHALLOW), picture, shifted), tmp_path / "net.pt", self.CARD)
        )
        self.assert_codes_hold(model, batch)

    @pytest.mark.parametrize("scale", [1.0, 1e-3, 1e3])
    def test_each_code_has_a_tie_band_of_its_own_scale(self, scale: float, tmp_path: Path) -> None:
        path = written(Company(scale), tmp_path / "net.pt", COLOUR_CARD.model_copy(update={"classes": ()}))
        found = TorchScriptEmbedder.load(path).embed(pictures(*CODES))
        assert found.get("detail") is not None
        assert as_ints(found["code"]) == [0x7FFF] * len(CODES)
        assert as_ints(found.get("detail")) == [0x7FFFFFFF] * len(CODES)

    def test_in_another_order(self, tmp_path: Path) -> None:
        model = TorchScriptEmbedder.load(written(self.network(), tmp_path / "net.pt", self.CARD))
        batch = noise(17, 64)
        assert np.array_equal(codes_in_batches(model, batch[::-1].copy(), 17)[::-1], codes_in_batches(model, batch, 17))

    def test_of_a_model_loaded_again(self, tmp_path: Path) -> None:
        path = written(self.network(), tmp_path / "net.pt", self.CARD)
        batch = noise(5, 64)
        first, second = (codes_in_batches(TorchScriptEmbedder.load(path), batch, 5) for _ in range(2))
        assert np.array_equal(first, second)

    def test_asked_for_by_several_threads_at_once(self, tmp_path: Path) -> None:
        path = written(self.network(), tmp_path / "net.pt", self.CARD)
        batch = noise(32, 64)
        alone, fresh = codes_in_batches(TorchScriptEmbedder.load(path), batch, 1), TorchScriptEmbedder.load(path)
        with ThreadPool(4) as pool:
            parts = pool.map(lambda part: codes_in_batches(fresh, part, len(part)), np.split(batch, 8))
        assert np.array_equal(np.concatenate(parts), alone)

    def test_asked_for_by_several_threads_before_any_size_was_compiled(self) -> None:
        model = TorchScriptEmbedder.load(SHIPPED)
        batch = noise(16, model.card.preprocessing.image_size)
        barrier = Barrier(5)

        def embed(size: int) -> Pixels:
            barrier.wait()
            return model.embed(batch[:size])["code"]

        with ThreadPool(5) as pool:
            found = pool.map(embed, (16, 8, 4, 2, 1), chunksize=1)
        assert all(np.array_equal(codes, found[0][: len(codes)]) for codes in found)


class TestFullBatches:
    """What a GPU is given, here computed by the CPU: pictures beside a picture, or none, are no part of its code."""

    @pytest.mark.parametrize("count", [1, 2, 3, 15, 16, 17, 33])
    def test_codes_are_the_same(
        self, count: int, colours: TorchScriptEmbedder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        codes = [number * 1291 for number in range(count)]
        batch = np.stack([np.asarray(picture_of(code, detail=code * 9)) for code in codes])
        expected = colours.embed(batch)
        monkeypatch.setattr(colours, "_full_batches", True)
        shapes = []
        module = colours._module

        class Watched:
            def outputs(self, x: Tensor) -> object:
                shapes.append((tuple(x.shape), x.is_contiguous(memory_format=torch.channels_last)))
                return module.outputs(x)

        monkeypatch.setattr(colours, "_module", Watched())
        found = colours.embed(batch)
        assert np.array_equal(found["code"], expected["code"])
        assert found.get("detail") is not None and expected.get("detail") is not None
        assert np.array_equal(found.get("detail"), expected.get("detail"))
        assert set(shapes) == {((16, 3, 16, 16), True)}
        assert len(shapes) == -(-count // 16), "none of them is close to zero"


class TestPrecision:
    def test_half_precision_is_computed_and_told(self, grid_path: Path) -> None:
        module = torch.jit.load(str(grid_path)).eval()
        card = ModelCard(name="grid", bits=BITS, preprocessing=PREPROCESSING)
        model = TorchScriptEmbedder(module, card, "0" * 64, torch.device("cpu"), "float16")
        assert model.identity.precision == "float16"
        assert as_ints(model.embed(pictures(*CODES))["code"]) == list(CODES)

    def test_a_gpu_s_is_the_card_s_unless_the_weights_are_fixed(self, grid_path: Path) -> None:
        card = ModelCard(name="grid", bits=BITS, preprocessing=PREPROCESSING)
        module = torch.jit.load(str(grid_path)).eval()
        gpu = torch.device("cuda", 0)
        assert _precision(module, card, gpu) == "float16"
        assert _precision(module, card.model_copy(update={"cuda_precision": "float32"}), gpu) == "float32"
        assert _precision(module, card, torch.device("cpu")) == "float32"
        assert _precision(torch.jit.freeze(module), card, gpu) == "float32"


class TestIdentity:
    def test_the_sha256_is_the_file_s(self, grid: TorchScriptEmbedder, grid_path: Path) -> None:
        assert grid.sha256 == hashlib.sha256(grid_path.read_bytes()).hexdigest()

    def test_it_tells_all_that_decides_a_code(self, grid: TorchScriptEmbedder) -> None:
        assert json.loads(grid.identity.model_dump_json()) == {
            "name": "grid",
            "sha256": grid.sha256,
            "bits": BITS,
            "detail_bits": None,
            "spaces": [{"name": "code", "kind": "binary", "width": BITS, "metric": "hamming"}],
            "precision": "float32",
            "text": False,
            "preprocessing": PREPROCESSING.model_dump(mode="json"),
            "decoder": decoder(),
        }

    def test_it_tells_how_wide_the_detail_codes_are(self, colours: TorchScriptEmbedder) -> None:
        assert (colours.identity.bits, colours.identity.detail_bits) == (BITS, DETAIL_BITS)

    def test_another_preparation_is_another_identity(self, tmp_path: Path) -> None:
        path = written(FirstPixels(), tmp_path / "net.pt")
        small, large = (TorchScriptEmbedder.load(path, image_size=size).identity for size in (16, 32))
        assert small.sha256 == large.sha256 and small != large


class TestFiles:
    def test_a_path_may_have_spaces_quotes_and_umlauts(self, tmp_path: Path) -> None:
        path = written(Grid(), tmp_path / "größe 'x' 模型.pt", CARD)
        assert as_ints(TorchScriptEmbedder.load(path).embed(pictures(*CODES))["code"]) == list(CODES)

    def test_a_frozen_module_loads(self, tmp_path: Path) -> None:
        frozen = torch.jit.freeze(torch.jit.script(Grid().eval()))
        save_model(frozen, CARD, tmp_path / "frozen.pt")
        assert as_ints(TorchScriptEmbedder.load(tmp_path / "frozen.pt").embed(pictures(*CODES))["code"]) == list(CODES)

    def test_a_traced_module_loads(self, tmp_path: Path) -> None:
        traced = torch.jit.trace(Grid().eval(), torch.zeros(1, 3, 16, 16))  # type: ignore[no-untyped-call]
        save_model(traced, CARD, tmp_path / "traced.pt")
        assert as_ints(TorchScriptEmbedder.load(tmp_path / "traced.pt").embed(pictures(*CODES))["code"]) == list(CODES)

    def test_a_module_saved_while_training_answers_as_in_eval_mode(self, tmp_path: Path) -> None:
        class Careless(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.grid = Grid()
                self.dropout = nn.Dropout(0.99)

            def forward(self, x: Tensor) -> Tensor:
                outputs: Tensor = self.dropout(self.grid(x))
                return outputs

        save_model(torch.jit.script(Careless().train()), CARD, tmp_path / "careless.pt")
        assert as_ints(TorchScriptEmbedder.load(tmp_path / "careless.pt").embed(pictures(*CODES))["code"]) == list(
            CODES
        )

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(ModelError, match=r"missing\.pt cannot be read: No such file"):
            TorchScriptEmbedder.load(tmp_path / "missing.pt")

    def test_a_folder_is_no_model(self, tmp_path: Path) -> None:
        with pytest.raises(ModelError, match="cannot be read: Is a directory"):
            TorchScriptEmbedder.load(tmp_path)

    @pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04" + bytes(100)])
    def test_bytes_that_are_no_torchscript(self, content: bytes, tmp_path: Path) -> None:
        (tmp_path / "net.pt").write_bytes(content)
        with pytest.raises(ModelError, match=r"net\.pt is not a TorchScript model"):
            TorchScriptEmbedder.load(tmp_path / "net.pt")

    @pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
    def test_a_file_cut_short(self, share: float, grid_path: Path, tmp_path: Path) -> None:
        data = grid_path.read_bytes()
        (tmp_path / "net.pt").write_bytes(data[: int(share * len(data))])
        with pytest.raises(ModelError, match=r"net\.pt is not a TorchScript model"):
            TorchScriptEmbedder.load(tmp_path / "net.pt")

    def test_weights_alone_are_no_model(self, tmp_path: Path) -> None:
        torch.save(nn.Linear(8, 8).state_dict(), tmp_path / "weights.pt")
        with pytest.raises(ModelError, match=r"weights\.pt is not a TorchScript model"):
            TorchScriptEmbedder.load(tmp_path / "weights.pt")


class TestWithCard:
    def test_the_card_of_the_file_counts_more_than_a_given_one(self, grid_path: Path) -> None:
        given = CARD.model_copy(update={"name": "given"})
        assert TorchScriptEmbedder.load(grid_path, card=given).card.name == "grid"

    def test_a_given_card_serves_a_file_without(self, tmp_path: Path) -> None:
        model = TorchScriptEmbedder.load(written(Grid(), tmp_path / "net.pt"), card=CARD)
        assert model.card == CARD
        assert as_ints(model.embed(pictures(*CODES))["code"]) == list(CODES)

    def test_the_same_image_size_may_be_said_again(self, grid_path: Path) -> None:
        assert TorchScriptEmbedder.load(grid_path, image_size=16).card.name == "grid"

    def test_another_image_size_than_the_card_s_is_not_used(
        self, grid_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert TorchScriptEmbedder.load(grid_path, image_size=32).card.preprocessing.image_size == 16
        assert caplog.messages == ["--image_size 32 is not used: the card of grid.pt says 16"]

    @pytest.mark.parametrize("text", ["{}", "not JSON", "\N{SNOWMAN}"])
    def test_a_bad_card_is_refused_by_the_file_s_name(self, text: str, tmp_path: Path) -> None:
        script = torch.jit.script(Grid().eval())
        torch.jit.save(script, str(tmp_path / "net.pt"), _extra_files={CARD_FILE: text})
        with pytest.raises(ModelError, match=r"net\.pt has a model card that cannot be used"):
            TorchScriptEmbedder.load(tmp_path / "net.pt")

    @pytest.mark.parametrize("outputs", [8, 24])
    def test_a_card_with_another_width_than_the_model(self, outputs: int, tmp_path: Path) -> None:
        path = written(FirstPixels(outputs), tmp_path / "net.pt", CARD)
        with pytest.raises(ModelError, match=rf"net\.pt answers .*{outputs}.*; its card says 16 bits"):
            TorchScriptEmbedder.load(path)


class TestWithoutCard:
    @pytest.mark.parametrize("bits", [8, 64, 1024])
    def test_a_probe_tells_the_width(self, bits: int, tmp_path: Path) -> None:
        model = TorchScriptEmbedder.load(written(FirstPixels(bits), tmp_path / "net.pt"), image_size=32)
        assert (model.card.name, model.card.bits) == ("net", bits)
        assert model.embed(np.full((1, 32, 32, 3), 255, np.uint8))["code"].tolist() == [[0xFF] * (bits // 8)]

    @pytest.mark.parametrize(("name", "size"), [("net-small.pt", 224), ("net-medium.pt", 300), ("net-large.pt", 600)])
    def test_the_name_tells_the_size(self, name: str, size: int, tmp_path: Path) -> None:
        model = TorchScriptEmbedder.load(written(FirstPixels(), tmp_path / name))
        assert model.card.preprocessing == Preprocessing(image_size=size)

    def test_a_name_that_tells_no_size(self, tmp_path: Path) -> None:
        with pytest.raises(ModelError, match=r"net\.pt has no model card, .*give its input size with --image_size"):
            TorchScriptEmbedder.load(written(FirstPixels(), tmp_path / "net.pt"))

    @pytest.mark.parametrize("outputs", [1, 12, 1032])
    def test_a_width_that_codes_cannot_have(self, outputs: int, tmp_path: Path) -> None:
        path = written(FirstPixels(outputs), tmp_path / "net.pt")
        with pytest.raises(ModelError, match=f"net.pt answers {outputs} outputs a picture; .*multiple of 8"):
            TorchScriptEmbedder.load(path, image_size=32)


class Pair(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x.flatten(1)[:, :16], x


class Named(nn.Module):
    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"code": x.flatten(1)[:, :16]}


class Planes(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, :4, :4]


class Squeezed(nn.Module):
    """Forgets that there is a batch: (bits,) for a single picture."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, :16].squeeze(0)


class FirstOnly(nn.Module):
    """Answers the first picture of a batch only, as a module traced with a fixed batch of one may do."""

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(-1)[:16].reshape(1, 16)


class TwoInputs(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return (x + y).flatten(1)[:, :16]


class NoForward(nn.Module):
    @torch.jit.export
    def encode(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, :16]


class Strict(nn.Module):
    """Wants another size than the one that it is asked with, and says so."""

    def forward(self, x: Tensor) -> Tensor:
        assert x.shape[2] == 224, "this net wants 224"
        return x.flatten(1)[:, :16]


class Linear(nn.Module):
    """Wants another size than the one that it is asked with, and fails on it."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3 * 224 * 224, 16)

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.linear(x.flatten(1))
        return outputs


class TestUnfitModels:
    """A module that cannot give a code a picture is refused when it is loaded, with or without a card."""

    @pytest.mark.parametrize("with_card", [True, False], ids=["card", "no card"])
    @pytest.mark.parametrize(
        "module",
        [Pair, Named, Planes, Squeezed, FirstOnly, TwoInputs, NoForward, Strict, Linear],
        ids=lambda m: m.__name__,
    )
    def test_it_is_refused_by_name(self, module: type[nn.Module], with_card: bool, tmp_path: Path) -> None:
        path = written(module(), tmp_path / "net.pt", CARD if with_card else None)
        with pytest.raises(ModelError, match=r"net\.pt "):
            TorchScriptEmbedder.load(path, image_size=16)


class TestDevices:
    @pytest.mark.parametrize(
        "device", ["tpu", "", "gpu", "mps", "meta", "cuda:x", "cuda:", "cuda:-1", "cuda:99999", "CUDA", "cuda:٣"]
    )
    def test_a_name_that_is_no_device_of_ours(self, device: str, grid_path: Path) -> None:
        with pytest.raises(ModelError, match=f"{device!r} is no device; use cpu, cuda or cuda:0"):
            TorchScriptEmbedder.load(grid_path, device)

    @pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
    @pytest.mark.parametrize("device", ["cuda", "cuda:0"])
    def test_without_a_gpu_the_cpu_is_used_and_a_line_says_so(
        self, device: str, grid_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        model = TorchScriptEmbedder.load(grid_path, device)
        assert (model.device.type, model.precision) == ("cpu", "float32")
        (record,) = caplog.records
        assert (record.levelname, record.getMessage()) == (
            "WARNING",
            f"device {device} was asked for, and PyTorch sees no GPU here: computing on the CPU",
        )
        assert as_ints(model.embed(pictures(*CODES))["code"]) == list(CODES)

    @pytest.mark.parametrize("device", ["cuda:2", "cuda:99", "cuda:256", "cuda:1000"])  # PyTorch takes 256 for 0
    def test_a_gpu_beyond_those_there_are(self, device: str, grid_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
        with pytest.raises(ModelError, match=f"device {device} was asked for, and there are only 2 GPUs"):
            TorchScriptEmbedder.load(grid_path, device)

    @pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
    def test_a_gpu_that_computes_nothing(
        self, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: object, **__: object) -> Tensor:
            raise RuntimeError("CUDA error: no kernel image is available for execution on the device\nmore")

        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
        monkeypatch.setattr(torch, "ones", fail)
        assert find_device("cuda").type == "cpu"
        assert caplog.messages == [
            "device cuda cannot be used (CUDA error: no kernel image is available for execution on the device): "
            "computing on the CPU"
        ]

    @pytest.mark.parametrize(
        ("gpu", "count", "device"),
        [(None, 4, "cpu"), (0, 1, "cuda:0"), (3, 4, "cuda:3"), (3, 2, "cuda:1"), (3, 0, "cuda:0")],
    )
    def test_workers_take_turns_on_the_gpus_that_are_visible(
        self, gpu: int | None, count: int, device: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        assert worker_device(gpu) == device

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU")
    def test_a_gpu_gives_the_same_codes(self, grid_path: Path) -> None:
        assert as_ints(TorchScriptEmbedder.load(grid_path, "cuda:0").embed(pictures(*CODES))["code"]) == list(CODES)

    def test_a_missing_model_on_a_missing_device_names_the_device(self, tmp_path: Path) -> None:
        with pytest.raises(ModelError, match="tpu"):
            TorchScriptEmbedder.load(tmp_path / "missing.pt", "tpu")
