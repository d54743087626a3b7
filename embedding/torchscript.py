"""A TorchScript model: pictures and words in, vectors out.

    load → freeze → embed(batch): uint8 NHWC → normalise → forward → sign → packed bits
                                                         → embedding → unit length, and a code (embedding/projection.py)
                    embed_text(texts): tokens → encode_text → likewise

``forward(batch)`` returns real-valued outputs, (n, bits). A model whose card has ``detail_bits`` also has a method
``outputs(batch)``, which returns both: (n, bits) and (n, detail_bits). One whose card names classes has a buffer
``centroids``, (classes, bits) of ±1: the code that each class was trained towards.

One whose card has ``embedding_width`` has a method ``embedding(batch)`` instead, (n, width), buffers for the code, and
perhaps a text tower: ``encode_text(tokens)``, int64 (n, context_length) → (n, width), with its tokenizer in the file.

A picture's code does not depend on its batch. Floating-point sums do: convolution kernels differ by batch size, and
an output within rounding noise of zero could take either sign. Pictures with outputs that close to zero are therefore
computed again in a batch of one, which defines the code. Float vectors would show the noise in any number, so on a CPU
each picture and each text is a batch of its own. On a GPU, half precision is much coarser than that noise, so all
batches have one size and are padded with black pictures.
"""

import hashlib
import logging
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from contract.compiling import compiling
from contract.model import ModelIdentity
from contract.space import CODE, EMBEDDING, Vectors
from embedding.card import CARD_FILE, ModelCard, parse_card, plain_name, preprocessing_for
from embedding.device import find_device
from embedding.errors import ModelError, NoMixture, UnknownText, UnknownWords
from embedding.part import Part
from embedding.projection import Floats, Projection
from embedding.tokens import TOKENIZER_FILE, TextTokens
from pictures.decode import decode, decoder
from pictures.preparation import Preprocessing
from pictures.work import Budget

_log = logging.getLogger(__name__)

#: Outputs below this share of their row's mean magnitude are computed again in a batch of one. Kernels were seen to
#: differ by 4e-6 of it (7e-5 in a network made to lose digits). Few pictures are affected: with normally distributed
#: outputs, 0.4% at 64 bits, 2% with a detail code of 256.
_TIE_BAND = 1e-4

#: What TorchScript raises when a model cannot take an input, or has no forward at all.
_MODEL_FAILURES = (RuntimeError, AttributeError, torch.jit.Error)

#: TorchScript profiles two passes and compiles the third.
_PASSES_TO_COMPILE = 3

#: Pictures per forward pass: more no longer fit a CPU core's cache, fewer repeat the overhead of a pass.
_BATCH = 16


class TorchScriptEmbedder:
    """A loaded model. ``card`` says what it expects; ``sha256`` (hex, of the file) identifies it.

    On a CPU one forward pass runs on one core. Callers use several threads or processes, one per core, which is
    faster than splitting single layers and keeps the answer independent of the machine's core count. It computes in
    float32: bfloat16 would give other codes on every generation of processors (benchmarks/RESULTS.md). On a GPU it
    computes in the card's precision, or in ``precision`` ("float32", "float16"). ``batch`` is the number of pictures
    per forward pass. ``tokenizer`` is the text of the file's own one.
    """

    def __init__(
        self,
        module: torch.jit.ScriptModule,
        card: ModelCard,
        sha256: str,
        device: torch.device,
        precision: str | None = None,
        tokenizer: str = "",
    ) -> None:
        self.card = card
        self.sha256 = sha256
        self.device = device
        self.precision = precision or _precision(module, card, device)
        self.batch = 1 if card.embedding_width and device.type == "cpu" else _BATCH
        self._full_batches = device.type != "cpu"
        if device.type != "cpu":
            # By default PyTorch rounds the inputs of convolutions to ten bits (TF32), and calls that float32.
            torch.backends.cudnn.allow_tf32 = False
            torch.backends.cuda.matmul.allow_tf32 = False
            torch.backends.cudnn.deterministic = True
        self._dtype = getattr(torch, self.precision)
        self._class_codes = _class_codes(module, card)
        self._projection = Projection(module, card) if card.embedding_width else None
        self._tokens = TextTokens(tokenizer, card.text.context_length, card.name) if card.text else None
        self._module = _frozen(module, device, self._dtype, _methods(module, card))
        self._compiled = True
        self._compiled_sizes: set[int] = set()
        shape = (1, 3, 1, 1)
        mean, std = (
            torch.tensor(values, device=device) for values in (card.preprocessing.mean, card.preprocessing.std)
        )
        self._scale = (1.0 / (255.0 * std)).reshape(shape)
        self._shift = (-mean / std).reshape(shape)

    @classmethod
    def load(
        cls,
        path: Path,
        device: str = "cpu",
        *,
        image_size: int | None = None,
        card: ModelCard | None = None,
        precision: str | None = None,
    ) -> "TorchScriptEmbedder":
        """Read a TorchScript file from ``path`` and make it ready on ``device`` ("cpu", "cuda:0", …).

        A card inside the file takes precedence. Without one, ``card``, else ``image_size``, else the file's name says
        how pictures are prepared; without any card, a probe forward pass counts the bits. Raises ModelError.
        """
        where = find_device(device)
        if where.type == "cpu":
            torch.set_num_threads(1)
            # oneDNN's graph compiler keeps weights in its own layout instead of reordering them in every pass. With
            # decoding included, that saves a sixth for a single picture, a twentieth for a batch of 16.
            torch.jit.enable_onednn_fusion(True)
        try:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise ModelError(f"the model {path} cannot be read: {error.strerror}") from error
        extra: dict[str, str | bytes] = {CARD_FILE: "", TOKENIZER_FILE: ""}
        try:
            module = torch.jit.load(  # type: ignore[no-untyped-call]
                str(path), map_location=where, _extra_files=extra
            )
        except torch.OutOfMemoryError as error:
            raise ModelError(f"{path.name} finds no room in the memory of {where}") from error
        except (RuntimeError, ValueError) as error:
            raise ModelError(f"{path.name} is not a TorchScript model") from error
        module.eval()
        own = _text(extra[CARD_FILE])
        if own:
            found = parse_card(own, path.name)
            if image_size is not None and image_size != found.preprocessing.image_size:
                _log.warning(
                    "--image_size %d is not used: the card of %s says %d",
                    image_size, path.name, found.preprocessing.image_size,
                )  # fmt: skip
        elif card is not None:
            found = card
        else:
            preprocessing = preprocessing_for(path, image_size)
            bits = _probe_bits(module, preprocessing, where, path.name)
            found = ModelCard(name=path.stem, bits=bits, preprocessing=preprocessing)
        model = cls(module, found, digest, where, precision, _text(extra[TOKENIZER_FILE]))
        model._check(path.name)
        return model

    @cached_property
    def identity(self) -> ModelIdentity:
        """Tells this model's vectors from another's."""
        return ModelIdentity(
            name=self.card.name,
            sha256=self.sha256,
            spaces=self.card.spaces,
            precision=self.precision,
            preprocessing=self.card.preprocessing.model_dump(mode="json"),
            text=bool(self.card.classes or self.card.text),
            decoder=decoder(),
            calibration=self.card.calibration,
        )

    def prepare(self, data: bytes, budget: Budget | None = None) -> NDArray[np.uint8]:
        """The picture in the file ``data``, uint8 (image_size, image_size, 3). Raises ImageError, and BudgetSpent as
        ``decode``."""
        return decode(data, self.card.preprocessing, budget=budget)

    def embed(self, pictures: NDArray[np.uint8]) -> Vectors:
        """The vectors of ``pictures``, uint8 (n, image_size, image_size, 3): uint8 (n, width / 8) for each binary
        space, float16 (n, width) at length 1 for the other.

        Bit i is 1 where output i is above zero; the first bit is the most significant.
        """
        if self._projection is not None:
            return self._projection.of_pictures(self._outputs(pictures))
        ends = np.cumsum([space.width for space in self.card.spaces])
        outputs = self._outputs(pictures)
        if len(pictures) > 1:
            # Each on its own scale: the outputs of two heads may differ in size.
            close = [_close(part) for part in np.split(outputs, ends[:-1], axis=1)]
            for row in np.flatnonzero(np.any(close, axis=0)):
                outputs[row] = self._forward(pictures[row : row + 1])[0]
        parts = np.split(outputs, ends[:-1], axis=1)
        return {space.name: np.packbits(part > 0, axis=1) for space, part in zip(self.card.spaces, parts, strict=True)}

    def complete(self, embeddings: NDArray[np.float16]) -> Vectors:
        """As ``Embedder.complete``; the embeddings themselves stay as they are."""
        assert self._projection is not None  # it makes embeddings
        return {**self._projection.of_pictures(embeddings.astype(np.float32)), EMBEDDING: embeddings}

    @property
    def words(self) -> TextTokens | None:
        """The text tower's tokenizer; None without one."""
        return self._tokens

    def embed_text(self, texts: Sequence[str]) -> Vectors:
        """The vectors of ``texts``, as those of pictures. Raises TooManyWords, and UnknownWords for a text of which the
        text tower makes a vector of zeros.

        Without a text tower ``texts`` are names of classes in any case, and the codes, uint8 (n, bits / 8), are those
        that their pictures were trained towards. Raises UnknownText, which lists the classes.
        """
        if self._projection is not None and self._tokens is not None:
            embeddings = self._text_pass(self._tokens(texts))
            for text, embedding in zip(texts, embeddings, strict=True):
                if not embedding.any():
                    raise UnknownWords(text)
            return self._projection.of_texts(embeddings)
        known = [plain_name(each) for each in self.card.classes]
        for text in texts:
            if plain_name(text) not in known:
                raise UnknownText(text, self.card.classes)
        return {CODE: self._class_codes[[known.index(plain_name(text)) for text in texts]]}

    def mix(self, parts: Sequence[Part]) -> Vectors:
        """The vectors of a query, one row for each space. Raises NoMixture."""
        if self._projection is None:
            raise NoMixture(f"{self.card.name} makes no embeddings")
        return self._projection.mixed(parts)

    def warm_up(self, batch: int) -> None:
        """Compile for batches of up to ``batch`` pictures now, so that no request waits for it (about 0.1 s a size)."""
        size = self.card.preprocessing.image_size
        for count in range(1, min(batch, self.batch) + 1):
            if count.bit_count() == 1:
                self._outputs(np.zeros((count, size, size, 3), np.uint8))

    def _outputs(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Real-valued outputs, float32 (n, bits), (n, bits + detail_bits) or (n, embedding_width)."""
        parts, start = [np.empty((0, self._columns), np.float32)], 0
        while start < len(pictures):
            left = len(pictures) - start
            # 16, 8, 4, 2, 1: TorchScript compiles for each batch size that it meets, so it gets only these five.
            count = min(self.batch, left if self._full_batches else 1 << (left.bit_length() - 1))
            parts.append(self._forward(pictures[start : start + count]))
            start += count
        return np.concatenate(parts)

    def _forward(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        """A pass, after those in which its batch size is compiled, which one thread makes for all."""
        size = self.batch if self._full_batches else len(pictures)
        if self._compiled and size not in self._compiled_sizes:
            with compiling:
                if size not in self._compiled_sizes:
                    for _ in range(_PASSES_TO_COMPILE):
                        self._pass(pictures, compiled=True)
                    self._compiled_sizes.add(size)
        return self._pass(pictures, compiled=self._compiled)

    def _pass(self, pictures: NDArray[np.uint8], *, compiled: bool) -> NDArray[np.float32]:
        with torch.inference_mode(), torch.jit.optimized_execution(compiled):  # type: ignore[attr-defined]
            # A permuted NHWC array is exactly what PyTorch calls channels_last: no conversion.
            batch = torch.from_numpy(np.array(pictures, order="C")).to(self.device)
            if self._full_batches:
                batch = torch.nn.functional.pad(batch, (0, 0, 0, 0, 0, 0, 0, self.batch - len(pictures)))
            batch = batch.permute(0, 3, 1, 2)
            batch = (batch.float() * self._scale + self._shift).to(self._dtype)
            if self.card.embedding_width:
                outputs = self._module.embedding(batch)
            elif self.card.detail_bits:
                outputs = _side_by_side(self._module.outputs(batch), self.card.bits, self.card.detail_bits)
            else:
                outputs = self._module(batch)
            result: NDArray[np.float32] = outputs.float().cpu().numpy()
            return result[: len(pictures)] if self._full_batches and result.ndim else result

    def _text_pass(self, tokens: NDArray[np.int64]) -> Floats:
        """What the text tower makes of ``tokens``: float32 (n, embedding_width)."""
        if not len(tokens):
            return np.empty((0, self._columns), np.float32)
        with torch.inference_mode(), torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
            batch = torch.from_numpy(tokens).to(self.device)
            return np.concatenate([self._module.encode_text(one[None]).float().cpu().numpy() for one in batch])

    @property
    def _columns(self) -> int:
        """Outputs for each picture."""
        return self.card.embedding_width or self.card.bits + (self.card.detail_bits or 0)

    def _check(self, name: str) -> None:
        """Raise ModelError now, rather than in a request, if the model doesn't fit its card.

        A model that the compiler cannot handle, or whose outputs change once compiled, runs uncompiled.
        """
        size, columns = self.card.preprocessing.image_size, self._columns
        pictures = np.random.default_rng(0).integers(0, 256, (2, size, size, 3), dtype=np.uint8)
        try:
            plain = self._pass(pictures, compiled=False)
        except _MODEL_FAILURES as error:
            raise ModelError(f"{name} cannot hash a {size}×{size} picture: {_last_line(error)}") from error
        wanted = f"its card says {columns} {'dimensions' if self.card.embedding_width else 'bits'}"
        if plain.shape != (2, columns):
            raise ModelError(f"{name} answers outputs of shape {plain.shape} for 2 pictures; {wanted}")
        try:
            alone = self._forward(pictures[:1])
        except _MODEL_FAILURES:
            self._compiled = False
            alone = self._forward(pictures[:1])
        if alone.shape != (1, columns):
            raise ModelError(f"{name} answers outputs of shape {alone.shape} for a picture; {wanted}")
        if not np.allclose(plain[:1], alone, rtol=1e-2, atol=1e-2 * float(np.abs(plain).mean())):
            self._compiled = False
        if self._tokens is not None:
            try:
                words = self._text_pass(self._tokens(["a"]))
            except _MODEL_FAILURES as error:
                raise ModelError(f"{name} cannot embed a word: {_last_line(error)}") from error
            if words.shape != (1, columns):
                raise ModelError(f"{name} answers outputs of shape {words.shape} for a word; {wanted}")


def save_model(module: torch.jit.ScriptModule, card: ModelCard, path: Path, tokenizer: str = "") -> None:
    """Write ``module`` (in eval mode, not yet optimised) with ``card``, and the ``tokenizer`` of its text tower, inside
    to ``path``."""
    extra = {CARD_FILE: card.model_dump_json(indent=1)} | ({TOKENIZER_FILE: tokenizer} if tokenizer else {})
    torch.jit.save(module, str(path), _extra_files=extra)


def _text(file: str | bytes) -> str:
    return file.decode("utf-8", "replace") if isinstance(file, bytes) else file


def _methods(module: torch.jit.ScriptModule, card: ModelCard) -> list[str]:
    """The methods of ``module``, beside forward, that its card speaks of. Raises ModelError if one is missing."""
    wanted = {
        "outputs": f"{card.detail_bits} detail bits" if card.detail_bits else "",
        "embedding": f"embeddings of {card.embedding_width} dimensions" if card.embedding_width else "",
        "encode_text": "a text tower" if card.text else "",
    }
    for name, what in wanted.items():
        if what and not callable(getattr(module, name, None)):
            raise ModelError(f"the card of {card.name} names {what}, and the model has no method {name}")
    return [name for name, what in wanted.items() if what]


def _precision(module: torch.jit.ScriptModule, card: ModelCard, device: torch.device) -> str:
    """The precision in which ``module`` computes on ``device``."""
    if device.type == "cpu" or not _can_freeze(module):  # the weights of a frozen one cannot be converted
        return "float32"
    return card.cuda_precision


def _can_freeze(module: torch.jit.ScriptModule) -> bool:
    """Whether ``module`` can be frozen: one that was saved frozen has lost this attribute and cannot be."""
    return hasattr(module, "training")


def _frozen(
    module: torch.jit.ScriptModule, device: torch.device, dtype: torch.dtype, methods: list[str]
) -> torch.jit.ScriptModule:
    """``module`` with its weights as constants; it keeps ``forward`` and ``methods``."""
    module.to(device=device, dtype=dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if _can_freeze(module):
        module = torch.jit.freeze(module, methods)
    return module


def _class_codes(module: torch.jit.ScriptModule, card: ModelCard) -> NDArray[np.uint8]:
    """Codes of the card's classes, uint8 (classes, bits / 8)."""
    shape = (len(card.classes), card.bits)
    centroids = getattr(module, "centroids", None)
    if not card.classes or card.text:
        return np.empty((0, card.bits // 8), np.uint8)
    if not isinstance(centroids, torch.Tensor) or centroids.shape != shape:
        raise ModelError(f"the card of {card.name} names {shape[0]} classes, and the model has no centroids for them")
    return np.packbits((centroids > 0).cpu().numpy(), axis=1)


def _side_by_side(outputs: object, bits: int, detail_bits: int) -> torch.Tensor:
    """Both outputs of a model with detail codes as one tensor, (n, bits + detail_bits). RuntimeError if unfit."""
    parts = [part for part in outputs if isinstance(part, torch.Tensor)] if isinstance(outputs, tuple) else []
    if [part.shape[1:] for part in parts] != [(bits,), (detail_bits,)]:
        raise RuntimeError(f"outputs must answer two tensors, (pictures, {bits}) and (pictures, {detail_bits})")
    return torch.cat(parts, dim=1)


def _close(outputs: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which rows of ``outputs``, (n, bits), have an output that rounding might move across zero."""
    magnitude = np.abs(outputs)
    close: NDArray[np.bool_] = (magnitude < _TIE_BAND * magnitude.mean(axis=1, keepdims=True)).any(axis=1)
    return close


def _probe_bits(module: torch.jit.ScriptModule, preprocessing: Preprocessing, device: torch.device, name: str) -> int:
    size = preprocessing.image_size
    try:
        with torch.inference_mode():
            output = module(torch.zeros(1, 3, size, size, device=device))
    except _MODEL_FAILURES as error:
        raise ModelError(f"{name} cannot hash a {size}×{size} picture: {_last_line(error)}") from error
    if not isinstance(output, torch.Tensor) or output.ndim != 2 or len(output) != 1:
        raise ModelError(f"{name} must answer one tensor of shape (pictures, bits)")
    bits = int(output.shape[1])
    if bits % 8 or not 8 <= bits <= 1024:
        raise ModelError(f"{name} answers {bits} outputs a picture; codes need a multiple of 8 between 8 and 1024")
    return bits


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
