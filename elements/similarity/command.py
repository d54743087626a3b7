"""``hashlake elements similarity``: how alike documents are."""

import json
import re
import time
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from contract.terminal import say
from elements.errors import ElementsError
from elements.names import document_name
from elements.similarity.figures import FigureStore, space_of
from elements.similarity.pairs import TOP_K, Pairs, all_pairs
from elements.similarity.scores import SIMILARITY_FILE, ScoreFiles
from embedding.registry import load_embedder
from sources.errors import SourceError

_EVERY_SECONDS = 0.5
_NAME = re.compile(r"[A-Za-z0-9._-]{1,128}")
_MOST_DOCUMENTS = 1000


@click.command(short_help="Find the figures that documents share.")
@click.argument("documents", nargs=-1)
@click.option(
    "--documents",
    "listed",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A JSON file {name: address} of documents, instead of naming them.",
)
@click.option(
    "--model_path",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The model (.pt) that makes figures comparable: of codes or embeddings.",
)
@click.option(
    "--output", required=True, type=click.Path(file_okay=False, path_type=Path), help="A folder for the results."
)
@click.option("--space", help="The model's space.  [default: embedding, else detail, else code]")
@click.option(
    "--top_k",
    default=TOP_K,
    show_default=True,
    type=click.IntRange(1, 1000),
    help="How many figures of another document are kept for each.",
)
@click.option("--mutual", is_flag=True, help="Keep pairs only of figures that are among each other's nearest.")
@click.option("--verify", is_flag=True, help="Count the points that figures share, and order pairs by that.")
@click.option("--compatible", is_flag=True, help="Also write the files that extractorAPI's clients load.")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda or cuda:0.")
@click.option("--json", "as_json", is_flag=True, help="Print progress and the outcome as JSON, a line each.")
def similarity(
    documents: tuple[str, ...],
    listed: Path | None,
    model_path: Path,
    output: Path,
    space: str | None,
    top_k: int,
    mutual: bool,
    verify: bool,
    compatible: bool,
    device: str,
    as_json: bool,
) -> None:
    """Compare the pictures of DOCUMENTS, each with each and with itself: folders, archives (such as NAME.crops.zip),
    IIIF manifests, PDFs, and other sources.

    similarity.json, similarity.csv and scores/ have the pairs of figures. Pictures that cannot be read are reported,
    and compared with nothing.
    """
    named = _listed(listed) if listed is not None else _named(documents)
    model = load_embedder(model_path, device)
    wanted = space_of(model, space)
    store = FigureStore(output, model, wanted, _local_features if verify else None)
    progress = _Progress(as_json)
    for name, address in named.items():
        try:
            store.read(name, address, progress.tell)
        except SourceError as error:
            raise ElementsError(f"{name}: {error}") from error
    figures = [store.of(name) for name in named]
    store.tidy(figures)
    identity = model.identity
    parameters = {
        "model": identity.name, "sha256": identity.sha256, "space": wanted.name, "metric": wanted.metric,
        "topk": top_k, "mutual": mutual, "verified": verify,
    }  # fmt: skip
    told = []
    with ScoreFiles(output, figures, list(named.values())) as files:
        for first, second, pairs in all_pairs(figures, wanted, top_k, mutual=mutual):
            inliers = None
            if verify:
                pairs, inliers = _verified(pairs, *(store.local(figures[each].document) for each in (first, second)))
            told.append(files.add(first, second, pairs, inliers, compatible=compatible))
        files.finish(parameters)
    if as_json:
        say(json.dumps({"compared": told, "done": progress.done, "failed": progress.failed}))
        return
    for each in told:
        say(f"{' and '.join(each['documents'])}: {each['pairs']:,} pairs")
    if progress.failed:
        say(f"{progress.failed:,} pictures could not be read: see not_read in {output / SIMILARITY_FILE}", err=True)


def _local_features(data: bytes) -> bytes:
    from elements.similarity.local_features import local_features  # PyTorch, for those who need it

    return local_features(data).as_bytes()


def _verified(pairs: Pairs, *local: list[bytes]) -> tuple[Pairs, NDArray[np.int64]]:
    from elements.similarity.local_features import LocalFeatures
    from elements.similarity.verification import verified

    return verified(pairs, *([LocalFeatures.from_bytes(each) for each in one] for one in local))


def _named(addresses: tuple[str, ...]) -> dict[str, str]:
    named: dict[str, str] = {}
    for address in addresses:
        plain, number = document_name(address), 1
        name = plain
        while name in named:
            number += 1
            name = f"{plain}-{number}"
        named[name] = address
    return _checked(named)


def _listed(path: Path) -> dict[str, str]:
    try:
        given = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ElementsError(f"{path} is no JSON") from error
    if not isinstance(given, dict) or not all(isinstance(each, str) for each in given.values()):
        raise ElementsError(f"{path} is no JSON object of names and addresses")
    return _checked(given)


def _checked(named: dict[str, str]) -> dict[str, str]:
    if not named or len(named) > _MOST_DOCUMENTS:
        raise ElementsError(f"name 1 to {_MOST_DOCUMENTS:,} documents")
    if odd := next((name for name in named if not _NAME.fullmatch(name)), None):
        raise ElementsError(f"a document's name has letters, digits, dots, dashes and underscores, unlike {odd!r}")
    return named


class _Progress:
    def __init__(self, as_json: bool) -> None:
        self.done = self.failed = 0
        self._as_json = as_json
        self._told = 0.0

    def tell(self, has_vector: bool) -> None:
        """Count a picture."""
        self.done += 1
        self.failed += not has_vector
        now = time.monotonic()
        if self._as_json and now - self._told >= _EVERY_SECONDS:
            self._told = now
            say(json.dumps({"done": self.done, "failed": self.failed}))
