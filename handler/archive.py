"""The model archive (.mar) that TorchServe loads: entry file, model, its card, and how requests are batched.

It does not contain the rooms: they are installed beside TorchServe, because the archiver flattens folders.

The same inputs give the same bytes, so anyone can check an archive by building it again. torch-model-archiver adds
dates, the folder's file order and the umask's permissions; we rewrite the archive's parts without them.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from contract.names import MODEL_NAME
from embedding.card import CARD_FILE
from embedding.registry import load_embedder
from handler.errors import HandlerError

ARCHIVE_FILE = f"{MODEL_NAME}.mar"

#: Archives of other models, which serve collections of their own; named by ModelIdentity.served_name.
BESIDE_FILES = "*-" + 12 * "[0-9a-f]" + ".mar"

_HERE = Path(__file__).parent
_MANIFEST = "MAR-INF/MANIFEST.json"
_DATED = "01/01/1980 00:00:00"  # in the manifest's format: the earliest date that a zip can hold


def build_archive(
    model_path: Path,
    model_store: Path,
    image_size: int | None = None,
    model_version: str = "1.0",
    *,
    beside: bool = False,
) -> Path:
    """Pack the model at ``model_path`` into ``model_store``. Returns the archive's path.

    The archive appears whole or not at all. ``image_size`` is for models without a card. A running TorchServe can load
    the archive beside the one it has if their ``model_version`` differs. ``beside``: the model serves collections of
    its own, not the datalake, under its own name. Raises ModelError for a model that cannot serve, HandlerError if the
    archiver fails.
    """
    model = load_embedder(model_path, image_size=image_size)
    name = model.identity.served_name if beside else MODEL_NAME
    model_store.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=model_store, prefix=".archive-") as scratch:
        card = Path(scratch) / CARD_FILE
        card.write_text(model.card.model_dump_json(indent=1), encoding="utf-8")
        command = [
            sys.executable, "-m", "model_archiver.model_packaging",
            "--model-name", name,
            "--version", model_version,
            "--serialized-file", str(model_path),
            "--handler", str(_HERE / "image_retrieval_handler.py"),
            "--config-file", str(_HERE / "model-config.yaml"),
            "--extra-files", str(card),
            "--archive-format", "zip-store",
            "--export-path", scratch,
        ]  # fmt: skip
        # The archiver works in TMPDIR/<model name>; two runs must not share it.
        done = subprocess.run(
            command, env=os.environ | {"TMPDIR": scratch}, capture_output=True, text=True, check=False
        )
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise HandlerError(f"torch-model-archiver failed: {last}")
        undated = Path(scratch) / "undated.mar"
        archive = model_store / f"{name}.mar"
        _rewrite_undated(Path(scratch) / archive.name, undated)
        os.replace(undated, archive)
    return archive


def _rewrite_undated(packed: Path, undated: Path) -> None:
    """Copy the parts of ``packed`` to ``undated``: sorted by name, uncompressed, one date, one set of permissions."""
    with zipfile.ZipFile(packed) as source, zipfile.ZipFile(undated, "w") as target:
        for name in sorted(source.namelist()):
            part = zipfile.ZipInfo(name)  # uncompressed, dated 1980-01-01
            part.create_system = 3  # Unix: the permissions below are Unix permissions
            part.external_attr = 0o644 << 16
            if name == _MANIFEST:
                manifest = json.loads(source.read(name)) | {"createdOn": _DATED}
                target.writestr(part, json.dumps(manifest, indent=2))
            else:
                part.file_size = source.getinfo(name).file_size  # above 2 GiB the header differs
                with source.open(name) as content, target.open(part, "w") as copy:
                    shutil.copyfileobj(content, copy)
