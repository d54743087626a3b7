"""Turns files into signatures, by a model and by the baselines that it must beat: each file is read once for all."""

import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from embedding.cores import usable_cores
from embedding.torchscript import TorchScriptEmbedder
from pictures.decode import decode
from pictures.errors import ImageError
from pictures.preparation import Preprocessing
from training.baselines import BASELINES
from training.errors import TrainingError
from training.pictures import LabelledFile
from training.signatures import Method, Signatures

_CHUNK = 16  # pictures per forward pass


@dataclass(frozen=True)
class Signed:
    """``signatures``: one for each method, of the files that could be read, whose numbers are ``rows``, int64.
    ``unread``: the others, with the reason."""

    signatures: list[Signatures]
    rows: NDArray[np.int64]
    unread: list[str]

    def whole(self) -> list[Signatures]:
        """Returns the signatures. Raises TrainingError if a file could not be read."""
        if self.unread:
            raise TrainingError(self.unread[0])
        return self.signatures


def methods_of(model: TorchScriptEmbedder) -> list[Method]:
    """Returns ``model`` and the baselines. The model's signature is its code, followed by its detail code if it has
    one: one pass for all."""

    def sign(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.hstack(list(model.embed(pictures).values()))

    return [Method(model.card.name, f"{model.card.bits} bits", model.card.preprocessing, sign), *BASELINES]


def lines_of(model: TorchScriptEmbedder, signed: list[Signatures]) -> tuple[list[tuple[str, str]], list[Signatures]]:
    """Returns each table line's name and note, and its signatures: the model's in each order, the baselines'."""
    bits, detail_bits = model.card.bits, model.card.detail_bits
    width, values = bits // 8, signed[0].values
    ours = {f"{bits} bits": Signatures(values[:, :width])}
    if detail_bits:
        ours[f"{bits} bits, ties by detail"] = Signatures(values, "hamming, ties by detail", width)
        ours[f"rank detail: {detail_bits} bits"] = Signatures(values[:, width:])
    lines = [(model.card.name, note) for note in ours] + [(method.name, method.note) for method in BASELINES]
    return lines, [*ours.values(), *signed[1:]]


def sign_files(
    methods: Sequence[Method],
    files: Sequence[LabelledFile],
    what: str,
    versions: Callable[[bytes, LabelledFile], list[bytes]],
    each: int,
) -> Signed:
    """Signs the ``each`` ``versions`` of each file, in order, on all cores; ``what`` is the word for it."""
    step = max(1, _CHUNK // each)
    starts = range(0, len(files), step)

    def prepared(file: LabelledFile) -> dict[Preprocessing, list[NDArray[np.uint8]]] | str:
        """The pictures of one file, or why there are none."""
        try:
            made = versions(file.path.read_bytes(), file)
            return {each: [decode(data, each) for data in made] for each in {one.preprocessing for one in methods}}
        except (OSError, ValueError, ImageError) as error:  # ValueError: a name with a zero byte
            reason = error.strerror if isinstance(error, OSError) else None
            return f"{file.path}: {reason or error}"

    def sign(start: int) -> tuple[list[NDArray[np.uint8]], list[int], list[str]]:
        found = [prepared(file) for file in files[start : start + step]]
        good = [made for made in found if not isinstance(made, str)]
        signed = [
            method.sign(np.stack([picture for made in good for picture in made[method.preprocessing]]))
            for method in (methods if good else ())
        ]
        rows = [start + place for place, made in enumerate(found) if not isinstance(made, str)]
        return signed, rows, [made for made in found if isinstance(made, str)]

    with ThreadPoolExecutor(usable_cores()) as pool:
        parts = list(
            track(
                pool.map(sign, starts),
                description=what,
                total=len(starts),
                console=Console(stderr=True),
                disable=not sys.stderr.isatty(),
            )
        )
    unread = [why for _, _, reasons in parts for why in reasons]
    values = [signed for signed, _, _ in parts if signed]
    if not values:
        raise TrainingError(unread[0] if unread else "there are no pictures")
    signatures = [
        Signatures(np.concatenate(columns), method.metric)
        for method, columns in zip(methods, zip(*values, strict=True), strict=True)
    ]
    return Signed(signatures, np.array([row for _, rows, _ in parts for row in rows]), unread)
