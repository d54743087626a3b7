"""The client in javascript/: generated anew of the document of today, it compiles, its example fits its types, and Node
searches a real stack with it. ``npm ci --prefix javascript`` brings what this needs.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from hashlake.version import __version__
from tests.fakes import png_of
from tests.gateway.stack import Stack
from tests.handler.server import REPOSITORY

CLIENT = REPOSITORY / "javascript"
LAKE = {"data/white.png": 0xFFFF, "data/dot.png": 0xFFFE, "data/black.png": 0x0000}
NPM = shutil.which("npm")
needs_npm = pytest.mark.skipif(
    NPM is None or not (CLIENT / "node_modules").is_dir(), reason="needs npm ci --prefix javascript"
)


def test_its_version_is_the_projects() -> None:
    assert f'"version": "{__version__}"' in (CLIENT / "package.json").read_text()


@needs_npm
def test_it_is_generated_compiles_and_searches(tmp_path: Path) -> None:
    project = tmp_path / "javascript"
    shutil.copytree(CLIENT, project, ignore=shutil.ignore_patterns("node_modules", "dist", "schema.d.ts"))
    (project / "node_modules").symlink_to(CLIENT / "node_modules")
    (tmp_path / "docs").mkdir()
    shutil.copy(REPOSITORY / "docs" / "openapi.json", tmp_path / "docs")
    for script in ("build", "check"):
        done = subprocess.run(
            [str(NPM), "run", script], cwd=project, capture_output=True, text=True, timeout=600, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert '"/api/search"' in (project / "dist" / "schema.d.ts").read_text()

    picture = tmp_path / "picture.png"
    picture.write_bytes(png_of(0xFFF7))
    with Stack(tmp_path / "stack", LAKE) as stack:
        assert stack.reindex("1.0.0").status_code == 200
        done = subprocess.run(
            ["node", "example/search.js", str(picture)],
            cwd=project,
            env=os.environ | {"HASHLAKE_URL": stack.url, "HASHLAKE_KEY": stack.admin_key},
            capture_output=True, text=True, timeout=240, check=False,
        )  # fmt: skip
    assert done.stdout.splitlines() == [
        "3 pictures in version 1.0.0",
        "1 data/white.png",
        "2 data/dot.png",
        "15 data/black.png",
        "404 no_such_version",
    ], done.stderr
