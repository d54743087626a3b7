"""CIFAR-10 (A. Krizhevsky, 2009) from one npz file, and the splits that deep-hashing papers use.

The file: ``jpeg`` uint8, all JPEG files end to end; ``offset`` int64 (n + 1,), where each starts; ``label`` (n,) into
``classes``; ``split`` (n,), 0 for a training picture and 1 for a test picture.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from pictures.decode import decode
from pictures.errors import ImageError
from pictures.preparation import Preprocessing
from training.errors import TrainingError

#: Width and height of a picture.
SIDE = 32

Protocol = Literal["5000", "50000"]

#: Pictures of every class in the protocol "5000", drawn at random.
QUERIES, LABELLED = 100, 500

#: Each protocol in words, for people.
DESCRIPTIONS: dict[Protocol, str] = {
    "5000": f"of each class, {QUERIES} of all pictures drawn at random are queries, all others the database, and "
    f"{LABELLED} of the database drawn at random are the labelled training pictures; the rest of the database may be "
    "trained on without labels, queries in no way",
    "50000": "the official test pictures are queries; the official training pictures are both the labelled training "
    "pictures and the database",
}


@dataclass(frozen=True)
class Cifar:
    """``pictures`` uint8 (n, 32, 32, 3), RGB; ``labels`` int64 (n,) into ``classes``; ``test`` bool (n,)."""

    pictures: NDArray[np.uint8]
    labels: NDArray[np.int64]
    classes: list[str]
    test: NDArray[np.bool_]


@dataclass(frozen=True)
class Split:
    """Rows, int64: the queries, the database, and the database's labelled pictures."""

    queries: NDArray[np.int64]
    database: NDArray[np.int64]
    labelled: NDArray[np.int64]

    @property
    def unlabelled(self) -> NDArray[np.int64]:
        """Returns the rest of the database: its labels decide what a hit is, but the network never sees them."""
        return np.setdiff1d(self.database, self.labelled)


def read(path: Path) -> Cifar:
    """Returns the decoded pictures of ``path`` (see above): 184 MB for 60,000. Raises TrainingError for other files."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            jpeg, offset, label, split, classes = (
                arrays[name] for name in ("jpeg", "offset", "label", "split", "classes")
            )
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise TrainingError(f"{path} is no npz file with jpeg, offset, label, split and classes: {error}") from error
    if not (
        offset.shape == (len(label) + 1,)
        and split.shape == label.shape
        and (offset[0], offset[-1]) == (0, len(jpeg))
        and (np.diff(offset) > 0).all()
        and np.isin(label, np.arange(len(classes))).all()
        and np.isin(split, (0, 1)).all()
    ):
        raise TrainingError(f"{path}: jpeg, offset, label, split and classes don't fit together")
    data = jpeg.tobytes()
    preprocessing = Preprocessing(image_size=SIDE)

    def picture(row: int) -> NDArray[np.uint8]:
        try:
            return decode(data[offset[row] : offset[row + 1]], preprocessing)
        except ImageError as error:
            raise TrainingError(f"{path}: picture {row}: {error}") from error

    with ThreadPoolExecutor() as pool:
        pictures = np.stack(list(pool.map(picture, range(len(label)))))
    return Cifar(pictures, label.astype(np.int64), [str(name) for name in classes], split == 1)


def split_by(protocol: Protocol, labels: NDArray[np.int64], test: NDArray[np.bool_], seed: int) -> Split:
    """Returns the rows of ``protocol`` (see DESCRIPTIONS); ``labels`` int64 (n,), ``test`` bool (n,).

    "5000" is evaluation protocol 1 of OrthoHash (J. T. Hoe et al., NeurIPS 2021), which RelaHash's figures use.
    Training and test pictures are pooled and each class is shuffled: its first 100 are queries, the other 5,900 its
    part of the database, and the first 500 of those its labelled pictures. For CIFAR-10 that makes 1,000 queries, a
    database of 59,000 and 5,000 labels. ``seed`` is numpy's, so the rows are not the papers' own, which nobody
    published.

    "50000" has the sizes of OrthoHash's protocol 2 (CIFAR-10 II of GreedyHash, S. Su et al., NeurIPS 2018): 1,000
    queries of each class; the other 50,000 pictures are both trained on and searched. It uses the data set's own split,
    where OrthoHash draws one; ``seed`` has no effect.
    """
    if protocol == "50000":
        trained_on = np.flatnonzero(~test)
        split = Split(np.flatnonzero(test), trained_on, trained_on)
    else:
        random = np.random.default_rng(seed)
        shuffled = [random.permutation(np.flatnonzero(labels == label)) for label in range(int(labels.max()) + 1)]
        split = Split(
            np.concatenate([rows[:QUERIES] for rows in shuffled]),
            np.concatenate([rows[QUERIES:] for rows in shuffled]),
            np.concatenate([rows[QUERIES : QUERIES + LABELLED] for rows in shuffled]),
        )
        if min(len(rows) for rows in shuffled) < QUERIES + LABELLED:
            raise TrainingError(f"protocol {protocol} needs at least {QUERIES + LABELLED} pictures of each class")
    if not len(split.queries) or not len(split.labelled):
        raise TrainingError(f"protocol {protocol} needs both training and test pictures")
    return split
