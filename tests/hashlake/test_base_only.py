"""``pip install hashlake`` without an extra: a client of some gateway, and one line for what the server needs."""

import subprocess
import sys
import tomllib

import pytest

from tests.hashlake.base_only import PROJECT
from tests.hashlake.client.fake_gateway import KEY, Fake, create_app
from tests.served_app import ServedApp


def run(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.hashlake.base_only", *words]
    return subprocess.run(command, cwd=PROJECT.parent, env=variables, capture_output=True, text=True, check=False)


def test_a_client_s_commands_work() -> None:
    with ServedApp(create_app(Fake())) as served:
        done = run("collections", "count", "shoes", HASHLAKE_URL=served.url, HASHLAKE_KEY=KEY)
    assert (done.returncode, done.stdout, done.stderr) == (0, "3\n", "")


@pytest.mark.parametrize(
    ("words", "extra"),
    [
        (("serve", "--admin"), "serve"),
        (("index", "--help"), "serve"),
        (("versions", "list"), "serve"),
        (("train", "labels.csv", "--out", "MODEL.pt"), "train"),
        (("evaluate",), "train"),
    ],
    ids=" ".join,
)
def test_other_commands_say_which_extra_brings_them(words: tuple[str, ...], extra: str) -> None:
    done = run(*words)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"Error: hashlake {words[0]} needs ")
    assert line.endswith(f", which is not installed: pip install 'hashlake[{extra}]'")


def test_help_lists_every_command_and_how_to_get_it() -> None:
    done = run("--help")
    lines = {line.split()[0]: line for line in done.stdout.split("Commands:\n")[1].splitlines()}
    assert len(lines) == 23
    assert lines["serve"].endswith("Not installed: pip install 'hashlake[serve]'.")
    assert "Not installed" not in lines["collections"]


def test_importing_the_package_imports_no_other() -> None:
    """The names are there, and what they need is imported with the first."""
    code = (
        "import sys, hashlake\n"
        "others = {'httpx', 'pydantic', 'click', 'torch', 'fastapi'}\n"
        "assert not others & set(sys.modules)\n"
        "assert all(getattr(hashlake, name).__name__ == name for name in hashlake.__all__)\n"
        "assert {'httpx', 'pydantic'} <= set(sys.modules) and not {'torch', 'fastapi'} & set(sys.modules)\n"
        "assert not hasattr(hashlake, 'Server')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_its_types_are_for_others_too() -> None:
    packages = tomllib.loads(PROJECT.read_text())["tool"]["setuptools"]["package-data"]
    assert packages["hashlake"] == ["py.typed"]
    assert (PROJECT.parent / "hashlake" / "py.typed").exists()
