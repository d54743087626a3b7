"""What each kind of job is: the folder of its results, the command that makes them, and what becomes of its answer.

Detecting   hashlake elements detect       ─▶ documents, and an annotation file of each for the callback
Comparing   hashlake elements similarity   ─▶ compared, and the scores of each pair of documents for the callback
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gateway.extractor.folders import Folders
from gateway.extractor.jobs import Compared, Comparing, Delivery, Detecting, Document, Job
from gateway.processes import HASHLAKE

_DOCUMENTS = "asked.json"
#: What the gateway's own collections are called as documents: collection:shoes.
COLLECTION = "collection:"
#: The files of a comparison that are about all documents.
SIMILARITY = ("similarity.json", "similarity.csv")
#: Where it keeps small pictures of figures.
PICTURES = "pictures"


def folder_of(request: Detecting | Comparing, folders: Folders) -> Path:
    """Returns where the results of ``request`` are: those of equal requests are shared."""
    if isinstance(request, Detecting):
        return folders.found(request.source, request.detector)
    return folders.found(request.model_dump_json(), request.model_path)


def command_of(request: Detecting | Comparing, folder: Path, models: Path, gateway: str) -> list[str]:
    """Returns the command that carries ``request`` out, with ``gateway``'s collections. Writes what it reads to
    ``folder``. Raises OSError."""
    if isinstance(request, Detecting):
        return [
            *HASHLAKE, "elements", "detect", "--detector", request.detector, "--output", str(folder), "--json",
            "--", _address(request.source, gateway),
        ]  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    asked = folder / _DOCUMENTS
    addresses = {name: _address(address, gateway) for name, address in request.documents.items()}
    asked.write_text(json.dumps(addresses), encoding="utf-8")
    return [
        *HASHLAKE, "elements", "similarity", "--documents", str(asked), "--output", str(folder), "--json",
        "--model_path", str(models / request.model_path), "--top_k", str(request.top_k),
        *(["--mutual"] if request.mutual else []), *(["--verify"] if request.verify else []),
        *(["--compatible"] if request.compatible else []),
    ]  # fmt: skip


def _address(document: str, gateway: str) -> str:
    """Returns the address of ``document`` for a command; of a collection, where ``gateway`` has it."""
    name = document.removeprefix(COLLECTION)
    return f"{COLLECTION}{gateway}/{name}" if document.startswith(COLLECTION) else document


def outcome(job: Job, folder: Path, said: dict[str, Any]) -> tuple[dict[str, Any], list[Delivery]]:
    """Returns what is known of ``job`` now that its command has ``said`` its last, and what its callback gets. Raises
    LookupError, ValueError and OSError if that isn't what the command says."""
    if isinstance(job.request, Detecting):
        documents = [Document.model_validate(each) for each in said["documents"]]
        detector = json.loads((folder / "documents.json").read_text(encoding="utf-8"))["detector"]
        pages = sum(each.pages for each in documents)
        known = {
            "documents": documents,
            "done": pages,
            "total": pages,
            "failed": sum(each.failed for each in documents),
        }
        return known, _annotations(job, folder, documents, detector)
    compared = [Compared.model_validate(each) for each in said["compared"]]
    known = {"compared": compared, "done": said["done"], "total": said["done"], "failed": said["failed"]}
    return known, _scores(job, job.request, folder, compared)


def _annotations(job: Job, folder: Path, documents: list[Document], detector: dict[str, Any]) -> list[Delivery]:
    if job.callback is None:
        return []
    model = f"{detector['stem']}_{datetime.fromtimestamp(detector['modified'], UTC):%m_%Y}"
    return [
        Delivery(
            url=_below(job.callback, each.name),
            field="annotation_file",
            name=f"{each.name}.txt",
            fields={"model": model},
            path=str(folder / f"{each.name}.txt"),
        )
        for each in documents
    ]


def _below(callback: str, name: str) -> str:
    """Returns the address of ``name`` below ``callback``, whose query stays behind."""
    path, mark, query = callback.partition("?")
    return f"{path.rstrip('/')}/{name}{mark}{query}"


def _scores(job: Job, request: Comparing, folder: Path, compared: list[Compared]) -> list[Delivery]:
    if job.callback is None:
        return []
    if not request.compatible:
        return [
            Delivery(
                url=job.callback, field="similarity", name=SIMILARITY[0], media_type="application/json", fields={},
                path=str(folder / SIMILARITY[0]),
            )
        ]  # fmt: skip
    return [
        Delivery(
            url=job.callback, field=name, name=f"{name}.npy", media_type="application/octet-stream", fields={},
            path=str(folder / "scores-compatible" / each.file),
        )
        for each in compared
        for name in ["-".join(sorted(each.documents))]
    ]  # fmt: skip
