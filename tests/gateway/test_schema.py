"""The OpenAPI document: kept in step with the code, complete, and true of what a running stack answers."""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from gateway.openapi import document
from gateway.operations.jobs import JOBS_FILE, JobStore, ReindexRequest, Switched
from searcher.versions.store import IndexStore
from tests.gateway.stack import PATIENCE, Stack

REPOSITORY = Path(__file__).parents[2]
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
#: Those of a version's manifest, which has one example for all.
MANIFEST = {"FileEntry", "ModelIdentity", "Shortlist", "VersionDetails"}


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(document())
    return found


def test_the_document_on_disk_is_in_step() -> None:
    """If not: python -m gateway.openapi > docs/openapi.json"""
    assert (REPOSITORY / "docs" / "openapi.json").read_text(encoding="utf-8") == document()


def test_every_field_is_described_or_has_an_example(described: dict[str, Any]) -> None:
    bare = [
        f"{name}.{field}"
        for name, schema in described["components"]["schemas"].items()
        for field, facts in schema.get("properties", {}).items()
        if name not in MANIFEST and not facts.keys() & {"description", "examples", "$ref"}
    ]
    assert bare == []


def test_every_route_has_a_name_and_every_parameter_a_description(described: dict[str, Any]) -> None:
    operations = [operation for routes in described["paths"].values() for operation in routes.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(set(names)) == len(names)
    assert all(operation["summary"] for operation in operations)
    assert all(parameter["description"] for operation in operations for parameter in operation.get("parameters", []))


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """With the versions and the job that the document's examples name; no job can build anything."""
    prepared = Stack(tmp_path_factory.mktemp("stack"), {f"data/{row}.png": row for row in range(20)})
    for version in ("1.1.0", "1.2.0"):
        prepared.publish(version)
    prepared.store.promote("1.2.0")
    with prepared as running:
        jobs = JobStore(running.state / JOBS_FILE)
        job = jobs.create(ReindexRequest(new_index_database_version="1.2.0"))
        jobs.save(job.model_copy(update={"state": "succeeded", "result": Switched.now("1.1.0", "1.2.0")}))
        with sqlite3.connect(jobs.path) as connection:
            connection.execute("UPDATE jobs SET id = '3f9c01ab', job = replace(job, id, '3f9c01ab')")
        connection.close()
        # The first report compiles its search, which takes longer than schemathesis waits.
        assert running.call("GET", "/api/collections/default/duplicates").status_code == 200
        with IndexStore(running.store.folder).indexing():
            yield running


def ask(stack: Stack, operation: schemathesis.APIOperation, counts: Counter[int]) -> None:
    """What the document allows, with the admin key."""

    @given(case=operation.as_strategy())
    @settings(max_examples=30, phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck))
    def answers_conform(case: schemathesis.Case) -> None:
        case.headers = {**(case.headers or {}), "X-API-Key": stack.admin_key}
        case.headers.pop("Authorization", None)
        answer = case.call(timeout=PATIENCE)
        counts[answer.status_code] += 1
        # Not ready is an answer: with a version that isn't the current one.
        meant = operation.path == "/readyz" and "version" in (case.query or {}) and answer.status_code == 503
        case.validate_response(answer, checks=[check for check in CHECKS if not meant or check != not_a_server_error])

    answers_conform()


def test_a_running_stack_answers_as_the_document_says(stack: Stack) -> None:
    schema = schemathesis.openapi.from_url(f"{stack.url}/openapi.json")
    met: dict[str, Counter[int]] = {}
    wrong: list[str] = []
    for found in schema.get_all_operations():
        operation = found.ok()
        counts = met[f"{operation.method.upper()} {operation.path}"] = Counter()

        try:
            ask(stack, operation, counts)
        except FailureGroup as failures:
            wrong.append(f"{operation.label}: {failures}")
    print("\n".join(f"{route}: {dict(counts)}" for route, counts in met.items()))  # pytest -s shows it
    assert not wrong, "\n\n".join(wrong)
    assert met.keys() == {
        f"{method.upper()} {path}" for path, routes in json.loads(document())["paths"].items() for method in routes
    }
    assert stack.call("GET", "/readyz").status_code == 200
