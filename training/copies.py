"""Measures whether distorted copies find their originals: near-duplicates, for which no labels are needed.

    any folder → a sample → each picture's signatures, by each method ─┐
                          → copies of some of them, distorted          ┴▶ recall by distortion, and what was missed

The sample and the copies depend on the seed and on the names below the folder, not on the order of its files.
"""

import hashlib
import heapq
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from embedding.torchscript import TorchScriptEmbedder
from pictures.formats import SUFFIXES
from sources.left_out import LeftOut
from training.distortions import DISTORTIONS, distorted
from training.errors import TrainingError
from training.pictures import LabelledFile, pictures_below
from training.quality import TIES, bootstrap, recall
from training.results import CopiesFound, Figure, MethodFigures, Missed
from training.signatures import Signatures, blocks
from training.signing import Signed, lines_of, methods_of, sign_files

#: How many pictures of a folder are searched in, unless somebody asks for another number.
SAMPLE = 2000
#: The most pictures to copy: the interval of a recall is then at most ±0.06. Distorting one takes half a second.
COPIED = 250
RECALLS = {"recall@1": 1, "recall@10": 10}
#: Missed copies to show, of each distortion.
_SHOWN = 2


def measure_copies(model: TorchScriptEmbedder, folder: Path, sample: int = SAMPLE, seed: int = 0) -> CopiesFound:
    """Measure ``model`` and the baselines on copies of the pictures that an index of ``folder`` would list. Those that
    cannot be read, or are byte for byte another one, are left out. Raises TrainingError if there aren't two of them."""
    left_out = LeftOut()
    count, files = _sampled(folder, sample, seed, left_out)
    signed = _without_repeats(sign_files(methods_of(model), files, "hashing", lambda data, _: [data], 1), files)
    if len(signed.rows) < 2:
        raise TrainingError(f"{folder} needs at least two pictures that can be read ({', '.join(SUFFIXES)})")
    read = [files[row] for row in signed.rows]
    rows = chosen_rows([file.path.relative_to(folder) for file in read], COPIED)
    copies = sign_copies(model, [read[row] for row in rows], seed)
    lines, signatures = lines_of(model, signed.signatures)
    _, copied = lines_of(model, copies.signatures)
    originals = rows[copies.rows]
    return CopiesFound(
        model=model.identity.model_dump(mode="json"),
        protocol=(
            f"{len(read):,} pictures of the {count:,} below {folder}, drawn with seed {seed}; copies of "
            f"{len(originals):,} of them, with each distortion, look for their originals among all of these"
        ),
        ties=TIES,
        pictures=len(read),
        copied=len(originals),
        unread=[*signed.unread, *copies.unread],
        left_out=left_out,
        repeats=len(files) - len(signed.unread) - len(read),
        seed=seed,
        methods=[
            MethodFigures(
                name=name, note=note, of_model=name == model.card.name, figures={},
                near_duplicates=near_duplicates(copy, every, originals, seed),
            )
            for (name, note), every, copy in zip(lines, signatures, copied, strict=True)
        ],
        missed=missed(model, copied, signatures, originals, read),
    )  # fmt: skip


def _sampled(folder: Path, sample: int, seed: int, left_out: LeftOut) -> tuple[int, list[LabelledFile]]:
    """Returns how many pictures are below ``folder``, and ``sample`` of them: the least by a digest of seed and name,
    so that another picture changes as little as possible. In memory is the sample alone."""
    count = 0

    def ranked() -> Iterator[tuple[bytes, Path]]:
        nonlocal count
        for path in pictures_below(folder, left_out):
            count += 1
            yield _digest(b"%d " % seed + os.fsencode(path.relative_to(folder))), path

    least = heapq.nsmallest(sample, ranked())
    return count, [LabelledFile(path, "") for path in sorted(path for _, path in least)]


def _digest(name: bytes) -> bytes:
    return hashlib.sha1(name, usedforsecurity=False).digest()


def _without_repeats(signed: Signed, files: Sequence[LabelledFile]) -> Signed:
    """Returns ``signed`` without files whose bytes another one has too: either would be the original."""
    seen: set[bytes] = set()
    kept = []
    for place, row in enumerate(signed.rows):
        with files[row].path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").digest()
        if digest not in seen:
            seen.add(digest)
            kept.append(place)
    chosen = np.array(kept)
    return Signed([each[chosen] for each in signed.signatures], signed.rows[chosen], signed.unread)


def chosen_rows(names: Sequence[Path], most: int) -> NDArray[np.int64]:
    """Returns the rows of the pictures to copy: all, or a choice by name that doesn't depend on the list's order."""
    digests = [_digest(os.fsencode(name)).hex() for name in names]
    rows: NDArray[np.int64] = np.sort(np.argsort(digests, kind="stable")[:most])
    return rows


def sign_copies(model: TorchScriptEmbedder, files: Sequence[LabelledFile], seed: int) -> Signed:
    """Signs copies of ``files``: all distortions of the first one, then of the second, …"""
    return sign_files(
        methods_of(model),
        files,
        "distorting",
        lambda data, file: distorted(data, file.path.name, seed),
        len(DISTORTIONS),
    )


def near_duplicates(
    copies: Signatures, database: Signatures, originals: NDArray[np.int64], seed: int
) -> dict[str, dict[str, Figure]]:
    """Returns the recall of each distortion: whether ``copies`` find their ``originals``, rows of the database.
    ``copies`` hold all distortions of the first original, then of the second, …"""
    found = {}
    for number, distortion in enumerate(DISTORTIONS):
        queries = copies[number :: len(DISTORTIONS)]
        columns = [recall(queries, database, originals, places) for places in RECALLS.values()]
        found[distortion.name] = figures_of(tuple(RECALLS), np.stack(columns, axis=1), seed)
    return found


def figures_of(names: Sequence[str], values: NDArray[np.float64], seed: int) -> dict[str, Figure]:
    """Returns the mean of each column of ``values``, float64 (queries, names), with its interval."""
    low, high = bootstrap(values, seed=seed)
    columns = zip(names, values.mean(axis=0), low, high, strict=True)
    return {
        name: Figure(value=round(mean, 6), low=round(least, 6), high=round(most, 6))
        for name, mean, least, most in columns
    }


def missed(
    model: TorchScriptEmbedder,
    copies: Sequence[Signatures],
    database: Sequence[Signatures],
    originals: NDArray[np.int64],
    files: Sequence[LabelledFile],
) -> list[Missed]:
    """Returns some copies of each distortion that find another picture before their original, by the model's detail
    code, or by its code if it has no other; those first before whose original the most pictures come. ``copies`` and
    ``database``: the signatures of each line."""
    line = 2 if model.card.detail_bits else 0
    asked, searched = copies[line], database[line]
    found = []
    for number, distortion in enumerate(DISTORTIONS):
        queries, worst = asked[number :: len(DISTORTIONS)], list[tuple[int, Missed]]()
        for block in blocks(len(queries), len(searched)):
            distances = queries[block].distances(searched)
            for away, original in zip(distances, originals[block], strict=True):
                before = int((away < away[original]).sum())
                if before:
                    first = int(away.argmin())
                    worst.append(
                        (
                            before,
                            Missed(
                                distortion=distortion.name,
                                original=files[original].path,
                                original_distance=int(away[original]),
                                found=files[first].path,
                                found_distance=int(away[first]),
                                before=before,
                            ),
                        )
                    )
        worst.sort(key=lambda each: -each[0])
        found += [each for _, each in worst[:_SHOWN]]
    return found
