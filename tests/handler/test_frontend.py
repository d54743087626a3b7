"""What `hashlake serve` says when it is ready: all that a person needs to go on."""

import io
import sys
from pathlib import Path

import pytest

from handler.frontend import _first_key, _say_ready
from handler.settings import FIRST_KEY_VARIABLE, Settings
from handler.torchserve import _pass_on


@pytest.mark.parametrize(
    ("page", "key"), [("http://127.0.0.1:8000/", "hlk_x"), ("http://127.0.0.1:8000/", ""), (None, "")]
)
def test_one_closing_box(tmp_path: Path, capsys: pytest.CaptureFixture[str], page: str | None, key: str) -> None:
    settings = Settings("0.0.0.0", 8080, 8082, 1, tmp_path, tmp_path, tmp_path / "config", page=page)
    _say_ready(settings, key)
    empty, rule, *lines, last, end = capsys.readouterr().out.splitlines()
    assert (empty, end, rule, last) == ("", "", "─" * 80, "─" * 80)
    url = "http://127.0.0.1:8080/predictions/image-retrieval-v1.0"
    assert lines == [
        f"hashlake is ready: {url}",
        "",
        *([f"  page   {page}   (the API: {page}docs)"] if page else []),
        *(["  key    hlk_x", "         for admins, shown only this once: paste it under Operators"] if key else []),
        f"  ask    curl -F image=@'photo.jpg' -F top_k=5 -F debug=true {url}",
        "  stop   Ctrl-C, or SIGTERM to this process",
    ]


def test_the_first_key_is_handed_over_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _first_key() == ""
    file = tmp_path / "key"
    file.write_text("hlk_x\n")
    monkeypatch.setenv(FIRST_KEY_VARIABLE, str(file))
    assert (_first_key(), file.exists(), _first_key()) == ("hlk_x", False, "")


def test_remarks_that_help_nobody_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    said = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(sys, "stdout", said)
    remarks = (
        b"WARNING: sun.reflect.Reflection.getCallerClass is not supported. This will impact performance.\n"
        b'nvidia-smi not available or failed: Cannot run program "nvidia-smi": error=2, No such file or directory\n'
        b"Model server started.\n"
    )
    _pass_on(io.BytesIO(remarks + b"2026-11-30 WARN no memory\n\xff"))
    assert said.buffer.getvalue() == b"2026-11-30 WARN no memory\n\xff"  # type: ignore[attr-defined]
