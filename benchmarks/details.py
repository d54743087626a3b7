"""Two ways to put the very same picture first: ``python -m benchmarks.details MODEL LABELS``.

Distorted copies of the held-out pictures look for their originals among all pictures: by the class code alone; with
its ties in the order of the detail code; among the nearest by class code, re-ordered by detail code; and by the detail
code among all. The second is how a server orders by default, the last what "rank": "detail" asks for.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from hashing.cores import usable_cores
from hashing.model import Codes, HashModel
from hashing.picture import decode
from training.distortions import DISTORTIONS, distorted
from training.pictures import LabelledFile, held_out, read_list

NEAREST = (100, 1000)


@click.command()
@click.argument("model_path", metavar="MODEL", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("labels", type=click.Path(exists=True, path_type=Path))
@click.option("--ignore_label", multiple=True, help="Leave out pictures with this label; may be repeated.")
def main(model_path: Path, labels: Path, ignore_label: tuple[str, ...]) -> None:
    """Compare orders by how often a distorted copy finds its original first."""
    model = HashModel.load(model_path)
    files = read_list(labels, frozenset(ignore_label))
    own = np.array([row for row, file in enumerate(files) if held_out(file.path.name)])

    def hashed(file: LabelledFile) -> Codes:
        return model.hash(decode(file.path.read_bytes(), model.card.preprocessing)[None])

    def copies(row: int) -> Codes:
        file = files[row]
        made = distorted(file.path.read_bytes(), file.path.name)
        return model.hash(np.stack([decode(data, model.card.preprocessing) for data in made]))

    with ThreadPoolExecutor(usable_cores()) as pool:
        all_codes = list(pool.map(hashed, files))
        all_copies = list(pool.map(copies, own))
    if any(each.details is None for each in all_codes):
        raise click.ClickException(f"{model_path} gives no detail codes")
    codes, details = (np.concatenate([_part(each, part) for each in all_codes]) for part in ("codes", "details"))
    names = ["class code", "ties by detail", *(f"nearest {n:,} by detail" for n in NEAREST), "detail code"]
    click.echo(f"{len(own)} copies among {len(files):,} pictures; recall@1, ties by row\n")
    click.echo(f"{'':28}" + "".join(f"{name:>24}" for name in names))
    for number, distortion in enumerate(DISTORTIONS):
        found = np.zeros(len(names))
        for row, made in zip(own, all_copies, strict=True):
            near, fine = (
                np.bitwise_count(_part(made, part)[number] ^ stored).sum(1, dtype=np.int64)
                for part, stored in (("codes", codes), ("details", details))
            )
            by_class = np.argsort(near, kind="stable")
            firsts = [by_class[0], np.lexsort((fine, near))[0]]
            firsts += [by_class[:n][np.lexsort((near[by_class[:n]], fine[by_class[:n]]))[0]] for n in NEAREST]
            firsts.append(np.lexsort((near, fine))[0])
            found += np.array(firsts) == row
        click.echo(f"{distortion.name:28}" + "".join(f"{share:24.3f}" for share in found / len(own)))


def _part(codes: Codes, name: str) -> NDArray[np.uint8]:
    values: NDArray[np.uint8] = getattr(codes, name)
    return values


if __name__ == "__main__":
    main()
