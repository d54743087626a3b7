"""Finds the model that made the current version. ``make serve`` keeps serving it: the admin API may have switched it.

    python indexer/current_model.py        prints its file in the folder of models, or nothing

It imports nothing of ours, because make runs it first, every time.
"""

import hashlib
import json
import os
from pathlib import Path


def models_folder() -> Path:
    return Path(os.environ.get("HASHLAKE_MODELS") or "torchscripts_models")


def current_model(store: Path, models: Path) -> Path | None:
    """Returns the first .pt file (by name) below ``models`` that made the current version in ``store``, or None."""
    try:
        name = (store / "CURRENT").read_text(encoding="utf-8").strip()
        wanted = json.loads((store / name / "manifest.json").read_text(encoding="utf-8"))["model"]["sha256"]
    except (OSError, ValueError, LookupError, TypeError):  # no version, or a damaged one, which fails when it is opened
        return None
    return next((path for path in sorted(models.rglob("*.pt")) if _sha256(path) == wanted), None)


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
