"""A labelled folder whose figures a reader computes by hand: pictures with known codes of the fake Grid model."""

from pathlib import Path

from tests.fakes import BITS, picture_of

#: Of 0.png … 39.png, those held out by the sha1 of their names.
HELD_OUT = [0, 4, 13, 15, 31, 35, 36, 38]

HAT, SHOE = 0xFF00, 0x00FF  # the upper half white, or the lower half


def code_of(number: int) -> int:
    """Even pictures are hats, odd ones shoes; each pair of numbers flips one cell of its class, 16 numbers a round."""
    return (HAT, SHOE)[number % 2] ^ (1 << (BITS - 1 - number // 2 % BITS))


def write_labelled(folder: Path, count: int = 40, wrong: tuple[int, ...] = (), start: int = 0) -> Path:
    """Write pictures start.png … and labels.csv; those in ``wrong`` carry the other label."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = ["path,label"]
    for number in range(start, start + count):
        picture_of(code_of(number), 64).save(folder / f"{number}.png")
        rows.append(f"{number}.png,{'shoe' if (number % 2) ^ (number in wrong) else 'hat'}")
    path = folder / "labels.csv"
    path.write_text("\n".join(rows) + "\n")
    return path
