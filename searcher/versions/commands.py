"""``hashlake versions``: lists and manages the versions in the index store."""

from pathlib import Path

import click

from contract.tables import say_table
from contract.terminal import say
from searcher.errors import VersionDamaged
from searcher.versions.shards import split
from searcher.versions.store import IndexStore
from searcher.versions.verdict import verdict_on

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
    columns = ("", "version", "created (UTC)", "images", "skipped", "model", "bits", "mode", "verified (UTC)")
    try:
        current = store.current()
    except VersionDamaged as error:
        current = None
        say(f"Warning: {error}", err=True)
    manifests = store.manifests()
    rows = [
        [
            "*" if manifest.version == current else "",
            manifest.version,
            f"{manifest.created:%Y-%m-%d %H:%M:%S}",
            f"{manifest.count:,}",
            f"{manifest.skipped:,}",
            manifest.model.name,
            str(manifest.model.bits),
            manifest.mode,
            _standing(store, manifest.version),
        ]
        for manifest in manifests
    ]
    if rows:
        say_table(columns, rows)
    else:
        say(f"no version is published in {store.folder}")


def _standing(store: IndexStore, name: str) -> str:
    verdict = verdict_on(store.folder / name)
    if verdict is None:
        return "not yet"
    return f"damaged: {verdict.damaged}" if verdict.damaged else f"{verdict.checked:%Y-%m-%d %H:%M:%S}"


@versions.command()
@click.argument("name", required=False)
@_store
def verify(name: str | None, store: IndexStore) -> None:
    """Read every byte of version NAME, or of all versions, and compare with the checksums in its manifest."""
    for each in [name] if name else store.names():
        manifest = store.verify(each)
        say(f"{each}: {len(manifest.files)} files as published, {manifest.count:,} images")


@versions.command()
@click.argument("name")
@_store
def promote(name: str, store: IndexStore) -> None:
    """Verify version NAME and make it the current one."""
    store.promote(name)
    say(f"{name} is current")


@versions.command()
@_store
def rollback(store: IndexStore) -> None:
    """Make the version that was published before the current one current again, after verifying it."""
    left, name = store.current(), store.previous()
    store.promote(name)
    say(f"{name} is current, {left} is kept")


@versions.command()
@click.option("--keep", default=2, show_default=True, type=click.IntRange(1), help="How many of the newest to keep.")
@_store
def prune(keep: int, store: IndexStore) -> None:
    """Delete old versions (never the current one) and what unfinished indexing runs left behind."""
    gone = store.prune(keep)
    say(f"deleted {', '.join(gone)}" if gone else "no version was old enough to delete")


@click.command(short_help="Split a version into stores for several machines.")
@click.argument("name", required=False)
@click.option("--into", "count", required=True, type=click.IntRange(2, 1000), help="How many stores to make.")
@click.option(
    "--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder that the stores are made in."
)
@_store
def shards(name: str | None, count: int, out: Path, store: IndexStore) -> None:
    """Split version NAME, or the current one, by rows into the stores OUT/0, OUT/1, …. Each is served by a machine of
    its own; a gateway with HASHLAKE_SHARDS asks them all and merges what they find. Killed, the same command goes on.
    """

    def tell(shard: int, made: IndexStore) -> None:
        manifest = made.manifest(version.name)
        say(f"{made.folder}: version {version.name}, {manifest.count:,} images (shard {shard + 1} of {count})")

    version = store.open(name)
    split(version, count, out, tell)
