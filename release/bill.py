"""The bill of materials (SBOM): every package that a lock file installs, as CycloneDX JSON."""

import json
import os
import subprocess
from pathlib import Path

from release.errors import ReleaseError


def bill_of_materials(lock: Path, version: str, moment: int) -> str:
    """Returns the bill of ``lock``, beside pyproject.toml, for hashlake ``version``. Same inputs give the same text.

    ``moment``: the bill's date, in seconds since 1970. Raises ReleaseError if cyclonedx-py fails.
    """
    command = [
        "cyclonedx-py", "requirements", str(lock),
        "--pyproject", str(lock.with_name("pyproject.toml")),
        "--output-reproducible",
        "--output-format", "JSON",
    ]  # fmt: skip
    environment = os.environ | {"SOURCE_DATE_EPOCH": str(moment)}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise ReleaseError("cyclonedx-py is not installed: see requirements-release.lock") from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ReleaseError(f"cyclonedx-py failed: {last}")
    bill = json.loads(done.stdout)
    # pyproject.toml only says which file has the version.
    bill["metadata"]["component"] |= {"version": version, "purl": f"pkg:pypi/hashlake@{version}"}
    return json.dumps(bill, indent=1) + "\n"
