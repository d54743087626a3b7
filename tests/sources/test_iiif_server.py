"""Images of a real IIIF image server, in a process of its own."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import httpx
import pytest
from PIL import Image

from sources.registry import open_source
from tests.fakes import png_of
from tests.handler.server import free_ports


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The address of a server of ``page.png``, 64 pixels a side."""
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "page.png").write_bytes(png_of(0xFF00, 64))
    with image_server(tmp_path, tmp_path / "images") as address:
        yield address


@contextmanager
def image_server(folder: Path, images: Path) -> Iterator[str]:
    """The address of a server of the pictures in ``images``, by Image API 2.1 and 3.0, that writes to ``folder``."""
    script = shutil.which("iiif_testserver.py", path=str(Path(sys.executable).parent))
    assert script is not None
    (port,) = free_ports(1)
    command = [
        sys.executable, script, "--host", "127.0.0.1", "--port", str(port), "--api-versions", "2.1,3.0",
        "--manipulators", "pil", "--image-dir", str(images),
    ]  # fmt: skip
    # It writes a file with its number to the folder where it starts.
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(command, cwd=folder, stdout=log, stderr=log) as process,
    ):
        try:
            until = time.monotonic() + 120
            while True:
                try:
                    httpx.get(f"http://127.0.0.1:{port}/", trust_env=False, timeout=60)
                    break
                except httpx.TransportError:
                    assert process.poll() is None and time.monotonic() < until, (folder / "log").read_text()
                    time.sleep(0.1)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


def test_whole_images_by_both_versions(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HASHLAKE_FETCH_ALLOW", "127.0.0.0/8")
    for version, kind in (("2.1", "ImageService2"), ("3.0", "ImageService3")):
        service = {"id": f"{server}/{version}_pil/page", "type": kind}
        assert httpx.get(f"{service['id']}/info.json", trust_env=False, timeout=60).json()["width"] == 64
        body = {"id": "http://127.0.0.1:1/none.jpg", "type": "Image", "service": [service]}
        manifest = {"type": "Manifest", "id": "m", "items": [{"id": "c", "items": [{"items": [{"body": body}]}]}]}
        (tmp_path / "m.json").write_text(json.dumps(manifest))
        with open_source(f"iiif:{tmp_path}/m.json") as source:
            (item,) = source.items()
            data = source.read(item)[1]
        assert Image.open(BytesIO(data)).size == (64, 64)
        assert Image.open(BytesIO(data)).format == "JPEG"
