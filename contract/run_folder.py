"""The folder that the processes of one stack share while they run, and that no other user may enter.

    management.sock   TorchServe's management API, which asks no key of whoever reaches it
    secret            the gateway sends it along, so that workers know its requests from strangers'

TorchServe and the gateway find the same folder without being told: its name has their user and the inference port.
"""

import errno
import fcntl
import os
import secrets
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

#: The variable that names the secret's file to workers; its content is in no environment and on no command line.
SECRET_VARIABLE = "HASHLAKE_SECRET_FILE"  # noqa: S105 (a name)


class RunFolder:
    """``folder``, or the default one of the stack whose inference port is ``port``. The secret is in ``secret_file``,
    if it isn't in the folder itself."""

    def __init__(self, folder: Path | None, port: int, secret_file: Path | None = None) -> None:
        self.path = folder or Path(tempfile.gettempdir()) / f"hashlake-{os.geteuid()}-{port}"
        self.management = self.path / "management.sock"
        self.secret_file = secret_file or self.path / "secret"

    def make(self) -> None:
        """Make folder and secret, or take those that are there. Raises PermissionError if other users may enter,
        OSError if the secret's file holds none."""
        self.path.mkdir(0o700, parents=True, exist_ok=True)
        found = self.path.lstat()
        if not self.path.is_dir() or self.path.is_symlink() or found.st_uid != os.geteuid() or found.st_mode & 0o077:
            raise PermissionError(errno.EPERM, "other users may enter this folder, or it is theirs", str(self.path))
        if not self.secret_file.exists():
            # Written beside and linked: whoever else makes one at this moment gets the same.
            beside = self.secret_file.with_name(f".{self.secret_file.name}.{secrets.token_hex(4)}")
            with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secrets.token_urlsafe(32))
            with suppress(FileExistsError):
                os.link(beside, self.secret_file)
            beside.unlink()
        self.secret()

    @contextmanager
    def claimed(self, patience: float) -> Iterator[None]:
        """The folder belongs to this process within the block. Raises TimeoutError if another one still has it after
        ``patience`` seconds."""
        folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            deadline = time.monotonic() + patience
            while True:
                try:
                    fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise TimeoutError(errno.ETIMEDOUT, "another process has this folder", str(self.path)) from None
                time.sleep(0.1)
            yield
        finally:
            os.close(folder)

    def remove(self) -> None:
        """Remove what ``make`` made, and the folder if nothing else is in it."""
        for each in (self.management, self.path / "secret"):
            each.unlink(missing_ok=True)
        with suppress(OSError):
            self.path.rmdir()

    def secret(self) -> str:
        """Returns the secret. Raises OSError if there is none yet."""
        return read_secret(self.secret_file)


def read_secret(file: Path) -> str:
    """Returns the secret in ``file``, without white space around it. Raises OSError if there is none: everybody would
    know an empty one."""
    secret = file.read_text(encoding="ascii").strip()
    if not secret:
        raise OSError(errno.EINVAL, "the secret is empty", str(file))
    return secret
