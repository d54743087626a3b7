"""How fast the indexer is, compared with the most that these cores can do; see RESULTS.md.

    python -m benchmarks.indexing FOLDER [--model_path MODEL.pt] [--runs 3]

Each run measures, one after the other, the bare forward pass, the bare decode-and-hash loop, and the indexer's build
from files to published version. Prints medians and ratios.
"""

import statistics
import tempfile
import time
from pathlib import Path

import click

from benchmarks.bare import decode_and_hash_rate, forward_rate, read_pictures
from embedding.cores import usable_cores
from embedding.torchscript import TorchScriptEmbedder
from indexer.builder import Request, build
from indexer.hasher import CHUNK
from pictures.formats import SUFFIXES
from searcher.versions.store import IndexStore
from sources.folder import FolderSource
from sources.listing import Listing


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--model_path", default="torchscripts_models/relahash-small-64bits.pt", type=click.Path(exists=True, path_type=Path)
)
@click.option("--runs", default=3, show_default=True)
def main(folder: Path, model_path: Path, runs: int) -> None:
    model = TorchScriptEmbedder.load(model_path)
    files = read_pictures(folder)
    rates: dict[str, list[float]] = {"forward pass": [], "decode and hash": [], "indexer": []}
    for _ in range(runs):
        rates["forward pass"].append(forward_rate(model, len(files), CHUNK))
        before = decode_and_hash_rate(model, files, CHUNK)
        with tempfile.TemporaryDirectory() as scratch:
            listing = Path(scratch) / "database_info.txt"
            paths = (str(path.absolute()) for path in sorted(folder.rglob("*")) if path.suffix.lower() in SUFFIXES)
            listing.write_text("".join(f"{path}\n" for path in paths), encoding="utf-8")
            request = Request(
                IndexStore(Path(scratch) / "index_store"), "1.0.0", FolderSource(Path("/"), Listing(listing))
            )
            started = time.perf_counter()
            report = build(request, model, tell=click.echo)
            rates["indexer"].append(report.manifest.count / (time.perf_counter() - started))
        # Measured before and after: the machine's other load drifts within seconds.
        rates["decode and hash"].append((before + decode_and_hash_rate(model, files, CHUNK)) / 2)
    middle = {name: statistics.median(values) for name, values in rates.items()}
    click.echo(f"{len(files)} pictures, {usable_cores()} cores, chunks of {CHUNK}, median of {runs} runs")
    for name, value in middle.items():
        click.echo(f"{name:16}{value:8.0f} pictures/s")
    click.echo(f"indexer / decode and hash: {middle['indexer'] / middle['decode and hash']:.0%}")
    click.echo(f"indexer / forward pass:    {middle['indexer'] / middle['forward pass']:.0%}")


if __name__ == "__main__":
    main()
