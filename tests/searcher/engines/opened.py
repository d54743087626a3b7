"""Each engine with an empty collection, on a real server where it needs one."""

from collections.abc import Callable

import pytest

from contract.model import ModelIdentity
from searcher.collections import Collections
from searcher.engines.configuration import Configuration
from searcher.engines.engine import Engine, ForeignEngine
from searcher.engines.exact import ExactEngine
from searcher.engines.registry import engine_of
from tests.milvus import MilvusServer
from tests.searcher.engines.dict_engine import DictEngine


def created(address: str, place: str, model: ModelIdentity) -> ForeignEngine:
    """The collection ``place`` at ``address``, made or adopted."""
    configuration = Configuration(address=address, place=place, model=model)
    return engine_of(configuration)(engine_of(configuration).create(configuration))


def _exact(request: pytest.FixtureRequest, model: ModelIdentity) -> Engine:
    return ExactEngine(Collections(request.getfixturevalue("tmp_path")).create("shoes", model).folder)


def _pgvector(request: pytest.FixtureRequest, model: ModelIdentity) -> Engine:
    return created(request.getfixturevalue("postgres").address(), request.getfixturevalue("place"), model)


def _milvus(request: pytest.FixtureRequest, model: ModelIdentity) -> Engine:
    server: MilvusServer = request.getfixturevalue("milvus")
    return server.empty(model)


OPENED: dict[str, Callable[[pytest.FixtureRequest, ModelIdentity], Engine]] = {
    "exact": _exact,
    "pgvector": _pgvector,
    "milvus": _milvus,
    "dict": lambda _, model: DictEngine(model),
}
