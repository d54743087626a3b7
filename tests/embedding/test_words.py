"""A model with a text tower makes float vectors of pictures and of any words, which a reader computes by hand; words
that it cannot read whole, and a file in which something is missing, are refused by name."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from tokenizers import Tokenizer
from torch import Tensor, nn

from contract.space import Space
from embedding.card import ModelCard, TextTower
from embedding.errors import ModelError, TooManyWords, UnknownText, UnknownWords
from embedding.torchscript import TorchScriptEmbedder, save_model
from pictures.preparation import Preprocessing
from tests.fakes import CONTEXT, ColourWords, colour_tokenizer, write_words_model

CARD = ModelCard(
    name="colour words",
    bits=8,
    embedding_width=3,
    text=TextTower(context_length=CONTEXT),
    preprocessing=Preprocessing(image_size=16, mean=(0, 0, 0), std=(1, 1, 1)),
)


def of_colour(red: int, green: int, blue: int) -> NDArray[np.uint8]:
    return np.asarray(Image.new("RGB", (16, 16), (red, green, blue)))[None]


def unit(*numbers: float) -> list[float]:
    vector = np.array(numbers, np.float32)
    found: list[float] = (vector / np.linalg.norm(vector)).astype(np.float16).tolist()
    return found


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> TorchScriptEmbedder:
    return TorchScriptEmbedder.load(write_words_model(tmp_path_factory.mktemp("words") / "words.pt", ("red", "blue")))


def test_its_spaces_are_a_code_and_an_embedding(words: TorchScriptEmbedder) -> None:
    assert words.identity.spaces == (
        Space(name="code", width=8),
        Space(name="embedding", kind="float16", width=3, metric="cosine"),
    )
    assert words.identity.text


def test_a_picture_has_a_vector_of_length_one_and_the_signs_of_its_rotation(words: TorchScriptEmbedder) -> None:
    found = words.embed(np.concatenate([of_colour(255, 0, 255), of_colour(51, 0, 0), of_colour(0, 0, 0)]))
    assert found["embedding"].dtype == np.float16
    assert found["embedding"].tolist() == [unit(1, 0, 1), [1, 0, 0], [0, 0, 0]]
    assert found["code"].tolist() == [[0b10100000], [0b10000000], [0]]


def test_words_lie_where_their_pictures_do(words: TorchScriptEmbedder) -> None:
    found = words.embed_text(["red blue", "Blue or\nblue GREEN"])
    assert found["embedding"].tolist() == [unit(1, 0, 1), unit(0, 1, 2)]
    assert found["code"].tolist() == [[0b10100000], [0b01100000]]


@pytest.mark.parametrize("text", ["grey", "", "no word of it"])
def test_a_text_without_a_known_word_is_refused(words: TorchScriptEmbedder, text: str) -> None:
    with pytest.raises(UnknownWords, match=f"^'{text}' means nothing to the model"):
        words.embed_text(["red", text])


def test_nothing_has_no_vectors(words: TorchScriptEmbedder) -> None:
    for found in (words.embed(np.empty((0, 16, 16, 3), np.uint8)), words.embed_text([])):
        assert {name: array.shape for name, array in found.items()} == {"code": (0, 1), "embedding": (0, 3)}


def test_each_modality_is_centred_by_its_own_mean_and_rotated(tmp_path: Path) -> None:
    module = ColourWords()
    module.image_mean = torch.tensor([0.5, 0.5, 0.5])
    module.text_mean = torch.tensor([0.9, -0.1, -0.1])
    module.rotation = torch.zeros(3, 8)
    module.rotation[0, 0], module.rotation[1, 1], module.rotation[1, 7] = 1, 1, -1
    save_model(torch.jit.script(module.eval()), CARD, tmp_path / "m.pt", colour_tokenizer().to_str())
    model = TorchScriptEmbedder.load(tmp_path / "m.pt")
    # (1, 0, 0) − (0.5, 0.5, 0.5) is above zero in red alone, and (1, 0, 0) − (0.9, −0.1, −0.1) in green, too.
    assert model.embed(of_colour(255, 0, 0))["code"].tolist() == [[0b10000001]]
    assert model.embed_text(["red"])["code"].tolist() == [[0b11000000]]


def test_a_vector_does_not_depend_on_its_batch(tmp_path: Path) -> None:
    class Deep(nn.Module):
        """Sums of many products, whose order depends on the batch."""

        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.layers = nn.Sequential(nn.Flatten(), nn.Linear(768, 1024), nn.GELU(), nn.Linear(1024, 64))
            self.register_buffer("image_mean", torch.zeros(64))
            self.register_buffer("rotation", torch.randn(64, 256))

        def forward(self, x: Tensor) -> Tensor:
            return self.embedding(x)

        @torch.jit.export
        def embedding(self, x: Tensor) -> Tensor:
            found: Tensor = self.layers(x)
            return found

    card = ModelCard(name="deep", bits=256, embedding_width=64, preprocessing=Preprocessing(image_size=16))
    save_model(torch.jit.script(Deep().eval()), card, tmp_path / "deep.pt")
    model = TorchScriptEmbedder.load(tmp_path / "deep.pt")
    pictures = np.random.default_rng(1).integers(0, 256, (23, 16, 16, 3), dtype=np.uint8)
    together = model.embed(pictures)
    for place, picture in enumerate(pictures):
        alone = model.embed(picture[None])
        assert {name: array[0].tobytes() for name, array in alone.items()} == {
            name: array[place].tobytes() for name, array in together.items()
        }
    with pytest.raises(UnknownText, match="it knows no classes by name"):
        model.embed_text(["red"])


@pytest.mark.parametrize("text", [" ".join(["red"] * 5), "r" * 1000], ids=["tokens", "characters"])
def test_too_many_words_are_an_error_and_not_cut(words: TorchScriptEmbedder, text: str) -> None:
    assert words.embed_text(["red " * 4])["embedding"].tolist() == [[1, 0, 0]]
    told = "1,000 characters" if len(text) == 1000 else "7 tokens"
    with pytest.raises(TooManyWords, match=f"^the text is too long: it has {told}, and the model reads 6 tokens, "):
        words.embed_text(["red", text])


def without_padding() -> str:
    tokenizer = colour_tokenizer()
    tokenizer.no_padding()
    return tokenizer.to_str()


def truncating() -> Tokenizer:
    tokenizer = colour_tokenizer()
    tokenizer.enable_truncation(CONTEXT)
    return tokenizer


def test_a_tokenizer_that_would_cut_does_not(tmp_path: Path) -> None:
    save_model(torch.jit.script(ColourWords().eval()), CARD, tmp_path / "m.pt", truncating().to_str())
    with pytest.raises(TooManyWords):
        TorchScriptEmbedder.load(tmp_path / "m.pt").embed_text([" ".join(["red"] * 5)])


class NoText(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("image_mean", torch.zeros(3))
        self.register_buffer("text_mean", torch.zeros(3))
        self.register_buffer("rotation", torch.eye(3, 8))

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))

    @torch.jit.export
    def embedding(self, x: Tensor) -> Tensor:
        return self.forward(x)


class WideText(ColourWords):
    @torch.jit.export
    def encode_text(self, tokens: Tensor) -> Tensor:
        return torch.zeros(len(tokens), 4)


class NoRotation(ColourWords):
    def __init__(self) -> None:
        super().__init__()
        self.rotation = torch.eye(3, 16)


@pytest.mark.parametrize(
    ("module", "card", "tokenizer", "message"),
    [
        (ColourWords(), CARD, "", "colour words has a text tower, and no tokenizer.json inside"),
        (ColourWords(), CARD, "{}", "colour words has a tokenizer.json that cannot be read: "),
        (ColourWords(), CARD, without_padding(), "its tokenizer.json makes 3 tokens of a letter"),
        (NoText(), CARD, colour_tokenizer().to_str(), "names a text tower, and the model has no method encode_text"),
        (WideText(), CARD, colour_tokenizer().to_str(), "m.pt answers outputs of shape (1, 4) for a word; "),
        (NoRotation(), CARD, colour_tokenizer().to_str(), "wants a buffer rotation of shape (3, 8), and the model has"),
        (
            ColourWords(),
            CARD.model_copy(update={"embedding_width": 4}),
            colour_tokenizer().to_str(),
            "wants a buffer image_mean of shape (4,), and the model has of shape (3,)",
        ),
    ],
)
def test_a_file_in_which_something_is_missing_is_refused(
    module: nn.Module, card: ModelCard, tokenizer: str, message: str, tmp_path: Path
) -> None:
    save_model(torch.jit.script(module.eval()), card, tmp_path / "m.pt", tokenizer)
    with pytest.raises(ModelError) as caught:
        TorchScriptEmbedder.load(tmp_path / "m.pt")
    assert message in str(caught.value)
