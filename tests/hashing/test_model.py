"""A model gives codes that a reader computes by hand, the same in every batch; an unfit file is a ModelError."""

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from hashing.card import CARD_FILE, ModelCard, Preprocessing
from hashing.errors import ModelError
from hashing.model import HashModel, save_model
from hashing.picture import decode
from tests.fakes import BITS, PREPROCESSING, Grid, code_bytes, picture_of, png_of
from training.network import HashNetwork

Pixels = NDArray[np.uint8]

CARD = ModelCard(name="fake", bits=BITS, preprocessing=PREPROCESSING)
CODES = (0x0000, 0x8001, 0x1234, 0xFFFF, 0x0F0F)


class FirstPixels(nn.Module):
    """(n, 3, size, size) → (n, outputs): the brightness of the first pixels of the red channel."""

    def __init__(self, outputs: int = BITS) -> None:
        super().__init__()
        self.outputs = outputs

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, : self.outputs]


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
    def test_a_code_is_the_signs_with_the_first_bit_most_significant(self, grid: HashModel) -> None:
        assert grid.codes(pictures(0x8000)).tolist() == [[0x80, 0x00]]
        assert grid.codes(pictures(0x0001)).tolist() == [[0x00, 0x01]]

    @settings(deadline=None, max_examples=50)
    @given(codes=st.lists(st.integers(0, 0xFFFF), min_size=1, max_size=40))
    def test_a_batch_has_one_code_a_picture_in_order(self, grid: HashModel, codes: list[int]) -> None:
        assert as_ints(grid.codes(pictures(*codes))) == codes

    def test_codes_are_packed_bytes(self, grid: HashModel) -> None:
        codes = grid.codes(pictures(*CODES))
        assert codes.shape == (len(CODES), BITS // 8) and codes.dtype == np.uint8
        assert [code.tobytes() for code in codes] == [code_bytes(code) for code in CODES]

    def test_no_picture_has_no_code(self, grid: HashModel) -> None:
        codes = grid.codes(np.empty((0, 16, 16, 3), np.uint8))
        assert codes.shape == (0, BITS // 8) and codes.dtype == np.uint8

    def test_the_bytes_of_a_file_become_its_code(self, grid: HashModel) -> None:
        picture = decode(png_of(0x8001), grid.card.preprocessing)
        assert as_ints(grid.codes(picture[None])) == [0x8001]

    def test_pictures_may_lie_anyhow_in_memory(self, grid: HashModel) -> None:
        batch = pictures(*CODES)
        assert as_ints(grid.codes(batch[::2])) == list(CODES[::2])
        planes = np.ascontiguousarray(batch.transpose(0, 3, 1, 2))
        assert as_ints(grid.codes(planes.transpose(0, 2, 3, 1))) == list(CODES)

    def test_pictures_may_lie_backwards_in_memory(self, grid: HashModel) -> None:
        assert as_ints(grid.codes(pictures(*CODES)[::-1])) == list(CODES[::-1])

    def test_pictures_are_left_as_they_were(self, grid: HashModel) -> None:
        batch = pictures(*CODES)
        grid.codes(batch)
        assert np.array_equal(batch, pictures(*CODES))

    @pytest.mark.parametrize("count", [1, 2, 5])
    def test_only_above_zero_is_one(self, count: int, tmp_path: Path) -> None:
        class Fixed(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.outputs = torch.tensor([[3.0, 0.0, -0.0, -3.0, 1e-30, -1e-30, 0.0, 0.5]])

            def forward(self, x: Tensor) -> Tensor:
                return self.outputs.expand(x.shape[0], -1)

        model = HashModel.load(written(Fixed(), tmp_path / "fixed.pt", CARD.model_copy(update={"bits": 8})))
        assert as_ints(model.codes(pictures(*[0] * count))) == [0b1000_1001] * count

    def test_outputs_that_are_all_zero_are_all_zeros(self, tmp_path: Path) -> None:
        class Zero(nn.Module):
            def forward(self, x: Tensor) -> Tensor:
                return torch.zeros(x.shape[0], 16)

        model = HashModel.load(written(Zero(), tmp_path / "zero.pt", CARD))
        assert as_ints(model.codes(pictures(*CODES))) == [0] * len(CODES)

    def test_pixels_are_normalised_by_the_card(self, tmp_path: Path) -> None:
        # Red 128 is 0.502 of white: above a mean of 0.5, below one of 0.505, whatever the deviation.
        for mean, bit in ((0.5, 1), (0.505, 0)):
            card = CARD.model_copy(
                update={"preprocessing": Preprocessing(image_size=16, mean=(mean, 0, 0), std=(7.0, 1, 1))}
            )
            model = HashModel.load(written(FirstPixels(), tmp_path / "net.pt", card))
            assert as_ints(model.codes(np.full((1, 16, 16, 3), 128, np.uint8))) == [0xFFFF * bit]


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def noise(count: int, size: int) -> Pixels:
    return np.random.default_rng(7).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def codes_in_batches(model: HashModel, batch: Pixels, size: int) -> Pixels:
    return np.concatenate([model.codes(batch[start : start + size]) for start in range(0, len(batch), size)])


class Shifted(nn.Module):
    """``net`` less its own outputs for one picture, in the first ``shifted`` of its bits."""

    def __init__(self, net: nn.Module, picture: Tensor, shifted: int) -> None:
        super().__init__()
        self.net = net
        with torch.no_grad():
            self.offset = nn.Parameter(net(picture)[0])
            self.offset[shifted:] = 0

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.net(x) - self.offset
        return outputs


@pytest.mark.usefixtures("threads")
class TestBatches:
    """A picture's code is the same whatever batch it came in, and however many threads computed it."""

    CARD = ModelCard(
        name="random", bits=64, preprocessing=Preprocessing(image_size=64, mean=(0.5,) * 3, std=(0.25,) * 3)
    )

    @staticmethod
    def network() -> HashNetwork:
        torch.manual_seed(0)
        network = HashNetwork(64).eval()
        assert isinstance(network, HashNetwork)
        return network

    def assert_codes_hold(self, model: HashModel, batch: Pixels) -> None:
        alone = codes_in_batches(model, batch, 1)
        assert len(np.unique(alone, axis=0)) > len(batch) // 2, "codes that are all alike would prove nothing"
        for threads in (1, 2):
            torch.set_num_threads(threads)
            for size in (1, 2, 5, 33):
                assert np.array_equal(codes_in_batches(model, batch, size), alone), (threads, size)

    def test_of_the_network_that_is_shipped(self, tmp_path: Path) -> None:
        model = HashModel.load(written(self.network(), tmp_path / "net.pt", self.CARD))
        self.assert_codes_hold(model, noise(33, 64))

    @pytest.mark.parametrize("shifted", [8, 32, 64])
    def test_of_a_picture_whose_outputs_are_rounding_noise(self, shifted: int, tmp_path: Path) -> None:
        batch = noise(33, 64)
        picture = (torch.from_numpy(batch[20:21]).permute(0, 3, 1, 2) / 255 - 0.5) / 0.25
        model = HashModel.load(written(Shifted(self.network(), picture, shifted), tmp_path / "net.pt", self.CARD))
        self.assert_codes_hold(model, batch)

    def test_in_another_order(self, tmp_path: Path) -> None:
        model = HashModel.load(written(self.network(), tmp_path / "net.pt", self.CARD))
        batch = noise(17, 64)
        assert np.array_equal(model.codes(batch[::-1].copy())[::-1], model.codes(batch))

    def test_of_a_model_loaded_again(self, tmp_path: Path) -> None:
        path = written(self.network(), tmp_path / "net.pt", self.CARD)
        batch = noise(5, 64)
        assert np.array_equal(HashModel.load(path).codes(batch), HashModel.load(path).codes(batch))

    def test_asked_for_by_several_threads_at_once(self, tmp_path: Path) -> None:
        path = written(self.network(), tmp_path / "net.pt", self.CARD)
        batch = noise(32, 64)
        alone, fresh = codes_in_batches(HashModel.load(path), batch, 1), HashModel.load(path)
        with ThreadPoolExecutor(4) as pool:
            parts = list(pool.map(fresh.codes, np.split(batch, 8)))
        assert np.array_equal(np.concatenate(parts), alone)


class TestIdentity:
    def test_the_sha256_is_the_file_s(self, grid: HashModel, grid_path: Path) -> None:
        assert grid.sha256 == hashlib.sha256(grid_path.read_bytes()).hexdigest()

    def test_it_tells_all_that_decides_a_code(self, grid: HashModel) -> None:
        assert json.loads(json.dumps(grid.identity())) == {
            "name": "grid",
            "sha256": grid.sha256,
            "bits": BITS,
            "precision": "float32",
            "preprocessing": PREPROCESSING.model_dump(mode="json"),
        }

    def test_another_preparation_is_another_identity(self, tmp_path: Path) -> None:
        path = written(FirstPixels(), tmp_path / "net.pt")
        small, large = (HashModel.load(path, image_size=size).identity() for size in (16, 32))
        assert small["sha256"] == large["sha256"] and small != large


class TestFiles:
    def test_a_path_may_have_spaces_quotes_and_umlauts(self, tmp_path: Path) -> None:
        path = written(Grid(), tmp_path / "größe 'x' 模型.pt", CARD)
        assert as_ints(HashModel.load(path).codes(pictures(*CODES))) == list(CODES)

    def test_a_frozen_module_loads(self, tmp_path: Path) -> None:
        frozen = torch.jit.freeze(torch.jit.script(Grid().eval()))
        save_model(frozen, CARD, tmp_path / "frozen.pt")
        assert as_ints(HashModel.load(tmp_path / "frozen.pt").codes(pictures(*CODES))) == list(CODES)

    def test_a_traced_module_loads(self, tmp_path: Path) -> None:
        traced = torch.jit.trace(Grid().eval(), torch.zeros(1, 3, 16, 16))  # type: ignore[no-untyped-call]
        save_model(traced, CARD, tmp_path / "traced.pt")
        assert as_ints(HashModel.load(tmp_path / "traced.pt").codes(pictures(*CODES))) == list(CODES)

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
        assert as_ints(HashModel.load(tmp_path / "careless.pt").codes(pictures(*CODES))) == list(CODES)

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(ModelError, match=r"missing\.pt cannot be read: No such file"):
            HashModel.load(tmp_path / "missing.pt")

    def test_a_folder_is_no_model(self, tmp_path: Path) -> None:
        with pytest.raises(ModelError, match="cannot be read: Is a directory"):
            HashModel.load(tmp_path)

    @pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04" + bytes(100)])
    def test_bytes_that_are_no_torchscript(self, content: bytes, tmp_path: Path) -> None:
        (tmp_path / "net.pt").write_bytes(content)
        with pytest.raises(ModelError, match=r"net\.pt is not a TorchScript model"):
            HashModel.load(tmp_path / "net.pt")

    @pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
    def test_a_file_cut_short(self, share: float, grid_path: Path, tmp_path: Path) -> None:
        data = grid_path.read_bytes()
        (tmp_path / "net.pt").write_bytes(data[: int(share * len(data))])
        with pytest.raises(ModelError, match=r"net\.pt is not a TorchScript model"):
            HashModel.load(tmp_path / "net.pt")

    def test_weights_alone_are_no_model(self, tmp_path: Path) -> None:
        torch.save(HashNetwork(8).state_dict(), tmp_path / "weights.pt")
        with pytest.raises(ModelError, match=r"weights\.pt is not a TorchScript model"):
            HashModel.load(tmp_path / "weights.pt")


class TestWithCard:
    def test_the_card_of_the_file_counts_more_than_a_given_one(self, grid_path: Path) -> None:
        given = CARD.model_copy(update={"name": "given"})
        assert HashModel.load(grid_path, card=given).card.name == "grid"

    def test_a_given_card_serves_a_file_without(self, tmp_path: Path) -> None:
        model = HashModel.load(written(Grid(), tmp_path / "net.pt"), card=CARD)
        assert model.card == CARD
        assert as_ints(model.codes(pictures(*CODES))) == list(CODES)

    def test_the_same_image_size_may_be_said_again(self, grid_path: Path) -> None:
        assert HashModel.load(grid_path, image_size=16).card.name == "grid"

    def test_another_image_size_contradicts_the_card(self, grid_path: Path) -> None:
        with pytest.raises(ModelError, match=r"--image_size 32 contradicts the card of grid\.pt, which says 16"):
            HashModel.load(grid_path, image_size=32)

    @pytest.mark.parametrize("text", ["{}", "not JSON", "\N{SNOWMAN}"])
    def test_a_bad_card_is_refused_by_the_file_s_name(self, text: str, tmp_path: Path) -> None:
        script = torch.jit.script(Grid().eval())
        torch.jit.save(script, str(tmp_path / "net.pt"), _extra_files={CARD_FILE: text})
        with pytest.raises(ModelError, match=r"net\.pt has a model card that cannot be used"):
            HashModel.load(tmp_path / "net.pt")

    @pytest.mark.parametrize("outputs", [8, 24])
    def test_a_card_with_another_width_than_the_model(self, outputs: int, tmp_path: Path) -> None:
        path = written(FirstPixels(outputs), tmp_path / "net.pt", CARD)
        with pytest.raises(ModelError, match=rf"net\.pt answers .*{outputs}.*; its card says 16 bits"):
            HashModel.load(path)


class TestWithoutCard:
    @pytest.mark.parametrize("bits", [8, 64, 1024])
    def test_a_probe_tells_the_width(self, bits: int, tmp_path: Path) -> None:
        model = HashModel.load(written(FirstPixels(bits), tmp_path / "net.pt"), image_size=32)
        assert (model.card.name, model.card.bits) == ("net", bits)
        assert model.codes(np.full((1, 32, 32, 3), 255, np.uint8)).tolist() == [[0xFF] * (bits // 8)]

    @pytest.mark.parametrize(("name", "size"), [("net-small.pt", 224), ("net-medium.pt", 300), ("net-large.pt", 600)])
    def test_the_name_tells_the_size(self, name: str, size: int, tmp_path: Path) -> None:
        model = HashModel.load(written(FirstPixels(), tmp_path / name))
        assert model.card.preprocessing == Preprocessing(image_size=size)

    def test_a_name_that_tells_no_size(self, tmp_path: Path) -> None:
        with pytest.raises(ModelError, match=r"net\.pt has no model card, .*give its input size with --image_size"):
            HashModel.load(written(FirstPixels(), tmp_path / "net.pt"))

    @pytest.mark.parametrize("outputs", [1, 12, 1032])
    def test_a_width_that_codes_cannot_have(self, outputs: int, tmp_path: Path) -> None:
        path = written(FirstPixels(outputs), tmp_path / "net.pt")
        with pytest.raises(ModelError, match=f"net.pt answers {outputs} outputs a picture; .*multiple of 8"):
            HashModel.load(path, image_size=32)


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
            HashModel.load(path, image_size=16)


class TestDevices:
    @pytest.mark.parametrize("device", ["tpu", "", "gpu", "mps", "meta", "cuda:x"])
    def test_a_name_that_is_no_device_of_ours(self, device: str, grid_path: Path) -> None:
        with pytest.raises(ModelError, match=f"{device!r} is no (supported )?device; use cpu, cuda or cuda:0"):
            HashModel.load(grid_path, device)

    @pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
    @pytest.mark.parametrize("device", ["cuda", "cuda:0"])
    def test_a_gpu_where_there_is_none(self, device: str, grid_path: Path) -> None:
        with pytest.raises(ModelError, match=f"device {device} was asked for, and PyTorch sees no GPU here"):
            HashModel.load(grid_path, device)

    def test_a_gpu_that_no_machine_has(self, grid_path: Path) -> None:
        with pytest.raises(ModelError, match="device cuda:99 was asked for"):
            HashModel.load(grid_path, "cuda:99")

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU")
    def test_a_gpu_gives_the_same_codes(self, grid_path: Path) -> None:
        assert as_ints(HashModel.load(grid_path, "cuda:0").codes(pictures(*CODES))) == list(CODES)

    def test_a_missing_model_on_a_missing_device_names_the_device(self, tmp_path: Path) -> None:
        with pytest.raises(ModelError, match="tpu"):
            HashModel.load(tmp_path / "missing.pt", "tpu")
