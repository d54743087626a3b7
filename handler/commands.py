"""``hashlake archive`` and ``hashlake search``."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

import click
import numpy as np
from pydantic import TypeAdapter, ValidationError

from contract.names import DEFAULT_COLLECTION
from contract.query import (
    DEFAULT_RANK,
    DEFAULT_TEXT_WEIGHT,
    DEFAULT_TOP_K,
    MAX_DISTANCE,
    MAX_TOP_K,
    RANKS,
    Finite,
    Rank,
)
from contract.regions import regions_among
from contract.space import Vectors
from contract.terminal import say
from embedding.cores import usable_cores
from embedding.embedder import Embedder
from embedding.model_files import model_file, models_folder
from embedding.registry import load_embedder
from handler.answer import closeness
from handler.archive import build_archive
from handler.errors import RequestError
from handler.mixing import mixed, word_parts
from handler.preparation import known_vectors, positions
from handler.request import QueryEmbedding, Words
from searcher.collections import Collections
from searcher.matches import Matches
from searcher.open_collection import OpenView
from searcher.scan.ranking import Query
from searcher.thinning import thinned
from searcher.versions.store import IndexStore
from searcher.versions.version import IndexVersion

_numbers = TypeAdapter(list[Finite])

_FOLDER = click.Path(file_okay=False, path_type=Path)
_FILE = click.Path(dir_okay=False, path_type=Path)

_index_store = click.option(
    "--index_store", default="index_store", show_default=True, envvar="HASHLAKE_INDEX_STORE", type=_FOLDER,
    help="Folder of the index versions.",
)  # fmt: skip
_model_store = click.option(
    "--model_store", default="model_store", show_default=True, envvar="HASHLAKE_MODEL_STORE", type=_FOLDER,
    help="Folder of the model archive.",
)  # fmt: skip
_image_size = click.option("--image_size", type=int, help="Input size of a model that comes without a card.")


@click.command(short_help="Pack a model into the archive that TorchServe loads.")
@click.option("--model_path", required=True, type=_FILE, help="The TorchScript hash model (.pt).")
@click.option(
    "--model_version", default="1.0", show_default=True, help="TorchServe's own count: a number not registered yet."
)
@click.option(
    "--beside", is_flag=True, help="The model serves collections of its own, beside the datalake's, by its own name."
)
@_model_store
@_image_size
def archive(model_path: Path, model_version: str, beside: bool, model_store: Path, image_size: int | None) -> None:
    """Pack a model, its card and the request handler into image-retrieval-v1.0.mar."""
    say(str(build_archive(model_path, model_store, image_size, model_version, beside=beside)))


@click.command(short_help="Find the images most like a photo, or like words.")
@click.argument("photo", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--text",
    metavar="WORDS",
    help="What images should show, instead of PHOTO or beside it: any words, or a class of a model that takes none.",
)
@click.option(
    "--text_weight",
    default=DEFAULT_TEXT_WEIGHT,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="How much --text counts beside PHOTO.",
)
@click.option("--negative_text", metavar="WORDS", help="What images should not be like.")
@click.option(
    "--embedding", type=click.File(encoding="utf-8"), help="Instead of PHOTO: a file with a list of JSON, - for stdin."
)
@click.option(
    "--model_path",
    type=_FILE,
    help="The model that the version was made with (.pt).  [default: found in the folder HASHLAKE_MODELS, "
    "torchscripts_models unless set]",
)
@_index_store
@click.option("--collection", default=DEFAULT_COLLECTION, show_default=True, help="Collection to search.")
@click.option(
    "--index_database_version",
    "name",
    metavar="NAME",
    help="Version to search, as it was built.  [default: the current one, with all changes since]",
)
@click.option(
    "--top_k", default=DEFAULT_TOP_K, show_default=True, type=click.IntRange(1, MAX_TOP_K), help="Answers wanted."
)
@click.option(
    "--max_distance", type=click.IntRange(0, MAX_DISTANCE), help="Leave out images whose codes differ in more bits."
)
@click.option(
    "--rank",
    default=DEFAULT_RANK,
    show_default=True,
    type=click.Choice(RANKS),
    help="What puts images in order: the embedding or else the code, which say what is shown, or the detail code, "
    "which picture it is.",
)
@click.option("--turned", is_flag=True, help="Look for PHOTO turned by 90, 180 or 270 degrees and mirrored, too.")
@click.option("--collapse", is_flag=True, help="Print the best of each picture's regions, crops and itself alone.")
@click.option("--exact", is_flag=True, help="Compare all embeddings, not those of a shortlist alone.")
@click.option("--json", "as_json", is_flag=True, help="Print version, paths and distances as the server tells them.")
@_image_size
def search(
    photo: Path | None,
    text: str | None,
    text_weight: float,
    negative_text: str | None,
    embedding: TextIO | None,
    model_path: Path | None,
    index_store: Path,
    collection: str,
    name: str | None,
    top_k: int,
    max_distance: int | None,
    rank: Rank,
    turned: bool,
    collapse: bool,
    exact: bool,
    as_json: bool,
    image_size: int | None,
) -> None:  # fmt: skip
    """Print the indexed images most like PHOTO, like an embedding, or like what words say, best first, each with its
    Hamming distance, or 1 − cos of embeddings, and, where that was measured for the model, its closeness from 0 to 1:
    the share of pictures so far apart that show the same kind of thing or, with --rank detail, are the very same
    picture."""
    if photo is not None and embedding is not None:
        raise click.UsageError("give PHOTO or --embedding FILE, not both")
    if photo is None and embedding is None and not text:
        raise click.UsageError("give PHOTO or --embedding FILE, --text WORDS, or both")
    if (text or negative_text or embedding) and rank == "detail":
        raise click.UsageError("--rank detail needs PHOTO alone: words and embeddings have no detail code")
    if photo is None and turned:
        raise click.UsageError("--turned needs PHOTO: words and embeddings cannot be turned")
    alone = photo is None and embedding is None
    words = Words(None if alone else text, text_weight, negative_text)
    subject = photo or (text or "" if embedding is None else _embedding_in(embedding))
    view: IndexVersion | OpenView
    if name is None:
        view = Collections(index_store, threads=usable_cores()).open(collection).view()
    else:
        folder = Collections(index_store).open(collection).folder
        view = IndexStore(folder).open(name, threads=usable_cores())
    model = load_embedder(model_path or _model_of(view), image_size=image_size)
    view.require_model(model.identity)
    if not view.can(rank):
        raise click.ClickException(f"--rank detail needs detail codes, and version {view.name} has none")
    mixing = words.text is not None or words.negative is not None
    try:
        asked = _embedded(model, subject, turned=turned)
        if mixing:
            parts = word_parts(model, words)
            asked = [mixed(model, each, words, parts, of_text=alone) for each in asked]
    except RequestError as error:
        raise click.ClickException(str(error)) from error

    def find(wanted: int) -> Matches:
        return view.search_any([Query(each, wanted, max_distance, rank, exact) for each in asked])

    matches = thinned(find, top_k, collapse=collapse)
    judged = {} if mixing else closeness(view.model, matches, subject)
    if as_json:
        answer = {"index_database_version": view.name, "relevant": matches.paths, "distances": matches.distances}
        say(json.dumps(answer | regions_among(matches.paths, collapsed=collapse) | judged, ensure_ascii=False))
        return
    if not matches.paths:
        say("no image is like it, among those that may be found", err=True)
        return
    say(f"{view.model.name}, version {view.name}: {_heading(matches, judged)}", err=True)
    for place, (path, distance) in enumerate(zip(matches.paths, matches.distances, strict=True)):
        apart = f"{distance:4d}" if isinstance(distance, int) else f"{distance:6.4f}"
        say(f"{apart}  {judged['closeness'][place]:.2f}  {path}" if judged else f"{apart}  {path}")
    if judged.get("nothing_like_it"):
        say("nothing like it was found", err=True)


def _model_of(view: IndexVersion | OpenView) -> Path:
    """Returns the file of the model that ``view`` was made with. Raises ClickException if it isn't there."""
    folder = models_folder()
    found = model_file(view.model.sha256, folder)
    if found is None:
        raise click.ClickException(
            f"version {view.name} was made with {view.model.name}, which {folder} doesn't have: "
            "name its file with --model_path"
        )
    return found


def _heading(matches: Matches, judged: Mapping[str, Any]) -> str:
    """Returns what the lines have, in words."""
    first = "differing bits" if isinstance(matches.distances[0], int) else "1 − cos"
    return f"{first}, closeness, image" if judged else f"{first}, image"


def _embedding_in(file: TextIO) -> QueryEmbedding:
    try:
        numbers = _numbers.validate_json(file.read())
    except ValidationError as error:
        raise click.BadParameter(f"{file.name} holds no list of numbers", param_hint="--embedding") from error
    if not any(numbers):
        raise click.BadParameter("it has no direction: it is empty, or all zero", param_hint="--embedding")
    return QueryEmbedding(tuple(numbers))


def _embedded(model: Embedder, subject: Path | str | QueryEmbedding, *, turned: bool) -> list[Vectors]:
    """Returns the vectors of ``subject``: of a picture in all positions if it may be ``turned``."""
    if not isinstance(subject, Path):
        return [known_vectors(model, subject)]
    picture = model.prepare(subject.read_bytes())
    seen = positions(picture) if turned else [picture]
    vectors = model.embed(np.stack(seen))
    return [{name: array[place] for name, array in vectors.items()} for place in range(len(seen))]
