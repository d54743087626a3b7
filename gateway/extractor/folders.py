"""Where extraction jobs keep their results, below the state folder.

extractor/jobs.db            jobs and deliveries
extractor/running            locked by the process that carries jobs out
extractor/found/DIGEST/      the results of one document by one detector: jobs on it share them
extractor/gone/              results on their way out
"""

import hashlib
import shutil
from pathlib import Path


class Folders:
    """The places below the state folder ``state``."""

    def __init__(self, state: Path) -> None:
        self.root = state / "extractor"
        self.jobs = self.root / "jobs.db"
        self.lock = self.root / "running"
        self.log = self.root / "jobs.log"
        self.all_found = self.root / "found"
        self.gone = self.root / "gone"

    def found(self, source: str, detector: str) -> Path:
        """Returns the results of ``detector`` on ``source``."""
        digest = hashlib.sha256(f"{detector}\0{source}".encode("utf-8", "surrogatepass")).hexdigest()
        return self.all_found / digest[:32]


def forget(folder: Path) -> None:
    """Remove ``folder`` and all in it."""
    shutil.rmtree(folder, ignore_errors=True)
