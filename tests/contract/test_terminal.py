"""What commands print: shown, never obeyed."""

import ast
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.terminal import run, visible

ROOT = Path(__file__).parents[2]
ROOMS = (
    "contract", "pictures", "sources", "embedding", "detection", "searcher", "indexer", "elements", "handler",
    "gateway", "training", "hashlake",
)  # fmt: skip
#: Files whose output is for programs: a path for make, lines of JSON or an error for the gateway, a document; or for a
#: job's log.
FOR_PROGRAMS = {
    "embedding/model_files.py",
    "gateway/collections/duplicates.py",
    "gateway/openapi.py",
    "gateway/operations/reindex_job.py",
    "gateway/search/maps.py",
    "searcher/versions/scrub.py",
}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("été 日本 \\x1b 👨‍👩‍👧 نستعلیق", "été 日本 \\x1b 👨‍👩‍👧 نستعلیق"),
        ("\x1b[2J\x1b]0;pwn\x07", "\\u001b[2J\\u001b]0;pwn\\u0007"),
        ("a\rFAKE: all ok\n\tb", "a\\rFAKE: all ok\\n\\tb"),
        ("\x00\x08\x7f\x80\x85\x9b\x9f\xa0", "\\u0000\\u0008\\u007f\\u0080\\u0085\\u009b\\u009f\xa0"),
        ("\u202egpj.exe\u202c \u2066a\u2069 \u200f \u061c", "\\u202egpj.exe\\u202c \\u2066a\\u2069 \\u200f \\u061c"),
        ("a\u2028b\u2029c", "a\\u2028b\\u2029c"),
        (b"\xff.jpg".decode(errors="surrogateescape"), "\\udcff.jpg"),
        ("\ud800", "\\ud800"),
    ],
)
def test_visible(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert visible(shown) == shown


@given(st.text(st.characters(), max_size=20) | st.text('\\"\x1b\x9b\u202e\n\ud800u', max_size=20))
def test_json_stays_json_of_the_same_value(text: str) -> None:
    shown = visible(json.dumps({text: [text]}, ensure_ascii=False))
    assert json.loads(shown) == {text: [text]}
    assert "\x1b" not in shown and "\x9b" not in shown and "\u202e" not in shown
    shown.encode()  # no half characters


def ended(command: click.Command, *words: str, monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.setattr("sys.argv", ["hashlake", *words])
    with pytest.raises(SystemExit) as end:
        run(command, lambda error: isinstance(error, LookupError))
    return end.value.code


BAD = "\x1b[2J\n\u202e"
SHOWN = "\\u001b[2J\\n\\u202e"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (LookupError(BAD), f"Error: {SHOWN}"),
        (OSError(2, "No such file", BAD), f"Error: {SHOWN}: No such file"),
        (OSError(f"no {BAD}"), f"Error: input/output: no {SHOWN}"),
    ],
)
def test_errors_are_one_visible_line(error: Exception, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def fails() -> None:
        raise error

    assert ended(fails, monkeypatch=monkeypatch) == code


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((BAD,), f"Error: Invalid value for 'PATH': Path {BAD!r} does not exist."),
        (("/", f"--{BAD}"), f"Error: No such option {'--' + BAD!r}."),
        (("/", BAD), f"Error: Got unexpected extra argument ({SHOWN})"),
        ((), "Error: Missing argument 'PATH'."),
    ],
)
def test_clicks_own_errors(
    words: tuple[str, ...], told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @click.command()
    @click.argument("path", type=click.Path(exists=True))
    def takes(path: str) -> None:
        pass

    assert ended(takes, *words, monkeypatch=monkeypatch) == 2
    said = capsys.readouterr().err
    assert said.startswith("Usage: hashlake [OPTIONS] PATH\n")
    assert said.splitlines()[-1].rstrip(".") == told.rstrip(".")
    assert visible(said.replace("\n", "")) == said.replace("\n", "")


def test_an_exit_status_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    @click.argument("status", type=int)
    @click.pass_context
    def ends(context: click.Context, status: int) -> None:
        context.exit(status)

    assert [ended(ends, word, monkeypatch=monkeypatch) for word in ("0", "3")] == [0, 3]


def test_what_is_logged_is_visible_and_a_traceback_keeps_its_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = logging.Logger("alone")  # without handlers: the last resort writes

    @click.command()
    def warns() -> None:
        log.warning("%s: cannot be read", BAD)
        try:
            raise RuntimeError(BAD)
        except RuntimeError:
            log.exception("unforeseen")

    assert ended(warns, monkeypatch=monkeypatch) == 0
    said = capsys.readouterr().err.split("\n")
    assert said[:3] == [f"{SHOWN}: cannot be read", "unforeseen", "Traceback (most recent call last):"]
    assert all(visible(line) == line for line in said)


def written(tree: ast.AST) -> Iterator[str]:
    """The calls that print, but for ``say``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in ("print", "click.echo", "click.secho", "sys.stdout.write", "sys.stderr.write"):
                yield name
            if name == "sys.exit" and node.args and isinstance(node.args[0], (ast.JoinedStr, ast.BinOp)):
                yield f"{name} with text"


def test_nothing_else_prints() -> None:
    found = {
        name: [*written(ast.parse(path.read_text()))]
        for room in ROOMS
        for path in sorted((ROOT / room).rglob("*.py"))
        if (name := str(path.relative_to(ROOT))) not in FOR_PROGRAMS | {"contract/terminal.py"}
    }
    found["indexer/main.py"].remove("sys.exit with text")  # before anything of ours can be imported
    assert {name: calls for name, calls in found.items() if calls} == {}
