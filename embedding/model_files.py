"""Finds the file of a model that an index version was made with. ``make serve`` keeps serving the current version's:
the admin API may have switched it.

    python embedding/model_files.py        prints the current version's model file, or nothing

It imports nothing of ours, because make runs it first, every time.
"""

import hashlib
import json
import os
from pathlib import Path


def models_folder() -> Path:
    return Path(os.environ.get("HASHLAKE_MODELS") or "torchscripts_models")


def model_file(sha256: str, models: Path) -> Path | None:
    """Returns the first .pt file (by name) below ``models`` whose contents have this sha256, or None."""
    return next((path for path in sorted(models.rglob("*.pt")) if _sha256(path) == sha256), None)


def current_model(store: Path, models: Path) -> Path | None:
    """Returns the file below ``models`` that made the current version in ``store``, or None."""
    try:
        name = (store / "CURRENT").read_text(encoding="utf-8").strip()
        wanted = json.loads((store / name / "manifest.json").read_text(encoding="utf-8"))["model"]["sha256"]
    except (OSError, ValueError, LookupError, TypeError):  # no version, or a damaged one, which fails when it is opened
        return None
    return model_file(wanted, models)


def _sha256(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


if __name__ == "__main__":
    store = Path(os.environ.get("HASHLAKE_INDEX_STORE") or "index_store")
    found = current_model(store, models_folder())
    if found:
        print(found)
