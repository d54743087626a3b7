"""A real Ray cluster of two nodes on loopback, one core each, without a dashboard and with a small object store. Each
says that it has a GPU, which nothing here computes on.
"""

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import ray
from ray._private import ray_constants
from ray.cluster_utils import Cluster

from tests.handler.server import free_ports

_NODE = {
    "num_cpus": 1,
    "num_gpus": 1,
    "object_store_memory": 80 * 1024 * 1024,
    "node_ip_address": "127.0.0.1",
    "include_log_monitor": False,
    "no_monitor": True,
}


class TwoNodes:
    """``address`` is the cluster's, ``outside`` that for machines that aren't part of it, and ``second`` the number of
    its second node."""

    def __init__(self, cluster: Cluster, port: int) -> None:
        self._cluster = cluster
        self.outside = f"//127.0.0.1:{port}"
        self._node = _patiently(cluster)
        self.address = str(cluster.address)
        self.second = str(self._node.node_id)

    def kill_second_when(self, path: Path) -> None:
        """Kill the second node, without warning, as soon as there is a file at ``path``."""
        wait_for(path)
        self._cluster.remove_node(self._node, allow_graceful=False)


@contextmanager
def two_nodes() -> Iterator[TwoNodes]:
    with pytest.MonkeyPatch.context() as patch:
        # For 127.0.0.1, Ray would else take the address by which other machines know this one.
        patch.setattr(ray_constants, "ENABLE_RAY_CLUSTER", False)
        patch.setenv(ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR, "0")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        # Who asks from outside brings no paths, and what tests send is in their modules.
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
        cluster = Cluster()
        try:
            (port,) = free_ports(1)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ResourceWarning)  # Ray leaves the log of the server for clients open
                _patiently(cluster, include_dashboard=False, ray_client_server_port=port)
            yield TwoNodes(cluster, port)
        finally:
            cluster.shutdown()


def _patiently(cluster: Cluster, **more: Any) -> Any:
    """Returns a new node of ``cluster``. Ray gives it 30 s to start, which a machine with much else to do may not."""
    for _ in range(2):
        try:
            return cluster.add_node(**_NODE, **more)
        except Exception as error:
            if "timed out during startup" not in str(error):
                raise
    return cluster.add_node(**_NODE, **more)


def wait_for(path: Path) -> None:
    """Return when there is a file at ``path``."""
    end = time.monotonic() + 120
    while not path.exists():
        assert time.monotonic() < end, f"there is no {path}"
        time.sleep(0.01)


def node() -> str:
    """The number of the node that this process runs on."""
    return str(ray.get_runtime_context().get_node_id())
