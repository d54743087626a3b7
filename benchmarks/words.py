"""Do words find pictures? ``python -m benchmarks.words MODEL [FOLDER] [--drawn FOLDER] [--beside FOLDER]``.

FOLDER has a folder of pictures for each word, which is its name: all words look for their pictures among all of them.
--drawn names a folder of ``hashlake sample``: "red dress", "striped dress" and "red striped dress" look for garments of
that colour, pattern and kind. Pictures --beside are among those to be searched, and are nothing that is looked for. The
embeddings are compared exactly, by cosine.

    any in the first 10   the share of words that have a picture of their own there
    right in the first 5  the share of the first 5 that is right, or of all that are right if these are fewer
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from contract.space import EMBEDDING
from embedding.cores import usable_cores
from embedding.embedder import Embedder
from embedding.torchscript import TorchScriptEmbedder
from training.garments import Drawn, drawn_garments
from training.pictures import pictures_below

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
#: The word before a garment for each pattern.
_PATTERNED = {"plain": "plain", "stripes": "striped", "checks": "checked", "dots": "dotted"}
_QUERIES: dict[str, Callable[[Drawn], str]] = {
    "colour and garment": lambda drawn: f"{drawn.colour} {drawn.garment}",
    "pattern and garment": lambda drawn: f"{_PATTERNED[drawn.pattern]} {drawn.garment}",
    "colour, pattern and garment": lambda drawn: f"{drawn.colour} {_PATTERNED[drawn.pattern]} {drawn.garment}",
}


def embedded(model: Embedder, paths: Sequence[Path]) -> NDArray[np.float32]:
    """Returns the embeddings of the pictures at ``paths``, float32 (n, width)."""

    def of(path: Path) -> NDArray[np.float32]:
        vector: NDArray[np.float32] = model.embed(model.prepare(path.read_bytes())[None])[EMBEDDING].astype(np.float32)
        return vector

    with ThreadPoolExecutor(usable_cores()) as pool:
        return np.concatenate(list(pool.map(of, paths)))


def report(model: Embedder, what: str, lake: NDArray[np.float32], names: Sequence[str]) -> str:
    """Returns how well each of ``names`` finds its own pictures in ``lake``; they are those of its first rows."""
    words = sorted(set(names))
    asked = model.embed_text(words)[EMBEDDING].astype(np.float32)
    ranked = np.argsort(-(asked @ lake.T), axis=1, kind="stable")
    own = np.array([[name == word for name in names] + [False] * (len(lake) - len(names)) for word in words])
    found = np.take_along_axis(own, ranked, axis=1)
    share = {first: found[:, :first].any(axis=1).mean() for first in (1, 5, 10)}
    right = (found[:, :5].sum(axis=1) / np.minimum(own.sum(axis=1), 5)).mean()
    precision = found[:, :10].mean()
    found_first = ", ".join(f"{value:.3f}" for value in share.values())
    return (
        f"{what}: {len(words):,} words, {len(names):,} pictures of them among {len(lake):,}; any in the first 1, 5, 10 "
        f"{found_first}; right in the first 5: {right:.3f}, of the first 10: {precision:.3f}"
    )


def _below(folder: Path) -> Iterable[tuple[str, Path]]:
    return ((path.relative_to(folder).parts[0], path) for path in pictures_below(folder))


@click.command()
@click.argument("model_path", metavar="MODEL", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("folder", required=False, type=_FOLDER)
@click.option("--drawn", type=_FOLDER, help="A folder that hashlake sample has drawn.")
@click.option("--beside", type=_FOLDER, multiple=True, help="A folder of any other pictures; may be repeated.")
def main(model_path: Path, folder: Path | None, drawn: Path | None, beside: tuple[Path, ...]) -> None:
    """Measure how well words find pictures with MODEL, a model with a text tower."""
    model = TorchScriptEmbedder.load(model_path)
    others = embedded(model, [path for each in beside for path in pictures_below(each)]) if beside else None

    def among(paths: Sequence[Path]) -> NDArray[np.float32]:
        own = embedded(model, paths)
        return own if others is None else np.concatenate((own, others))

    if folder:
        names, paths = zip(*_below(folder), strict=True)
        click.echo(report(model, folder.name, among(paths), names))
    if drawn:
        garments = drawn_garments(drawn)
        lake = among([each.path for each in garments])
        for what, query in _QUERIES.items():
            click.echo(report(model, what, lake, [query(each) for each in garments]))


if __name__ == "__main__":
    main()
