"""How well documents that share pictures are compared: precision at 1, with and without verification, and times.

    python -m benchmarks.documents PICTURES MODEL.pt …

Copies of every fourth picture (cropped to 50% to 90% of each side, turned by up to 8°, with other brightness and
proportions, as JPEG of quality 40) are looked for among all pictures. Precision at 1: how often the first answer is the
original; verified: the one of the first 20 that shares most points. Times are those of ten documents of 500 figures,
every pair, with vectors drawn at random.
"""

import time
from io import BytesIO
from pathlib import Path

import click
import numpy as np
from PIL import Image, ImageEnhance

from contract.space import Space
from elements.similarity.figures import Figure, Figures, space_of
from elements.similarity.local_features import local_features
from elements.similarity.pairs import TOP_K, all_pairs, nearest
from elements.similarity.verification import inliers
from embedding.registry import load_embedder
from pictures.decode import whole_picture


def copy_of(picture: Image.Image, random: np.random.Generator) -> bytes:
    """Returns a distorted part of ``picture``, as JPEG."""
    width, height = picture.size
    turned = picture.rotate(random.uniform(-8, 8), Image.Resampling.BICUBIC)
    sides = random.uniform(0.5, 0.9, 2) * (width, height)
    left, top = random.uniform(0.05, 0.95, 2) * ((width, height) - sides)
    part = turned.crop((int(left), int(top), int(left + sides[0]), int(top + sides[1])))
    part = part.resize((int(part.width * random.uniform(0.8, 1.2)), part.height))
    stream = BytesIO()
    ImageEnhance.Brightness(part).enhance(random.uniform(0.7, 1.3)).save(stream, "JPEG", quality=40)
    return stream.getvalue()


def precision(paths: list[Path], model_path: Path) -> tuple[str, float, float, float]:
    """Returns the model's name and space, and precision at 1 without and with verification; and the seconds that
    verification takes for each copy."""
    random = np.random.default_rng(0)
    model = load_embedder(model_path)
    space = space_of(model, None)
    originals = [path.read_bytes() for path in paths[::2]]
    others = [path.read_bytes() for path in paths[1::2]]
    copies = [copy_of(whole_picture(data), random) for data in originals[::2]]

    def vectors(files: list[bytes]) -> np.ndarray:
        return np.concatenate([model.embed(model.prepare(data)[None])[space.name] for data in files])

    asked = [*originals, *others]
    copy, found, _ = nearest(vectors(copies), vectors(asked), space, TOP_K)
    began = time.perf_counter()
    features = {row: local_features(asked[row]) for row in set(found.tolist())}
    of_copies = [local_features(data) for data in copies]
    plain = verified = 0
    for number in range(len(copies)):
        candidates = found[copy == number]
        plain += bool(candidates[0] == 2 * number)
        counts = [inliers(of_copies[number], features[row]) for row in candidates.tolist()]
        verified += bool(candidates[int(np.argmax(counts))] == 2 * number)
    seconds = (time.perf_counter() - began) / len(copies)
    return f"{model.card.name} ({space.name})", plain / len(copies), verified / len(copies), seconds


def seconds_of(space: Space) -> tuple[float, int]:
    """Returns how long ten documents of 500 figures take, and how many pairs are kept."""
    random = np.random.default_rng(0)
    documents = []
    for number in range(10):
        values = random.standard_normal((500, space.width)).astype(np.float16)
        rows = np.packbits(values > 0, axis=1) if space.kind == "binary" else values
        documents.append(Figures(str(number), [Figure(f"{row}.jpg", "") for row in range(500)], rows, []))
    next(all_pairs(documents, space))  # compiles
    began = time.perf_counter()
    pairs = sum(len(scores) for _, _, (_, _, scores) in all_pairs(documents, space))
    return time.perf_counter() - began, pairs


@click.command()
@click.argument("pictures", type=click.Path(exists=True, path_type=Path))
@click.argument("models", nargs=-1, type=click.Path(exists=True, path_type=Path))
def main(pictures: Path, models: tuple[Path, ...]) -> None:
    """Print the tables."""
    paths = sorted(path for path in pictures.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    print(f"{len(paths)} pictures")
    for model in models:
        name, plain, verified, seconds = precision(paths, model)
        print(f"{name}: precision at 1 {plain:.3f}, verified {verified:.3f}, {seconds:.2f} s a copy to verify")
    for space in (Space(name="detail", width=256), Space(name="embedding", kind="float16", width=512, metric="cosine")):
        taken, pairs = seconds_of(space)
        print(f"10 documents of 500 figures, {space.name} of {space.width}: {taken:.1f} s, {pairs:,} pairs")


if __name__ == "__main__":
    main()
