"""``hashlake archive``, ``hashlake serve`` and ``hashlake search``."""

import json
import sys
from pathlib import Path

import click

from handler.archive import MODEL_NAME, build_archive
from handler.request import DEFAULT_RANK, DEFAULT_TOP_K, MAX_DISTANCE, MAX_TOP_K, RANKS
from handler.torchserve import Settings, run
from hashing.cores import usable_cores
from hashing.model import HashModel
from hashing.picture import decode
from searcher.collections_store import COLLECTIONS, DEFAULT, Collections
from searcher.manifest import ModelIdentity
from searcher.overlay import View
from searcher.search import Query, Rank
from searcher.store import IndexStore
from searcher.version import IndexVersion

_FOLDER = click.Path(file_okay=False, path_type=Path)
_CONFIG = Path(__file__).resolve().parents[1] / "config.properties"
_PORT = click.IntRange(1, 65535)
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
    click.echo(build_archive(model_path, model_store, image_size, model_version, beside=beside))


@click.command(short_help="Serve image retrieval over HTTP.")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    envvar="HASHLAKE_HOST",
    help="Address that inference listens on; 0.0.0.0 for all.",
)
@click.option(
    "--port", default=8080, show_default=True, envvar="HASHLAKE_INFERENCE_PORT", type=_PORT, help="Inference port."
)
@click.option(
    "--management_port",
    default=8081,
    show_default=True,
    envvar="HASHLAKE_MANAGEMENT_PORT",
    type=_PORT,
    help="TorchServe's management port, on loopback.",
)
@click.option(
    "--metrics_port",
    default=8082,
    show_default=True,
    envvar="HASHLAKE_METRICS_PORT",
    type=_PORT,
    help="Prometheus metrics port.",
)
@click.option(
    "--metrics_host",
    default="127.0.0.1",
    show_default=True,
    envvar="HASHLAKE_METRICS_HOST",
    help="Address that the metrics listen on; 0.0.0.0 for all.",
)
@click.option(
    "--workers", type=click.IntRange(1), envvar="HASHLAKE_WORKERS", help="Worker processes.  [default: one a core]"
)
@click.option(
    "--config",
    default=_CONFIG,
    show_default="the project's config.properties",
    type=_FILE,
    help="TorchServe's configuration.",
)
@click.option("--admin", is_flag=True, help="Start `hashlake admin` too, and stop it at the end.")
@_model_store
@_index_store
def serve(
    host: str,
    port: int,
    management_port: int,
    metrics_port: int,
    metrics_host: str,
    workers: int | None,
    config: Path,
    admin: bool,
    model_store: Path,
    index_store: Path,
) -> None:  # fmt: skip
    """Start TorchServe in the foreground with the archive in the model store. It answers from the current version of
    the index store, follows it when a new one is published, and answers 503 until there is one."""
    settings = Settings(
        host,
        port,
        management_port,
        metrics_port,
        workers or usable_cores(),
        model_store,
        index_store,
        config,
        metrics_host,
    )

    def say() -> None:
        reachable = "127.0.0.1" if host == "0.0.0.0" else host  # noqa: S104 (a comparison)
        url = f"http://{reachable}:{port}/predictions/{MODEL_NAME}"
        click.echo(f"\nhashlake is ready: {url}\n")
        picture = _some_image(IndexStore(index_store))
        click.echo(f"  curl -F image=@{_quoted(picture)} -F top_k=5 -F debug=true {url}\n")

    companion = [sys.executable, "-m", "hashlake", "admin"] if admin else None
    sys.exit(run(settings, say, companion))


@click.command(short_help="Find the images most like a photo, or of a class.")
@click.argument("photo", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--text", metavar="NAME", help="Instead of PHOTO: the class whose images are wanted.")
@click.option("--model_path", required=True, type=_FILE, help="The model that the version was made with (.pt).")
@_index_store
@click.option("--collection", default=DEFAULT, show_default=True, help="Collection to search.")
@click.option(
    "--index_database_version",
    "name",
    metavar="NAME",
    help="Version to search, as it was built.  [default: the current one, with all changes since]",
)
@click.option(
    "--top_k", default=DEFAULT_TOP_K, show_default=True, type=click.IntRange(1, MAX_TOP_K), help="Answers wanted."
)
@click.option("--max_distance", type=click.IntRange(0, MAX_DISTANCE), help="Leave out images farther than this (bits).")
@click.option(
    "--rank",
    default=DEFAULT_RANK,
    show_default=True,
    type=click.Choice(RANKS),
    help="What puts images in order: the code, which says what is shown, or the detail code, which picture it is.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what the server would answer in debug mode.")
@_image_size
def search(
    photo: Path | None,
    text: str | None,
    model_path: Path,
    index_store: Path,
    collection: str,
    name: str | None,
    top_k: int,
    max_distance: int | None,
    rank: Rank,
    as_json: bool,
    image_size: int | None,
) -> None:  # fmt: skip
    """Print the indexed images most like PHOTO, or like the pictures of a class, best first, each with its Hamming
    distance."""
    if (photo is None) == (text is None):
        raise click.UsageError("give either PHOTO or --text NAME")
    if text is not None and rank == "detail":
        raise click.UsageError("--rank detail needs PHOTO: a class has no detail code")
    view: IndexVersion | View
    if name is None:
        view = Collections(index_store, threads=usable_cores()).open(collection).view()
        version = view.version
    else:
        folder = index_store if collection == DEFAULT else index_store / COLLECTIONS / collection
        view = version = IndexStore(folder).open(name, threads=usable_cores())
    model = HashModel.load(model_path, image_size=image_size)
    version.manifest.require_model(ModelIdentity.model_validate(model.identity()))
    if rank == "detail" and not version.has_details:
        raise click.ClickException(f"--rank detail needs detail codes, and version {version.name} has none")
    detail = None
    if text is not None:
        code = model.class_code(text)
    elif photo is not None:
        hashed = model.hash(decode(photo.read_bytes(), model.card.preprocessing)[None])
        code, detail = hashed.codes[0], None if hashed.details is None else hashed.details[0]
    (matches,) = view.search([Query(code, detail, top_k, max_distance, rank)])
    if as_json:
        answer = {"index_database_version": version.name, "relevant": matches.paths, "distances": matches.distances}
        click.echo(json.dumps(answer, ensure_ascii=False))
        return
    for path, distance in zip(matches.paths, matches.distances, strict=True):
        click.echo(f"{distance:4d}  {path}")


def _some_image(store: IndexStore) -> str:
    """A picture for the example: one from the middle of the listing, or a placeholder while there is none."""
    if store.current() is None:
        return "photo.jpg"
    version = store.open()
    return version.images.paths([version.manifest.count // 2])[0] if version.manifest.count else "photo.jpg"


def _quoted(path: str) -> str:
    return "'" + path.replace("'", "'\\''") + "'"
