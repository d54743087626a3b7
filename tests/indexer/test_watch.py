"""Watching a source: each item is embedded once, whatever is killed, fails, changes or goes."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from embedding.embedder import Embedder
from embedding.registry import load_embedder
from embedding.torchscript import TorchScriptEmbedder
from indexer.errors import IndexingError
from indexer.splitting import splitters_for
from indexer.watch import Pass, Watch, open_collection
from indexer.watch_state import STATE_FILE
from searcher.collections import Collections
from searcher.errors import ModelMismatch
from searcher.scan.ranking import Query
from sources.pdf import PdfPages
from sources.registry import open_source
from sources.selection import Selection
from tests.fake_embedder import CellEmbedder
from tests.fakes import code_bytes, picture_of, png_of, write_grid_model, write_words_model
from tests.handler.server import free_ports
from tests.hashlake.command import hashlake
from tests.sources.pdf_files import pdf_of
from tests.squares import NAME, install, page, png


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    (tmp_path / "lake").mkdir()
    for number in range(40):
        (tmp_path / "lake" / f"{number:02}.png").write_bytes(png_of(number))
    return tmp_path / "lake"


def codes(store: Path, name: str = "new") -> dict[str, bytes]:
    """What the collection holds, by names within the lake."""
    view = Collections(store).open(name).view()
    return {image.path.partition("/lake/")[2]: image.vectors["code"] for image in view.images(limit=1000)}


def once(lake: Path, model: Embedder, **options: object) -> Pass:
    """One pass over the lake."""
    splitters = (PdfPages(dpi=36),)
    collection = open_collection(lake.parent / "store", "new", model.identity)
    work = Watch(collection, model, splitters, threads=2, **options)  # type: ignore[arg-type]
    with open_source(str(lake), Selection(frozenset({".pdf"}))) as source:
        return work.run(source, str(lake))


def test_a_pass_embeds_what_was_not_embedded_before(lake: Path, grid: TorchScriptEmbedder) -> None:
    (lake / "bad.png").write_bytes(b"no picture")
    assert once(lake, grid) == Pass(listed=41, added=40, removed=0, failed=1, failing=1)
    assert codes(lake.parent / "store") == {f"{number:02}.png": code_bytes(number) for number in range(40)}
    assert once(lake, grid) == Pass(listed=41, added=0, removed=0, failed=0, failing=1)
    (lake / "03.png").write_bytes(png_of(300))
    (lake / "bad.png").write_bytes(png_of(400))
    (lake / "more.png").write_bytes(png_of(500))
    assert once(lake, grid) == Pass(listed=42, added=3, removed=0, failed=0, failing=0)
    found = codes(lake.parent / "store")
    assert len(found) == 42
    assert [found[name] for name in ("03.png", "bad.png", "more.png")] == list(map(code_bytes, (300, 400, 500)))


def test_the_list_is_fixed_before_it_is_worked_through(lake: Path, grid: TorchScriptEmbedder) -> None:
    """The original asks for what is not done while it marks what is, and leaves out a third of 100."""
    for number in range(40, 300):
        (lake / f"{number:03}.png").write_bytes(png_of(number))
    assert once(lake, grid).added == 300
    assert len(codes(lake.parent / "store")) == 300


def test_what_is_gone_is_removed_if_wanted(lake: Path, grid: TorchScriptEmbedder) -> None:
    (lake / "a.pdf").write_bytes(pdf_of([picture_of(1, 64), picture_of(2, 64)]))
    once(lake, grid)
    for name in ("05.png", "06.png", "a.pdf"):
        (lake / name).unlink()
    assert once(lake, grid).removed == 0
    assert once(lake, grid, remove_gone=True).removed == 4
    assert codes(lake.parent / "store").keys() == {f"{number:02}.png" for number in range(40)} - {"05.png", "06.png"}


def test_pages_that_a_file_no_longer_has_are_removed(lake: Path, grid: TorchScriptEmbedder) -> None:
    pages = [picture_of(code, 64) for code in (0xFF00, 0x00FF, 0xF0F0)]
    (lake / "a.pdf").write_bytes(pdf_of(pages))
    assert once(lake, grid, only_parts=True) == Pass(listed=1, added=3, removed=0, failed=0, failing=0)
    (lake / "a.pdf").write_bytes(pdf_of(pages[2:]))
    assert once(lake, grid, only_parts=True).added == 1
    assert codes(lake.parent / "store") == {"a.pdf#page=1": code_bytes(0xF0F0)}


def test_a_collection_that_was_deleted_is_filled_again(lake: Path, grid: TorchScriptEmbedder) -> None:
    once(lake, grid)
    open_collection(lake.parent / "store", "new", grid.identity, clean=True)
    assert once(lake, grid).added == 40


def test_a_collection_of_another_model_is_refused(
    lake: Path, grid: TorchScriptEmbedder, colours: TorchScriptEmbedder
) -> None:
    once(lake, grid)
    with pytest.raises(ModelMismatch, match="grid"):
        once(lake, colours)
    with pytest.raises(IndexingError, match="collection default"):
        open_collection(lake.parent / "store", "default", grid.identity, clean=True)


def test_killed_between_collection_and_state_nothing_is_doubled(
    lake: Path, grid: TorchScriptEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("indexer.watch_state.WatchState.record", killed)
        with pytest.raises(KeyboardInterrupt):
            once(lake, grid)
    assert len(codes(lake.parent / "store")) == 16
    assert once(lake, grid).added == 40
    assert len(codes(lake.parent / "store")) == 40


def test_what_goes_after_a_kill_before_it_was_recorded_is_removed(
    lake: Path, grid: TorchScriptEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    pages = [picture_of(code, 64) for code in (0xFF00, 0x00FF, 0xF0F0)]
    for path in lake.iterdir():
        path.unlink()
    (lake / "00.png").write_bytes(png_of(0))
    (lake / "a.pdf").write_bytes(pdf_of(pages))
    with monkeypatch.context() as patched:
        patched.setattr("indexer.watch_state.WatchState.record", killed)
        with pytest.raises(KeyboardInterrupt):
            once(lake, grid)
    assert len(codes(lake.parent / "store")) == 4
    (lake / "00.png").unlink()
    (lake / "a.pdf").write_bytes(pdf_of(pages[:1]))
    assert once(lake, grid, remove_gone=True).removed == 1
    assert codes(lake.parent / "store") == {"a.pdf#page=1": code_bytes(0xFF00)}


# --- The command


def arguments(lake: Path, model: Path) -> list[str]:
    return [
        "watch", str(lake), "--collection", "new", "--model_path", str(model),
        "--index_store", str(lake.parent / "store"), "--threads", "1",
    ]  # fmt: skip


def test_one_pass_by_command(lake: Path, grid_path: Path) -> None:
    answer = hashlake(*arguments(lake, grid_path), "--once")
    assert answer.status == 0, answer.err
    assert "new: 40 listed, 40 added, 0 removed, 0 failed (0 altogether), " in answer.err
    answer = hashlake(*arguments(lake, grid_path), "--once", "--clean")
    assert "40 added" in answer.err


def test_the_environment_of_a_container(lake: Path, grid_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = lake.parent / "models"
    models.mkdir()
    write_grid_model(models / "ViT-B-32.pt")
    (lake / "a.pdf").write_bytes(pdf_of([picture_of(0xFF00, 64)]))
    for name, value in {
        "HASHLAKE_SOURCE": str(lake), "HASHLAKE_INDEX_STORE": str(lake.parent / "store"), "RUN_NAME": "new",
        "HASHLAKE_MODELS": str(models), "MODEL_NAME": "ViT-B/32", "RUN_ONCE": "Yes", "NUMTHREADS": "2",
        "WF_EXTRACT_IMAGES": "f", "WF_EXTRACT_PDFS": "T", "SLEEPING_TIME": "5", "CLEAN": "0",
        "WF_LOG_LEVEL": "ERROR",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    assert hashlake("watch").status == 0
    assert codes(lake.parent / "store").keys() == {"a.pdf#page=1"}
    monkeypatch.setenv("WF_EXTRACT_PDFS", "no")
    assert "nothing to embed" in hashlake("watch").err
    monkeypatch.setenv("WF_EXTRACT_PDFS", "perhaps")
    assert "'perhaps' is neither yes nor no" in hashlake("watch").err
    monkeypatch.setenv("WF_EXTRACT_PDFS", "yes")
    monkeypatch.setenv("WF_EXTRACT_VIDEOS", "")  # empty is unset, here and for those that are known
    monkeypatch.setenv("NUMTHREADS", "")
    assert hashlake("watch").status == 0
    monkeypatch.setenv("WF_EXTRACT_VIDEOS", "yes")
    assert "WF_EXTRACT_VIDEOS is no setting of watch" in hashlake("watch").err
    monkeypatch.delenv("WF_EXTRACT_VIDEOS")
    monkeypatch.setenv("MODEL_NAME", "ViT-L/14@336px")
    assert "has no model ViT-L-14-336px.pt" in hashlake("watch").err


def test_text_of_pdfs_is_found_by_words_and_says_where_it_stands(lake: Path) -> None:
    for path in lake.iterdir():
        path.unlink()
    pages = ["incomprehensible red red red", "then some incomprehensible blue", picture_of(0xFFFF, 64)]
    (lake / "a.pdf").write_bytes(pdf_of(pages, title="Colours"))
    model = write_words_model(lake.parent / "words.pt")
    answer = hashlake(*arguments(lake, model), "--once", "--pdfs")
    assert answer.status == 0, answer.err
    view, embedder = Collections(lake.parent / "store").open("new").view(), load_embedder(model)
    name = f"{lake}/a.pdf"
    pages_and_text = [f"{name}#page={n}" for n in (1, 2, 3)] + [f"{name}#page={n + 1}&segment={n}" for n in (0, 1)]
    assert sorted(image.path for image in view.images(limit=10)) == sorted(pages_and_text)
    for word, segment in (("red", 0), ("blue", 1)):
        vectors = {space: vector[0] for space, vector in embedder.embed_text([word]).items()}
        (found,) = view.search([Query(vectors, 1)])
        assert found.paths == [f"{name}#page={segment + 1}&segment={segment}"]
        said = json.loads(found.metadata[0] or "")
        assert (said["page_number"], said["text"], said["title"]) == (segment + 1, pages[segment], "Colours")
    assert "added, 0 removed" in hashlake(*arguments(lake, model), "--once", "--pdfs").err
    (lake / "a.pdf").write_bytes(pdf_of(pages[:1]))
    assert hashlake(*arguments(lake, model), "--once", "--pdfs").status == 0
    view = Collections(lake.parent / "store").open("new").view()
    assert [image.path for image in view.images(limit=10)] == [f"{name}#page=1", f"{name}#page=1&segment=0"]


def start(lake: Path, model: Path, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "hashlake", *arguments(lake, model), *more], stderr=subprocess.PIPE, text=True
    )


def test_it_follows_a_folder_says_how_far_it_is_and_ends_when_asked(lake: Path, grid_path: Path) -> None:
    (port,) = free_ports(1)
    with start(lake, grid_path, "--every", "3600", "--status_port", str(port)) as process:
        try:
            asleep = wait_for(port, "sleeping")
            assert asleep == {
                "status": "running", "completeness": 1.0, "phase": "sleeping", "phases": ["processing", "sleeping"],
                "accessible": True, "error_message": "", "error_code": "",
            }  # fmt: skip
            assert httpx.get(f"http://127.0.0.1:{port}/", trust_env=False, timeout=60).status_code == 404
            (lake / "new.png").write_bytes(png_of(7))
            until = time.monotonic() + 120
            while "new.png" not in codes(lake.parent / "store"):
                assert time.monotonic() < until
                time.sleep(0.2)
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=120) == 0
        finally:
            process.kill()


def wait_for(port: int, phase: str) -> object:
    until = time.monotonic() + 120
    while time.monotonic() < until:
        try:
            said = httpx.get(f"http://127.0.0.1:{port}/status", trust_env=False, timeout=60).json()
        except httpx.TransportError:
            said = {}
        if said.get("phase") == phase:
            return said
        time.sleep(0.1)
    raise AssertionError(f"never {phase}")


def test_kills_at_any_moment_neither_double_nor_lose(lake: Path) -> None:
    """Children of this process, so that each kill costs a fork; without PyTorch, whose threads don't survive one."""
    grid = CellEmbedder()
    for number in range(40, 200):
        (lake / f"{number:03}.png").write_bytes(png_of(number))
    state = lake.parent / "store" / "collections" / "new" / STATE_FILE
    open_collection(lake.parent / "store", "new", grid.identity)
    for kill in range(12):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                once(lake, grid)
                status = 0
            finally:
                os._exit(status)
        time.sleep(0.004 * kill * kill)
        os.kill(child, signal.SIGKILL)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) in (0, -signal.SIGKILL)
    once(lake, grid)
    assert codes(lake.parent / "store") == {path.name: code_bytes(int(path.stem)) for path in lake.iterdir()}
    with closing(sqlite3.connect(state)) as table:
        assert table.execute("SELECT count(*), count(reason) FROM items").fetchone() == (200, 0)


def test_reasons_are_kept_where_an_operator_can_read_them(lake: Path, grid: TorchScriptEmbedder) -> None:
    (lake / "bad.pdf").write_bytes(b"no PDF")
    once(lake, grid)
    with closing(sqlite3.connect(lake.parent / "store" / "collections" / "new" / STATE_FILE)) as table:
        failed = table.execute("SELECT name, reason FROM items WHERE reason IS NOT NULL").fetchall()
    assert failed == [(f"{lake}/bad.pdf", "the PDF is damaged, or none")]


def test_regions_come_and_go_with_their_picture_and_detector(
    lake: Path, grid: TorchScriptEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(install(lake.parent / "site")))
    for path in lake.iterdir():
        path.unlink()
    for name, code in (("a.png", 7), ("b.png", 9)):
        (lake / name).write_bytes(png(page({"red": (10, 20, code)})))

    def watched(detector: str | None) -> tuple[int, list[str]]:
        collection = open_collection(lake.parent / "store", "new", grid.identity)
        work = Watch(collection, grid, splitters_for((), detector), remove_gone=True)
        with open_source(str(lake)) as source:
            added = work.run(source, str(lake)).added
        return added, list(codes(lake.parent / "store"))

    region = "#xywh=10,20,64,64"
    assert watched(None) == (2, ["a.png", "b.png"])
    assert watched(NAME) == (4, ["a.png", f"a.png{region}", "b.png", f"b.png{region}"])
    assert watched(NAME)[0] == 0
    (lake / "a.png").write_bytes(png(page({})))
    (lake / "b.png").unlink()
    assert watched(NAME) == (1, ["a.png"])
    (lake / "a.png").write_bytes(png(page({"red": (10, 20, 3)})))
    assert watched(NAME) == (2, ["a.png", f"a.png{region}"])
    assert watched(None) == (1, ["a.png"])
