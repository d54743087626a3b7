"""The folder that the processes of a stack share: other users stay out, and all get the same secret."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from contract.run_folder import RunFolder


def test_the_default_one_differs_by_user_and_port() -> None:
    here, there = RunFolder(None, 8080).path, RunFolder(None, 8090).path
    assert here != there
    assert here.name == f"hashlake-{os.geteuid()}-8080"


def test_made_twice_it_keeps_its_secret_and_nobody_else_may_read_it(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "a" / "run", 1)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: run.make(), range(8)))
    secret = run.secret()
    run.make()
    assert RunFolder(run.path, 2).secret() == secret
    assert len(secret) >= 32
    assert run.path.stat().st_mode & 0o777 == 0o700
    assert run.secret_file.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in run.path.iterdir()] == ["secret"]


def test_a_secret_that_is_given_is_used_and_left(tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.write_text("s3cret\n")
    run = RunFolder(tmp_path / "run", 1, given)
    run.make()
    assert run.secret() == "s3cret"
    run.remove()
    assert given.exists() and not run.path.exists()


@pytest.mark.parametrize("content", ["", " \n"])
def test_a_secret_that_is_empty_is_none(content: str, tmp_path: Path) -> None:
    """Strangers' requests could bring it."""
    given = tmp_path / "given"
    given.write_text(content)
    run = RunFolder(tmp_path / "run", 1, given)
    for use in (run.make, run.secret):
        with pytest.raises(OSError, match="the secret is empty"):
            use()


def test_a_folder_that_others_may_enter_is_refused(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir(0o755)
    (tmp_path / "private").mkdir(0o700)
    (tmp_path / "link").symlink_to(tmp_path / "private")
    for name in ("open", "link"):
        with pytest.raises(PermissionError):
            RunFolder(tmp_path / name, 1).make()


def test_one_process_has_it_at_a_time(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run", 1)
    run.make()
    with run.claimed(0), pytest.raises(TimeoutError), run.claimed(0):
        pass
    with run.claimed(0):
        run.remove()
    assert not run.path.exists()
