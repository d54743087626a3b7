"""Two ways to put the very same picture first: ``python -m benchmarks.details MODEL LABELS``.

Distorted copies of the held-out pictures search for their originals among all pictures: by class code alone; by class
code, ties by detail code; among the nearest by class code, re-ordered by detail code; and by detail code among all. The
second is a server's default order, the last is "rank": "detail".
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
import numpy as np

from contract.space import CODE, DETAIL, Vectors
from embedding.cores import usable_cores
from embedding.torchscript import TorchScriptEmbedder
from training.distortions import DISTORTIONS, distorted
from training.pictures import LabelledFile, held_out, read_list

NEAREST = (100, 1000)


@click.command()
@click.argument("model_path", metavar="MODEL", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("labels", type=click.Path(exists=True, path_type=Path))
@click.option("--ignore_label", multiple=True, help="Leave out pictures with this label; may be repeated.")
def main(model_path: Path, labels: Path, ignore_label: tuple[str, ...]) -> None:
    """Compare orders by how often a distorted copy finds its original first."""
    model = TorchScriptEmbedder.load(model_path)
    files = read_list(labels, frozenset(ignore_label))
    own = np.array([row for row, file in enumerate(files) if held_out(file.path.name)])

    def hashed(file: LabelledFile) -> Vectors:
        return model.embed(model.prepare(file.path.read_bytes())[None])

    def copies(row: int) -> Vectors:
        file = files[row]
        made = distorted(file.path.read_bytes(), file.path.name)
        return model.embed(np.stack([model.prepare(data) for data in made]))

    with ThreadPoolExecutor(usable_cores()) as pool:
        all_codes = list(pool.map(hashed, files))
        all_copies = list(pool.map(copies, own))
    if model.identity.space(DETAIL) is None:
        raise click.ClickException(f"{model_path} gives no detail codes")
    codes, details = (np.concatenate([each[space] for each in all_codes]) for space in (CODE, DETAIL))
    names = ["class code", "ties by detail", *(f"nearest {n:,} by detail" for n in NEAREST), "detail code"]
    click.echo(f"{len(own)} copies among {len(files):,} pictures; recall@1, ties by row\n")
    click.echo(f"{'':28}" + "".join(f"{name:>24}" for name in names))
    for number, distortion in enumerate(DISTORTIONS):
        found = np.zeros(len(names))
        for row, made in zip(own, all_copies, strict=True):
            near, fine = (
                np.bitwise_count(made[space][number] ^ stored).sum(1, dtype=np.int64)
                for space, stored in ((CODE, codes), (DETAIL, details))
            )
            by_class = np.argsort(near, kind="stable")
            firsts = [by_class[0], np.lexsort((fine, near))[0]]
            firsts += [by_class[:n][np.lexsort((near[by_class[:n]], fine[by_class[:n]]))[0]] for n in NEAREST]
            firsts.append(np.lexsort((near, fine))[0])
            found += np.array(firsts) == row
        click.echo(f"{distortion.name:28}" + "".join(f"{share:24.3f}" for share in found / len(own)))


if __name__ == "__main__":
    main()
