"""Brings an index store up to date: does what it takes to serve the files as they are now, and no more.

    files' state ─▶ the current version has it          ─▶ do nothing
                 ─▶ another version of the model has it ─▶ promote it
                 ─▶ no version has it                   ─▶ build one; codes of unchanged files come from the model's
                                                           newest version, whatever its name

The mode stays that of the current version, or, if another model made it, that of this model's newest version.
"""

import hashlib
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from contract.model import ModelIdentity
from indexer.changes import FilesState
from indexer.progress import Progress
from indexer.report import Report
from searcher.errors import SearcherError, VersionDamaged
from searcher.scan.tables import Mode
from searcher.versions.images import IMAGES_FILE, ImageTable
from searcher.versions.manifest import Manifest
from searcher.versions.names import check_new_name, line_of
from searcher.versions.store import IndexStore
from searcher.versions.verdict import is_verified
from sources.errors import Unreadable
from sources.folder import FileVersion
from sources.source import Source, Splitter
from sources.splitters import with_words


@dataclass(frozen=True)
class Refresh:
    """Bring ``store`` up to date with ``source`` and the model in ``model_path``, which computes on ``device``.

    ``name``: always build a version of this name; None: build one only if no version has the files, and name it after
    the model and the files. ``mode``: how to search the version; None: as now. ``keep_current``: the new version
    doesn't become the current one. ``left_out``: what the listing left out, which a new version records.
    ``splitters``: what takes items apart.
    """

    store: IndexStore
    source: Source
    model_path: Path
    device: str = "cpu"
    name: str | None = None
    mode: Mode | None = None
    keep_current: bool = False
    left_out: Mapping[str, int] = field(default_factory=dict)
    splitters: Sequence[Splitter] = ()


@dataclass(frozen=True)
class Found:
    """The version that already has the files. ``was_current``: it was the current one before; it is now in any case."""

    name: str
    was_current: bool


def refresh(
    request: Refresh, tell: Callable[[str], None], progress: Callable[[int, int], Progress] = Progress
) -> Report | Found:
    """Do what ``request`` says; ``tell`` and ``progress`` are as in ``build``.

    Raises what ``build`` and ``IndexStore.promote`` raise, and ModelError or OSError for the model's file. After any
    error the current version is unchanged, and the next run resumes an unfinished build.
    """
    store = request.store
    with request.model_path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    same = [manifest for manifest in store.manifests() if manifest.model.sha256 == sha256]
    current = _current(store)
    mode = request.mode or _mode(same, current)
    if request.name is not None:
        return _build(request, check_new_name(request.name), mode, same, tell, progress)
    state, digest = _files(request.source, request.splitters)
    name = f"{sha256[:8]}-{digest[:12]}"
    found = [each.version for each in same if each.mode == mode and _has(store, each, state, name)]
    if current in found:
        return Found(current, was_current=True)
    if found:
        store.promote(found[-1])
        return Found(found[-1], was_current=False)
    return _build(request, _free(store, name), mode, same, tell, progress)


def _current(store: IndexStore) -> str | None:
    try:
        return store.current()
    except VersionDamaged:  # publishing mends it
        return None


def _mode(same: list[Manifest], current: str | None) -> Mode:
    """Returns the mode for a model's next version; ``same`` holds the model's versions, oldest first."""
    in_use = [manifest for manifest in same if manifest.version == current] or same[-1:]
    return in_use[0].mode if in_use else "default"


def _files(source: Source, splitters: Sequence[Splitter]) -> tuple[str, str]:
    """Returns the files' state, as a version's table records it, and the digest in the version's name: sha256, hex, of
    lines with name and version; a file's are its size and its time in seconds."""
    state, digest = FilesState.of(splitters), hashlib.sha256()
    if splitters:
        digest.update(state.text.encode())
    for item in source.items():
        try:
            item = source.with_version(item)
        except Unreadable:  # it may have vanished meanwhile; the indexer will report it
            continue
        state.add(item)
        version = item.version
        if (file := FileVersion.parse(version)) is not None:
            seconds, nanoseconds = divmod(file.mtime_ns, 1_000_000_000)
            version = f"{file.size} {seconds}.{nanoseconds:09}"
        digest.update(f"{item.name} {version}\n".encode())
    return state.text, digest.hexdigest()


def _has(store: IndexStore, manifest: Manifest, state: str, name: str) -> bool:
    """Returns whether the version has the files in ``state``. Changes folded into a version don't matter.

    Old versions have no recorded state; the ``name`` that they were given identifies them.
    """
    try:
        with ImageTable(store.folder / manifest.version / IMAGES_FILE) as table:
            noted = table.build_facts().get(FilesState.FACT)
    except sqlite3.Error:  # the version is being deleted, or is damaged
        return False
    return noted == state if noted is not None else line_of(manifest.version)[0] == name


def _free(store: IndexStore, name: str) -> str:
    """Returns ``name``, or, if a version with other files has that name, ``name`` with a number appended."""
    free, number = name, 1
    while (store.folder / free).exists():
        number += 1
        free = f"{name}-{number}"
    return free


def _build(
    request: Refresh,
    name: str,
    mode: Mode,
    same: list[Manifest],
    tell: Callable[[str], None],
    progress: Callable[[int, int], Progress],
) -> Report:
    # Imported late: PyTorch takes seconds to load, and most runs have nothing to do.
    from embedding.registry import load_embedder
    from indexer.builder import Request, build

    model = load_embedder(request.model_path, request.device)
    base = _base(request.store, same, model.identity)
    wanted = Request(
        request.store,
        name,
        request.source,
        base,
        mode=mode,
        keep_current=request.keep_current,
        left_out=request.left_out,
        splitters=with_words(request.splitters, getattr(model, "words", None)),
    )
    return build(wanted, model, tell, progress)


def _base(store: IndexStore, same: list[Manifest], model: ModelIdentity) -> str | None:
    """Returns the newest intact version of ``same`` whose codes are the ``model``'s, or None."""
    for manifest in reversed(same):
        try:
            manifest.require_model(model)
            store.open(manifest.version).images.close()
            if not is_verified(store.folder / manifest.version):
                store.verify(manifest.version)
            return manifest.version
        except SearcherError:  # damaged, deleted meanwhile, or made with different preprocessing
            continue
    return None
