"""The job for KubeRay: its pods against the Kubernetes schemas, its command against the one that there is."""

import copy
import shlex
from importlib.metadata import version
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest

from indexer.main import index
from indexer.workers import WORKERS
from tests.deploy.project import DEPLOY, REPOSITORY, USER, image_environment, read_yaml

JOB: dict[str, Any] = read_yaml(DEPLOY / "kuberay" / "index.yaml")
CLUSTER: dict[str, Any] = JOB["spec"]["rayClusterSpec"]
GROUPS = {"head": CLUSTER["headGroupSpec"], "cores": CLUSTER["workerGroupSpecs"][0]}


@pytest.fixture(params=GROUPS)
def pod(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = GROUPS[request.param]["template"]["spec"]
    return found


@pytest.mark.parametrize("kubernetes", ["1.25", "1.37"])
def test_its_pods_are_what_kubernetes_takes(pod: dict[str, Any], kubernetes: str) -> None:
    # KubeRay adds the metadata, and what the containers run.
    document = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "ray"}, "spec": copy.deepcopy(pod)}
    kubernetes_validate.validate(document, kubernetes, strict=True)


def test_its_pods_have_no_rights_that_they_do_not_need(pod: dict[str, Any]) -> None:
    assert pod["securityContext"]["runAsUser"] == USER
    assert pod["automountServiceAccountToken"] is False
    (container,) = pod["containers"]
    assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]}


def test_only_the_coordinator_has_the_store_and_it_lies_where_the_image_looks() -> None:
    stores = {
        name: [mount["mountPath"] for mount in group["template"]["spec"]["containers"][0]["volumeMounts"]]
        for name, group in GROUPS.items()
    }
    assert image_environment()["HASHLAKE_INDEX_STORE"] in stores["head"]
    assert stores["cores"] == ["/datalake", "/dev/shm"]


def test_the_command_is_one_that_there_is() -> None:
    name, command, *options = shlex.split(JOB["spec"]["entrypoint"])
    assert (name, command) == ("hashlake", "index")
    given = dict(zip(options[::2], options[1::2], strict=True))
    known = {option for parameter in index.params for option in parameter.opts}
    assert set(given) <= known
    assert given["--workers"] in WORKERS.names()
    assert (REPOSITORY / given["--model_path"]).is_file()


def test_it_names_the_ray_that_is_locked() -> None:
    assert CLUSTER["rayVersion"] == version("ray")
    assert f"ray[default,client]=={version('ray')}" in (DEPLOY / "README.md").read_text("utf-8")
