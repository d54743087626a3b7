"""Files → codes, in the listing's order, on all cores.

Each thread takes a chunk of files through everything: stat, read, decode, forward pass. Decoding and the forward
pass release Python's global lock, so chunks run side by side and no thread ever waits for another stage.
"""

import hashlib
import os
import stat
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hashing.cores import usable_cores
from hashing.errors import ImageError
from hashing.model import HashModel
from hashing.picture import DEFAULT_LIMITS, decode
from searcher.images import ImageFile
from searcher.version import IndexVersion

#: Pictures a forward pass: enough to amortise its overhead, few enough to stay in the processor's cache.
CHUNK = 16


@dataclass(frozen=True)
class Hashed:
    """One image, its code, uint8 (bits / 8,), and its detail code, uint8 (detail_bits / 8,), where the model gives one.

    ``reused``: they came from the base version.
    """

    file: ImageFile
    code: NDArray[np.uint8]
    detail: NDArray[np.uint8] | None = None
    reused: bool = False


@dataclass(frozen=True)
class Skipped:
    """One listed path that gets no row, and why."""

    path: str
    reason: str


Outcome = Hashed | Skipped


class FileHasher:
    """Hashes the files of a listing. Relative paths are read from ``root``.

    With ``base``, a file whose size and modification time (or content, with ``checksum``) are those in that version
    keeps the version's codes.
    """

    def __init__(
        self, model: HashModel, root: Path, base: IndexVersion | None = None, *, checksum: bool = False
    ) -> None:
        self._model = model
        self._root = root
        self._base = base
        self._checksum = checksum

    def outcomes(self, paths: Iterator[str]) -> Iterator[list[Outcome]]:
        """One list a chunk of ``paths``, in their order."""
        threads = usable_cores()
        with ThreadPoolExecutor(threads) as pool:
            running: deque[Future[list[Outcome]]] = deque()
            while chunk := list(islice(paths, CHUNK)):
                running.append(pool.submit(self._hash_chunk, chunk))
                if len(running) > 4 * threads:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()

    def _hash_chunk(self, paths: list[str]) -> list[Outcome]:
        prepared = [self._prepare(path) for path in paths]
        hashed = self._hashed([item for item in prepared if isinstance(item, _Decoded)])
        return [next(hashed) if isinstance(item, _Decoded) else item for item in prepared]

    def _hashed(self, decoded: list["_Decoded"]) -> Iterator[Hashed]:
        if not decoded:
            return
        found = self._model.hash(np.stack([item.picture for item in decoded]))
        for row, item in enumerate(decoded):
            yield Hashed(item.file, found.codes[row], None if found.details is None else found.details[row])

    def _prepare(self, path: str) -> "Outcome | _Decoded":
        """Everything up to the forward pass."""
        try:
            path.encode()
        except UnicodeEncodeError:
            shown = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
            return Skipped(shown, "the name is not UTF-8, and answers could not spell it")
        try:
            status = os.stat(self._root / path)
            if not stat.S_ISREG(status.st_mode):
                return Skipped(path, "not a regular file")
            if status.st_size > DEFAULT_LIMITS.max_bytes:
                return Skipped(
                    path, f"the image has {status.st_size:,} bytes; the limit is {DEFAULT_LIMITS.max_bytes:,}"
                )
            known = self._base.images.find(path) if self._base else None
            if (
                known
                and not self._checksum
                and (known[1].size, known[1].mtime_ns) == (status.st_size, status.st_mtime_ns)
            ):
                return self._reused(known[0], known[1])
            data = (self._root / path).read_bytes()
            digest = hashlib.blake2b(data, digest_size=16).digest()
            file = ImageFile(path, status.st_size, status.st_mtime_ns, digest)
            if known and self._checksum and known[1].digest == digest:
                return self._reused(known[0], file)
            return _Decoded(file, decode(data, self._model.card.preprocessing))
        except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
            reason = error.strerror if isinstance(error, OSError) else None
            return Skipped(path, (reason or str(error)).lower())
        except ImageError as error:
            return Skipped(path, str(error))

    def _reused(self, row: int, file: ImageFile) -> Hashed:
        assert self._base is not None
        details = self._base.details
        return Hashed(file, self._base.codes.code(row), details.code(row) if details else None, reused=True)


@dataclass(frozen=True)
class _Decoded:
    file: ImageFile
    picture: NDArray[np.uint8]
