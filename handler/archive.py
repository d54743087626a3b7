"""The model archive (.mar) that TorchServe loads: entry file, model, its card, and how requests are batched.

The rooms themselves are not in it: they are installed beside TorchServe, because the archiver flattens folders.

The same inputs give the same bytes, so that an archive can be checked by building it again: torch-model-archiver dates
files, their order is the folder's and their permissions are the umask's, so its parts are written anew without these.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from handler.errors import HandlerError
from hashing.card import CARD_FILE
from hashing.model import HashModel
from searcher.manifest import ModelIdentity

#: The model's name in URLs: /predictions/image-retrieval-v1.0
MODEL_NAME = "image-retrieval-v1.0"
ARCHIVE_FILE = f"{MODEL_NAME}.mar"

#: Archives of models that serve collections beside it: ModelIdentity.served_name.
BESIDE_FILES = "*-" + 12 * "[0-9a-f]" + ".mar"

_HERE = Path(__file__).parent
_MANIFEST = "MAR-INF/MANIFEST.json"
_DATED = "01/01/1980 00:00:00"  # in the manifest's manner: the earliest date that a zip can tell


def build_archive(
    model_path: Path,
    model_store: Path,
    image_size: int | None = None,
    model_version: str = "1.0",
    *,
    beside: bool = False,
) -> Path:
    """Pack the model at ``model_path`` into ``model_store`` and answer the archive's path.

    The archive appears whole or not at all. ``image_size`` is for models without a card. A running TorchServe can load
    it beside the one it has if ``model_version`` is another. ``beside``: the model doesn't serve the datalake, but
    collections of its own, and is called by its own name. Raises ModelError for a model that could not serve,
    HandlerError if the archiver fails.
    """
    model = HashModel.load(model_path, image_size=image_size)
    name = ModelIdentity.model_validate(model.identity()).served_name if beside else MODEL_NAME
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
        # The archiver works in TMPDIR/<model name>, which two runs must not share.
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
    """Write the parts of ``packed`` to ``undated`` by name, stored, with one date and one set of permissions."""
    with zipfile.ZipFile(packed) as source, zipfile.ZipFile(undated, "w") as target:
        for name in sorted(source.namelist()):
            part = zipfile.ZipInfo(name)  # stored, of 1980-01-01
            part.create_system = 3  # Unix, whose permissions these are
            part.external_attr = 0o644 << 16
            if name == _MANIFEST:
                manifest = json.loads(source.read(name)) | {"createdOn": _DATED}
                target.writestr(part, json.dumps(manifest, indent=2))
            else:
                part.file_size = source.getinfo(name).file_size  # beyond 2 GiB the header is another
                with source.open(name) as content, target.open(part, "w") as copy:
                    shutil.copyfileobj(content, copy)
