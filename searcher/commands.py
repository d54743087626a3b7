"""``hashlake versions``: what is in the index store, and which version is served."""

import sys
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from searcher.store import IndexStore

_store = click.option(
    "--index_store", "store", default="index_store", show_default=True, envvar="HASHLAKE_INDEX_STORE",
    type=click.Path(file_okay=False, path_type=Path), callback=lambda _c, _p, path: IndexStore(path),
    help="Folder of the index versions.",
)  # fmt: skip


@click.group(short_help="List, verify, promote, roll back and prune index versions.")
def versions() -> None:
    """Index versions: immutable folders, one of them current. Servers follow the current one live."""


@versions.command("list")
@_store
def list_versions(store: IndexStore) -> None:
    """Show every published version, oldest first; * marks the current one."""
    table = Table("", "version", "created (UTC)", "images", "skipped", "model", "bits", "mode", box=None)
    current = store.current()
    manifests = store.manifests()
    for manifest in manifests:
        table.add_row(
            "*" if manifest.version == current else "",
            manifest.version,
            f"{manifest.created:%Y-%m-%d %H:%M:%S}",
            f"{manifest.count:,}",
            f"{manifest.skipped:,}",
            Text(manifest.model.name),  # not markup, whatever it holds
            str(manifest.model.bits),
            manifest.mode,
        )
    if manifests:
        Console(width=None if sys.stdout.isatty() else 200).print(table)
    else:
        click.echo(f"no version is published in {store.folder}")


@versions.command()
@click.argument("name", required=False)
@_store
def verify(name: str | None, store: IndexStore) -> None:
    """Read every byte of version NAME, or of all versions, and compare with the checksums in its manifest."""
    for each in [name] if name else store.names():
        manifest = store.verify(each)
        click.echo(f"{each}: {len(manifest.files)} files as published, {manifest.count:,} images")


@versions.command()
@click.argument("name")
@_store
def promote(name: str, store: IndexStore) -> None:
    """Verify version NAME and make it the current one."""
    store.promote(name)
    click.echo(f"{name} is current")


@versions.command()
@_store
def rollback(store: IndexStore) -> None:
    """Make the version that was published before the current one current again, after verifying it."""
    left, name = store.current(), store.previous()
    store.promote(name)
    click.echo(f"{name} is current, {left} is kept")


@versions.command()
@click.option("--keep", default=2, show_default=True, type=click.IntRange(1), help="How many of the newest to keep.")
@_store
def prune(keep: int, store: IndexStore) -> None:
    """Delete old versions (never the current one) and what unfinished indexing runs left behind."""
    gone = store.prune(keep)
    click.echo(f"deleted {', '.join(gone)}" if gone else "no version was old enough to delete")
