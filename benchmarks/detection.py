"""Detectors on pages and photographs composed of held-out pictures: ``python -m benchmarks.detection PHOTOS GARMENTS``.

Pages come clean and aged: turned, stained, faded, blurred, noisy, with the other side showing through, as JPEG; each
effect on 60% of the aged ones. Recall and precision count a box as found if a finding overlaps with it by a half or
more, at the detector's own threshold, and at the one with the best harmonic mean of both on these very pages, which
flatters. Times are of one core.
"""

import time
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from detection.detector import Detector
from detection.overlap import Floats
from detection.registry import open_detector
from training.detecting.composed import FIGURE, LABELS, OBJECT, Composed
from training.detecting.material import Material
from training.detecting.quality import Counts, counted
from training.pictures import held_out_photograph, pictures_below

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)

#: Not a seed of training.
_SEED = 77
_AGED = 0.6


def measure(detector: Detector, composed: Sequence[Composed], label: int) -> tuple[Counts, float]:
    """Returns how the findings of ``label`` lie on the boxes, and pictures per second."""
    found: list[Floats] = []
    pictures: list[NDArray[np.uint8]] = [np.asarray(each.picture) for each in composed]
    detector.detect(pictures[:1])
    started = time.process_time()
    for picture in pictures:
        (boxes,) = detector.detect([picture])
        rows = [
            (box.x, box.y, box.x + box.width, box.y + box.height, box.score, label)
            for box in boxes
            if box.label == LABELS[label]
        ]
        found.append(np.array(rows, np.float32).reshape(-1, 6))
    rate = len(pictures) / (time.process_time() - started)
    return counted(found, [each.boxes for each in composed], label), rate


def row(detector: Detector, what: str, composed: Sequence[Composed], label: int) -> str:
    """Returns a line of the table."""
    counts, rate = measure(detector, composed, label)
    recall, precision = counts.at(0)
    best = counts.best()
    return (
        f"| {detector.stem} | {what} | {counts.boxes} | {recall:.3f} | {precision:.3f} "
        f"| {best[0]:.3f}, {best[1]:.3f} at {best[2]:.2f} | {rate:.1f} |"
    )


@click.command()
@click.argument("photographs", type=_FOLDER)
@click.argument("garments", type=_FOLDER)
@click.option("--detectors", default="layout,detector-elements", show_default=True)
@click.option("--pages", default=100, show_default=True, type=click.IntRange(1), help="Pages of each kind.")
@click.option("--garments_used", default=60, show_default=True, type=click.IntRange(1))
def main(photographs: Path, garments: Path, detectors: str, pages: int, garments_used: int) -> None:
    """Prints the table."""
    material = Material(_held_out(photographs), _held_out(garments)[:garments_used])
    sets = {
        "clean pages": ([material.page(np.random.default_rng([_SEED, n]), 0.0) for n in range(pages)], FIGURE),
        "aged pages": ([material.page(np.random.default_rng([_SEED + 1, n]), _AGED) for n in range(pages)], FIGURE),
        "photographs": ([material.object(np.random.default_rng([_SEED + 2, n])) for n in range(pages)], OBJECT),
    }
    click.echo("| detector | on | boxes | recall | precision | best recall, precision at a threshold | pictures/s |")
    click.echo("|---|---|---|---|---|---|---|")
    for name in detectors.split(","):
        detector = open_detector(name)
        for what, (composed, label) in sets.items():
            if LABELS[label] in detector.labels:
                click.echo(row(detector, what, composed, label))


def _held_out(folder: Path) -> list[Path]:
    return [path for path in sorted(pictures_below(folder)) if held_out_photograph(path.name)]


if __name__ == "__main__":
    main()
