"""Index versions for tests, made by the real indexer from pictures with known codes."""

from collections.abc import Mapping
from pathlib import Path

from embedding.torchscript import TorchScriptEmbedder
from indexer.builder import Request, build
from searcher.versions.store import IndexStore
from sources.folder import FolderSource
from sources.listing import Listing
from tests.fakes import write_datalake


def publish(
    store: IndexStore, name: str, model: TorchScriptEmbedder, codes: Mapping[str, int | tuple[int, int]], folder: Path
) -> None:
    """Publish version ``name`` of pictures that have ``codes``, or codes and detail codes, keyed by the path in the
    listing."""
    lines = write_datalake(folder, codes)
    listing = folder / f"{name}.txt"
    listing.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    build(Request(store, name, FolderSource(folder, Listing(listing))), model, tell=lambda _line: None)
