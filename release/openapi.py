"""docs/openapi.json is what ``python -m gateway.openapi`` prints, of this version."""

import json
import subprocess
import sys
from pathlib import Path


def openapi_problems(root: Path, version: str) -> list[str]:
    """Whether the document in ``root`` is another than its code says, or cannot be made, in a line.

    Its version is that of the installed package, which may be older than ``version``, even in an editable install.
    """
    if not (root / "gateway" / "openapi.py").exists():
        return ["gateway/openapi.py: is missing, so nothing can tell whether docs/openapi.json is in step"]
    done = subprocess.run(
        [sys.executable, "-m", "gateway.openapi"], cwd=root, capture_output=True, text=True, check=False
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return [f"gateway.openapi failed: {last}"]
    printed = json.loads(done.stdout)["info"]["version"]
    if printed != version:
        return [
            f"gateway.openapi: says {printed}, hashlake/version.py says {version}: install it anew "
            "(pip install --no-deps --no-build-isolation -e .), and remove a hashlake.egg-info from this folder"
        ]
    written = root / "docs" / "openapi.json"
    if not written.exists() or written.read_text() != done.stdout:
        return ["docs/openapi.json: is out of step: python -m gateway.openapi > docs/openapi.json"]
    return []
