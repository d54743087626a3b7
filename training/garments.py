"""What is known of garments in pictures: kinds, colours and patterns, from lists of labels and from drawn pictures.

photographs of clothes, by a list of labels        Longsleeve                         kind
drawn by ``hashlake sample``                       dress/red-stripes-0007.jpg         kind, colour, pattern
"""

from pathlib import Path
from typing import NamedTuple

from pictures.formats import SUFFIXES
from training.colours import COLOURS
from training.errors import TrainingError

#: Kinds of garments, each with the words for it.
GARMENTS: dict[str, tuple[str, ...]] = {
    "t-shirt": ("t-shirt", "tshirt", "tee", "tee shirt", "shirt"),
    "longsleeve": ("longsleeve", "long sleeve", "long-sleeved shirt", "sweater", "pullover", "jumper"),
    "pants": ("pants", "trousers", "jeans", "jean", "blue jean", "slacks", "leggings", "pair of pants"),
    "shorts": ("shorts", "short pants", "pair of shorts"),
    "dress": ("dress", "gown", "frock"),
    "skirt": ("skirt", "miniskirt"),
    "hat": ("hat", "cap", "baseball cap", "sun hat"),
    "shoes": ("shoes", "shoe", "sneaker", "trainers", "footwear", "boot", "pair of shoes"),
    "shirt": ("shirt", "button-down shirt", "dress shirt", "button shirt"),
    "outwear": ("outwear", "outerwear", "jacket", "coat", "parka"),
    "polo": ("polo", "polo shirt"),
    "undershirt": ("undershirt", "tank top", "vest", "singlet"),
    "blazer": ("blazer", "suit jacket", "sport coat"),
    "hoodie": ("hoodie", "hooded sweatshirt", "sweatshirt"),
    "body": ("bodysuit", "onesie", "baby suit"),
    "top": ("top",),
    "blouse": ("blouse",),
}  # fmt: skip

#: Patterns of cloth, each with the words for it.
PATTERNS: dict[str, tuple[str, ...]] = {
    "plain": ("plain", "solid", "unpatterned"),
    "stripes": ("stripes", "striped", "stripe", "stripy"),
    "checks": ("checks", "checked", "check", "checkered", "chequered", "plaid"),
    "dots": ("dots", "dotted", "polka dot", "polka dots", "spotted"),
}


class Drawn(NamedTuple):
    """A drawn picture: the file, and which of GARMENTS, COLOURS and PATTERNS it shows."""

    path: Path
    garment: str
    colour: str
    pattern: str


def drawn_garments(folder: Path) -> list[Drawn]:
    """Returns the garments that ``hashlake sample`` drew into ``folder``. Raises TrainingError if there are none."""
    found = []
    for path in sorted((folder / "garments").rglob("*")):
        words = path.stem.split("-")
        if path.suffix.lower() in SUFFIXES and len(words) == 3:
            drawn = Drawn(path, path.parent.name, words[0], words[1])
            if drawn.garment in GARMENTS and drawn.colour in COLOURS and drawn.pattern in PATTERNS:
                found.append(drawn)
    if not found:
        raise TrainingError(f"{folder} has no drawn garments: make some with hashlake sample {folder} --seed 1")
    return found
