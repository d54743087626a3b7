"""Near-duplicates of pictures by a shipped model: copies, and only copies."""

import io
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from contract.space import row_of
from embedding.torchscript import TorchScriptEmbedder
from gateway.collections.duplicates import lines
from indexer.sample_datalake import COLOURS, SHAPES, draw_garment
from searcher.collections import Collections
from searcher.entry import Entry
from searcher.scan.duplicates import groups

MODEL = Path(__file__).parents[3] / "torchscripts_models" / "relahash-small-64bits.pt"


def jpeg(picture: Image.Image, quality: int) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def test_of_256_garments_none_is_a_copy_and_of_copies_all_are(tmp_path: Path) -> None:
    """Every garment once, so that many look alike; then every eighth again, recompressed."""
    model = TorchScriptEmbedder.load(MODEL)
    collection = Collections(tmp_path).create("garments", model.identity)
    pose = random.Random(0)
    drawn = {
        f"{shape} {colour} {pattern}": draw_garment(shape, colour, pattern, pose)
        for shape in SHAPES
        for colour in COLOURS
        for pattern in ("plain", "stripes", "dots", "checks")
    }

    def add(files: dict[str, bytes]) -> None:
        vectors = model.embed(np.stack([model.prepare(data) for data in files.values()]))
        collection.add([Entry(name, row_of(vectors, place)) for place, name in enumerate(files)])

    def found() -> list[Any]:
        return [json.loads(line)["images"] for line in lines(collection.view(), None, "groups")]

    add({name: jpeg(picture, 90) for name, picture in drawn.items()})
    assert found() == []
    codes, _ = collection.view().all_of("code")
    assert sum(len(group.positions) for group in groups(codes, 4)) > 128, "by what they show, most have a double"
    again = [*drawn][::8]
    add({f"copy of {name}": jpeg(drawn[name], 50) for name in again})
    assert [[image["url"] for image in group] for group in found()] == [[name, f"copy of {name}"] for name in again]
