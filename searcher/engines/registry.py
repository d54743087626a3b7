"""The engines by name, which is what addresses begin with; packages add theirs as entry points "hashlake.engines".

postgresql://host/pictures ─▶ ENGINES.get("postgresql") ─▶ an ``engine.OpenEngine``
"""

from typing import cast

from contract.registry import BuiltIn, NotRegistered, Registry
from searcher.engines.configuration import Configuration
from searcher.engines.engine import OpenEngine
from searcher.errors import EngineRefused

_PGVECTOR = BuiltIn("searcher.engines.pgvector:PgvectorEngine", "pgvector")

_MILVUS = BuiltIn("searcher.engines.milvus:MilvusEngine", "milvus")

ENGINES = Registry(
    "engine",
    "hashlake.engines",
    {
        "postgresql": _PGVECTOR,
        "postgres": _PGVECTOR,
        "milvus": _MILVUS,
        "milvus+http": _MILVUS,
        "milvus+https": _MILVUS,
    },
)


def engine_of(configuration: Configuration) -> OpenEngine:
    """Returns what opens the engine of ``configuration``. Raises EngineRefused, which says what to install or which
    engines there are."""
    try:
        return cast("OpenEngine", ENGINES.get(configuration.engine))
    except NotRegistered as error:
        raise EngineRefused(str(error)) from error
