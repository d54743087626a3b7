"""The commands of README and docs/ that stand below ``<!-- runs -->``, and the notebook's cells, work as they are
written, on one running stack.

The working folder has what `make serve` leaves there: a few pictures of the sample datalake, a model under the name of
the default one, and a server. Only the ports are other ones.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from handler.archive import build_archive
from indexer.sample_datalake import write_garments
from tests.handler.server import REPOSITORY, Server, free_ports
from tests.hashlake.command import hashlake

_BLOCK = re.compile(r"<!-- runs -->\n\n(?:```(\w+)\n(.*?)\n```|((?:    [^\n]*\n|\n(?=    ))+))", re.DOTALL)
_NODE = shutil.which("node")
_MODEL = "torchscripts_models/relahash-general-64bits.pt"


@dataclass(frozen=True)
class Block:
    """A block of a document: lines for bash, Python or, where it is installed, Node."""

    document: str
    language: str
    text: str


def blocks() -> Iterator[Block]:
    for path in (REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))):
        text = path.read_text(encoding="utf-8")
        found = list(_BLOCK.finditer(text))
        assert len(found) == text.count("<!-- runs -->"), f"{path.name} has a mark without a block"
        for match in found:
            language, fenced, indented = match.groups()
            if language == "js" and _NODE is None:
                continue
            lines = fenced if language else re.sub("(?m)^    ", "", indented)
            yield Block(path.name, language or "bash", lines)
    for path in sorted((REPOSITORY / "docs").glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
        yield Block(path.name, "python", "\n".join(code))


@dataclass(frozen=True)
class Place:
    """The working folder, and what its server listens on."""

    folder: Path
    server: Server
    idios_port: int
    key: str

    def run(self, block: Block) -> subprocess.CompletedProcess[str]:
        text = block.text
        ports = {8080: self.server.port, 8000: self.server.gateway_port, 4213: self.idios_port}
        for written, real in ports.items():
            text = text.replace(f"127.0.0.1:{written}", f"127.0.0.1:{real}")
        bash = ["bash", "-euo", "pipefail", "-c", text]
        environment = os.environ | {
            "HOME": str(self.folder),  # curl reads .curlrc there
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HASHLAKE_URL": f"http://127.0.0.1:{self.server.gateway_port}",
            "HASHLAKE_KEY": self.key,
        }
        command = {
            "python": [sys.executable, "-c", text],
            "js": [str(_NODE), "--input-type=module", "--eval", text],
        }.get(block.language, bash)
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=300, check=False
        )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, grid_path: Path) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("clone")
    write_garments(folder / "sample_datalake" / "garments", 12, 0)
    (folder / _MODEL).parent.mkdir()
    shutil.copy(grid_path, folder / _MODEL)
    (folder / "indexer").symlink_to(REPOSITORY / "indexer")
    (folder / ".venv").symlink_to(Path(sys.executable).parents[1])
    (folder / ".curlrc").write_text("fail-with-body\nsilent\nshow-error\n")
    (idios_port,) = free_ports(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        refreshed = hashlake("refresh", "sample_datalake", "--model_path", _MODEL)
        assert refreshed.status == 0, refreshed.err
        for name, value in {
            "DATALAKE": "sample_datalake", "DATALAKE_ROOT": folder, "MODELS": folder / "torchscripts_models",
            "DATABASE": folder / "database_info.txt", "IDIOS_PORT": idios_port,
        }.items():  # fmt: skip
            patch.setenv(f"HASHLAKE_{name}", str(value))
        archive = build_archive(folder / _MODEL, folder / "model_store")
        state = folder / "gateway_state"
        with Server(folder / "index_store", archive.parent, folder / "server.log", state) as server:
            for name in ("DATALAKE", "DATALAKE_ROOT", "MODELS", "DATABASE", "IDIOS_PORT"):
                patch.delenv(f"HASHLAKE_{name}")
            key = hashlake("keys", "create", "of the blocks", "--role", "admin", "--state", state).out.strip()
            yield Place(folder, server, idios_port, key)


@pytest.mark.parametrize("block", list(blocks()), ids=lambda block: f"{block.document} {block.text.split()[0]}")
def test_a_block_runs_as_it_is_written(place: Place, block: Block) -> None:
    done = place.run(block)
    assert done.returncode == 0, f"{block.text}\n{done.stdout}\n{done.stderr}"
