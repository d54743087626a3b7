"""Makes collections."""

import json
from contextlib import suppress
from datetime import UTC, datetime

from contract.model import ModelIdentity
from gateway.collections.bodies import BIRTH_FILE
from searcher.collections import Collections
from searcher.engines.foreign import ForeignCollection
from searcher.live.collection import Collection


def make_collection(
    collections: Collections, name: str, model: ModelIdentity, engine: str | None = None, place: str | None = None
) -> Collection | ForeignCollection:
    """Make the collection ``name`` for codes of ``model``, and note when: empty, or with what its ``engine`` has at
    ``place``. Raises as ``Collections.create``."""
    collection = collections.create(name, model, engine, place)
    with suppress(OSError):  # the collection works without it
        born = {"created": f"{datetime.now(UTC):%FT%TZ}"}
        (collection.folder / BIRTH_FILE).write_text(json.dumps(born) + "\n", encoding="utf-8")
    return collection
