"""The Helm chart, rendered by Helm itself, against the Kubernetes schemas and against what the containers need."""

import copy
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import helm_python
import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from embedding.torchscript import TorchScriptEmbedder
from gateway import server as gateway_server
from gateway.extractor.folders import Folders
from gateway.operations import reindex_runner as reindexing
from gateway.readiness import Ready, ReadyWorker
from handler import torchserve
from handler.archive import ARCHIVE_FILE, build_archive
from hashlake.version import __version__
from indexer.watch_command import _refuse_unknown, watch
from release.locks import pins
from searcher.versions.store import IndexStore
from tests.deploy.chart import Document, Values, environment, only, render, server
from tests.deploy.project import (
    CHART,
    DEPLOY,
    EXTRACTOR,
    GATEWAY,
    INFERENCE,
    METRICS,
    REPOSITORY,
    USER,
    documented_variables,
    image_environment,
    read_yaml,
)
from tests.fakes import write_datalake

DATALAKE: Values = {"datalake": {"nfs": {"server": "files.example", "path": "/photos"}}}
#: What is worth rendering: each switch both ways.
VARIANTS: dict[str, Values] = {
    "defaults": {},
    "everything": DATALAKE
    | {
        "keysSecret": "hashlake-keys",
        "searchNeedsKey": True,
        "gateway": {"allowedHosts": "search.example.org", "trustedProxies": "10.1.0.0/16", "rootPath": "/hashlake"},
        "hpa": {"enabled": True},
        "podMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "imagePullSecrets": [{"name": "registry"}],
        "networkPolicy": {"from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "web"}}}]},
        "store": {"storageClass": "nfs"},
    },
    "baked": {"store": {"mode": "baked"}} | DATALAKE,
    "watch": DATALAKE
    | {
        "store": {"accessMode": "ReadWriteOnce"},
        "watch": {
            "source": "s3://lake/photos",
            "environmentSecret": "lake-keys",
            "egress": [{"to": [{"podSelector": {"matchLabels": {"app": "minio"}}}], "ports": [{"port": 9000}]}],
        },
    },
    "extractor": DATALAKE
    | {
        "replicas": 1,
        "store": {"accessMode": "ReadWriteOnce"},
        "detector": "detector-elements",
        "crop": "auto",
        "extractor": {"enabled": True, "client": "https://app.example.org", "keepDays": 30},
        "networkPolicy": {"fetch": True},
    },
    "own claim": {"store": {"existingClaim": "pictures"}, "networkPolicy": {"enabled": False}},
}
#: The oldest that Chart.yaml allows, and the newest whose schemas are here.
KUBERNETES = ("1.25", "1.37")
PODS = ("Deployment", "CronJob")


@pytest.fixture(scope="module")
def charts() -> dict[str, list[Document]]:
    return {name: render(values) for name, values in VARIANTS.items()}


@pytest.fixture(params=VARIANTS)
def documents(request: pytest.FixtureRequest, charts: dict[str, list[Document]]) -> list[Document]:
    return charts[request.param]


def pod_templates(documents: list[Document]) -> Iterator[Document]:
    for each in documents:
        if each["kind"] == "Deployment":
            yield each["spec"]["template"]
        elif each["kind"] == "CronJob":
            yield each["spec"]["jobTemplate"]["spec"]["template"]


def containers(template: Document) -> list[Document]:
    return [*template["spec"].get("initContainers", []), *template["spec"]["containers"]]


class TestRendering:
    @pytest.mark.parametrize("variant", VARIANTS)
    def test_helm_lint_has_nothing_to_say(self, variant: str) -> None:
        report = helm_python.lint(CHART, VARIANTS[variant], strict=True)
        assert report["errors"] == []
        assert [each["error"] for each in report["messages"]] == ["icon is recommended"]

    @pytest.mark.parametrize("version", KUBERNETES)
    def test_every_document_is_what_kubernetes_takes(self, documents: list[Document], version: str) -> None:
        for each in documents:
            if each["kind"] != "PodMonitor":  # the Prometheus operator's, not Kubernetes' own
                kubernetes_validate.validate(each, version, strict=True)

    def test_what_is_made_when(self, charts: dict[str, list[Document]]) -> None:
        always = {"Deployment", "Service", "NetworkPolicy", "PodDisruptionBudget"}
        kinds = {name: {each["kind"] for each in documents} for name, documents in charts.items()}
        assert kinds == {
            "defaults": always | {"PersistentVolumeClaim"},
            "everything": always
            | {"PersistentVolumeClaim", "CronJob", "ConfigMap", "HorizontalPodAutoscaler", "PodMonitor"},
            "baked": always,
            "watch": always | {"PersistentVolumeClaim", "CronJob", "ConfigMap"},
            "extractor": always | {"PersistentVolumeClaim", "CronJob", "ConfigMap"},
            "own claim": always - {"NetworkPolicy"},
        }

    def test_no_two_documents_have_one_name(self, documents: list[Document]) -> None:
        names = [(each["kind"], each["metadata"]["name"]) for each in documents]
        assert len(set(names)) == len(names)

    def test_the_longest_release_name_fits(self) -> None:
        with helm_python.Chart.load(CHART) as chart:
            rendered = chart.render(DATALAKE, name="a" * 53, namespace="prod")
        (job,) = [each for text in rendered.values() for each in _documents(text) if each.get("kind") == "CronJob"]
        assert len(job["metadata"]["name"]) <= 52  # Kubernetes appends eleven characters to make a job's name

    def test_the_version_is_the_projects(self) -> None:
        chart = read_yaml(CHART / "Chart.yaml")
        assert chart["version"] == chart["appVersion"] == __version__

    def test_the_notes_say_how_the_first_index_and_key_are_made(self) -> None:
        with helm_python.Chart.load(CHART) as chart:
            everything = chart.render(DATALAKE, name="demo", namespace="prod")["hashlake/templates/NOTES.txt"]
            bare = chart.render({"keysSecret": "k"}, name="demo", namespace="prod")["hashlake/templates/NOTES.txt"]
        assert "kubectl -n prod create job --from=cronjob/demo-hashlake-reindex" in everything
        assert "hashlake keys create first --role admin" in everything
        assert "No datalake is set" in bare and "keys create" not in bare


def _documents(text: str) -> Iterator[Document]:
    try:
        yield from (each for each in yaml.safe_load_all(text) if isinstance(each, dict))
    except yaml.YAMLError:  # NOTES.txt
        return


class TestPods:
    def test_no_container_may_do_more_than_it_needs(self, documents: list[Document]) -> None:
        for template in pod_templates(documents):
            spec = template["spec"]
            context = spec["securityContext"]
            assert context["runAsNonRoot"] is True
            assert {context["runAsUser"], context["runAsGroup"], context["fsGroup"]} == {USER}
            assert context["seccompProfile"] == {"type": "RuntimeDefault"}
            assert spec["automountServiceAccountToken"] is False
            assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
            for each in containers(template):
                assert each["securityContext"] == {
                    "readOnlyRootFilesystem": True,
                    "allowPrivilegeEscalation": False,
                    "capabilities": {"drop": ["ALL"]},
                }
                assert "memory" in each["resources"]["limits"] and "memory" in each["resources"]["requests"]

    def test_services_cannot_set_our_variables(self, documents: list[Document]) -> None:
        """A Service named hashlake-gateway would set HASHLAKE_GATEWAY_PORT to tcp://…, and the gateway not start."""
        for template in pod_templates(documents):
            assert template["spec"]["enableServiceLinks"] is False

    def test_every_variable_is_in_the_readme(self, documents: list[Document]) -> None:
        known = set(documented_variables())
        for template in pod_templates(documents):
            for each in containers(template):
                assert {name for name in environment(each) if name.startswith("HASHLAKE_")} <= known
                assert set(re.findall(r"HASHLAKE_\w+", json.dumps(each))) <= known

    def test_folders_and_user_are_the_images(self, documents: list[Document]) -> None:
        image = image_environment()
        assert f"USER {USER}:{USER}" in (REPOSITORY / "searcher" / "Dockerfile").read_text(encoding="utf-8")
        for template in pod_templates(documents):
            for each in template["spec"]["containers"]:
                for name in ("HASHLAKE_INDEX_STORE", "HASHLAKE_MODEL_STORE", "HASHLAKE_STATE"):
                    assert environment(each).get(name, image[name]) == image[name]

    def test_containers_of_one_pod_have_a_tmp_each(self, documents: list[Document]) -> None:
        """Each fills a cache of compiled code there when it starts."""
        places = [
            (mount["name"], mount.get("subPath"))
            for each in server(documents).values()
            for mount in each["volumeMounts"]
            if mount["mountPath"] == "/tmp"
        ]
        assert len(set(places)) == len(places) == 2

    def test_mounts_have_volumes_and_volumes_have_mounts(self, documents: list[Document]) -> None:
        for template in pod_templates(documents):
            volumes = {each["name"] for each in template["spec"]["volumes"]}
            mounted = {mount["name"] for each in containers(template) for mount in each["volumeMounts"]}
            assert mounted - volumes == set()
            assert volumes - mounted == set() or volumes - mounted == {"datalake"}

    def test_stores_and_tmp_are_writable_and_the_datalake_is_not(self, documents: list[Document]) -> None:
        for template in pod_templates(documents):
            for each in template["spec"]["containers"]:
                mounts = {mount["mountPath"]: mount for mount in each["volumeMounts"]}
                variables = environment(each)
                for path in (variables["HASHLAKE_INDEX_STORE"], variables["HASHLAKE_MODEL_STORE"], "/tmp"):
                    assert "readOnly" not in mounts[path]
                if "HASHLAKE_STATE" in variables:
                    assert "readOnly" not in mounts[variables["HASHLAKE_STATE"]]
                if "HASHLAKE_DATALAKE" in variables:
                    assert mounts[variables["HASHLAKE_DATALAKE"]]["readOnly"] is True

    def test_the_image_is_the_readmes(self, documents: list[Document]) -> None:
        images = {each["image"] for template in pod_templates(documents) for each in containers(template)}
        assert images == {f"efiss-ai:{__version__}-cpu"}


class TestServing:
    def test_ports_are_the_readmes_and_names_agree(self, documents: list[Document]) -> None:
        ports = {port["name"]: port["containerPort"] for each in server(documents).values() for port in each["ports"]}
        extractor = ports.pop("extractor", None)
        assert ports == {"inference": INFERENCE, "metrics": METRICS, "gateway": GATEWAY}
        known = documented_variables()
        assert [known[f"HASHLAKE_{name}_PORT"] for name in ("INFERENCE", "METRICS", "GATEWAY")] == [
            str(port) for port in (INFERENCE, METRICS, GATEWAY)
        ]
        for name, port in (("demo-hashlake", "inference"), ("demo-hashlake-gateway", "gateway")):
            first, *others = only(documents, "Service", name)["spec"]["ports"]
            assert first == {"name": port, "port": ports[port], "targetPort": port}
            more = [{"name": "extractor", "port": extractor, "targetPort": "extractor"}]
            assert others == (more if port == "gateway" and extractor else [])

    def test_the_extraction_api(self, charts: dict[str, list[Document]]) -> None:
        documents = charts["extractor"]
        serve, admin = server(documents)["serve"], server(documents)["admin"]
        assert (environment(serve)["HASHLAKE_DETECTOR"], environment(serve)["HASHLAKE_CROP"]) == (
            "detector-elements",
            "auto",
        )
        told = {name: text for name, text in environment(admin).items() if "EXTRACTOR" in name}
        assert told == {
            "HASHLAKE_EXTRACTOR_PORT": str(EXTRACTOR), "HASHLAKE_EXTRACTOR_DETECTOR": "detector-elements",
            "HASHLAKE_EXTRACTOR_CLIENT": "https://app.example.org", "HASHLAKE_EXTRACTOR_KEEP_DAYS": "30",
            "HASHLAKE_EXTRACTOR_MAX_MB": "10240",
        }  # fmt: skip
        assert {"name": "extractor", "containerPort": EXTRACTOR} in admin["ports"]
        state = environment(admin)["HASHLAKE_STATE"]
        (kept,) = [each for each in admin["volumeMounts"] if each["mountPath"] == str(Folders(Path(state)).root)]
        assert kept["name"] == "data" and "readOnly" not in kept
        assert only(documents, "Deployment")["spec"]["strategy"] == {"type": "Recreate"}
        let_in = only(documents, "NetworkPolicy")["spec"]["ingress"][0]["ports"]
        assert [port["port"] for port in let_in] == ["inference", "gateway", "extractor"]
        with pytest.raises(Exception, match=r"extractor.enabled needs replicas: 1"):
            render(VARIANTS["extractor"] | {"replicas": 2})
        assert (environment(server(charts["defaults"])["serve"])["HASHLAKE_DETECTOR"]) == ""

    def test_management_is_a_socket_that_the_pods_two_containers_share(self, documents: list[Document]) -> None:
        folders = set()
        for container in server(documents).values():
            (mounted,) = [each for each in container["volumeMounts"] if each["name"] == "run"]
            folder = environment(container)["HASHLAKE_RUN_FOLDER"]
            assert folder.startswith(f"{mounted['mountPath']}/") and "subPath" not in mounted
            folders.add(folder)
        assert len(folders) == 1
        volumes = only(documents, "Deployment")["spec"]["template"]["spec"]["volumes"]
        assert [each for each in volumes if each["name"] == "run"] == [
            {"name": "run", "emptyDir": {"sizeLimit": "1Gi"}}
        ]

    def test_containers_listen_on_every_address(self, documents: list[Document]) -> None:
        serve, admin = server(documents)["serve"], server(documents)["admin"]
        assert (serve["args"], admin["args"]) == (["serve"], ["admin"])
        assert environment(serve)["HASHLAKE_HOST"] == environment(serve)["HASHLAKE_METRICS_HOST"] == "0.0.0.0"
        assert environment(admin)["HASHLAKE_GATEWAY_HOST"] == "0.0.0.0"
        assert "HASHLAKE_TORCHSERVE_HOST" not in environment(admin)  # loopback, which the pod shares

    def test_the_gateway_can_be_told_of_its_ingress(self, charts: dict[str, list[Document]]) -> None:
        names = ("HASHLAKE_ALLOWED_HOSTS", "HASHLAKE_TRUSTED_PROXIES", "HASHLAKE_ROOT_PATH", "HASHLAKE_ALLOWED_ORIGINS")
        for variant, told in (
            ("defaults", ["", "", "", ""]),
            ("everything", ["search.example.org", "10.1.0.0/16", "/hashlake", ""]),
        ):
            given = environment(server(charts[variant])["admin"])
            assert [given[name] for name in names] == told

    def test_readiness_is_admins_and_liveness_asks_each(self, documents: list[Document]) -> None:
        serve, admin = server(documents)["serve"], server(documents)["admin"]
        assert admin["readinessProbe"]["exec"]["command"][:2] == ["python", "-c"]
        assert "readinessProbe" not in serve
        assert admin["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "gateway"}
        assert serve["livenessProbe"]["httpGet"] == {"path": "/ping", "port": "inference"}
        # gateway/health.py takes up to 3 s to find out, and twice that for who asks meanwhile.
        assert admin["readinessProbe"]["timeoutSeconds"] > 10
        startup = serve["startupProbe"]
        start_timeout = int(documented_variables()["HASHLAKE_START_TIMEOUT"])
        assert startup["periodSeconds"] * startup["failureThreshold"] > start_timeout

    @pytest.mark.parametrize(
        ("status", "versions", "ready"),
        [
            (200, ["1.2.0", "1.2.0"], True),
            (503, ["1.2.0", "1.1.0"], True),  # a swap, half-way
            (503, ["1.1.0", "1.1.0"], True),  # the current version was refused: better an answer from the one before
            (503, ["1.2.0", None], False),
            (503, [], False),  # no version yet, or TorchServe cannot be reached
        ],
    )
    def test_a_pod_is_ready_when_every_worker_answers(
        self, charts: dict[str, list[Document]], status: int, versions: list[str | None], ready: bool
    ) -> None:
        workers = [ReadyWorker(pid=pid, version=version) for pid, version in enumerate(versions)]
        body = Ready(ready=status == 200, version="1.2.0", workers=workers).model_dump_json().encode()

        class Gateway(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status if self.path == "/readyz" else 404)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        command = server(charts["defaults"])["admin"]["readinessProbe"]["exec"]["command"]
        with HTTPServer(("127.0.0.1", 0), Gateway) as gateway:
            threading.Thread(target=gateway.handle_request, daemon=True).start()
            script = command[2].replace(f"127.0.0.1:{GATEWAY}", f"127.0.0.1:{gateway.server_port}")
            done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        assert done.returncode == (0 if ready else 1), done.stderr

    def test_no_pod_goes_before_another_is_ready_and_none_is_cut_off(self, documents: list[Document]) -> None:
        spec = only(documents, "Deployment")["spec"]
        if spec["strategy"] != {"type": "Recreate"}:  # where one pod has the volume to itself
            assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
        serve = torchserve.DRAIN_SECONDS + torchserve.STOP_SECONDS + 5
        admin = gateway_server._STOP_SECONDS + reindexing._STOP_SECONDS
        waits = [int(each["lifecycle"]["preStop"]["exec"]["command"][1]) for each in server(documents).values()]
        assert spec["template"]["spec"]["terminationGracePeriodSeconds"] > max(waits) + max(serve, admin)

    def test_selectors_find_the_server_and_not_the_indexer(self, documents: list[Document]) -> None:
        deployment = only(documents, "Deployment")
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        selectors = [deployment["spec"]["selector"]["matchLabels"]]
        selectors += [each["spec"]["selector"] for each in documents if each["kind"] == "Service"]
        selectors += [
            each["spec"]["selector"]["matchLabels"]
            for each in documents
            if each["kind"] in ("PodDisruptionBudget", "PodMonitor")
        ]
        for selector in selectors:
            assert selector.items() <= labels.items()
            for template in pod_templates(documents):
                if template["metadata"]["labels"] != labels:
                    assert not selector.items() <= template["metadata"]["labels"].items()

    def test_a_claim_of_its_own_or_the_one_that_is_there(self, charts: dict[str, list[Document]]) -> None:
        def volumes(name: str) -> dict[str, Document]:
            spec = only(charts[name], "Deployment")["spec"]["template"]["spec"]
            return {each["name"]: each for each in spec["volumes"]}

        assert volumes("defaults")["data"]["persistentVolumeClaim"] == {"claimName": "demo-hashlake"}
        assert volumes("own claim")["data"]["persistentVolumeClaim"] == {"claimName": "pictures"}
        claim = only(charts["everything"], "PersistentVolumeClaim")["spec"]
        assert (claim["accessModes"], claim["storageClassName"]) == (["ReadWriteMany"], "nfs")
        assert volumes("baked")["data"]["emptyDir"] == {}
        assert all(volumes(name)["state"]["emptyDir"] for name in charts)

    @pytest.mark.parametrize("variant", ["defaults", "baked"])
    def test_the_first_start_puts_the_images_stores_where_they_are_read(
        self, charts: dict[str, list[Document]], variant: str, tmp_path: Path
    ) -> None:
        spec = only(charts[variant], "Deployment")["spec"]["template"]["spec"]
        (stores,) = spec["initContainers"]
        assert stores["volumeMounts"] == [{"name": "data", "mountPath": "/volume"}]
        image = tmp_path / "data"
        (image / "model_store").mkdir(parents=True)
        (image / "model_store" / ARCHIVE_FILE).write_text("the image's")
        (image / "index_store" / "1.5.0").mkdir(parents=True)
        volume = tmp_path / "volume"
        volume.mkdir()
        (script,) = stores["args"]
        script = script.replace("/data/", f"{image}/").replace("/volume", str(volume))

        subprocess.run([*stores["command"], script], check=True, env=os.environ | {"HOSTNAME": "pod-1"})

        mounts = [mount for mount in spec["containers"][0]["volumeMounts"] if mount["name"] == "data"]
        assert mounts == [
            {"name": "data", "mountPath": f"/data/{store}", "subPath": store}
            for store in ("index_store", "model_store")
        ]
        assert sorted(each.name for each in volume.iterdir()) == ["index_store", "model_store"]
        assert [each.name for each in (volume / "model_store").iterdir()] == [ARCHIVE_FILE]
        assert (volume / "index_store" / "1.5.0").is_dir() == (variant == "baked")

        if variant == "defaults":  # the volume stays, and with it what the admin API has put there
            (volume / "model_store" / ARCHIVE_FILE).write_text("another")
            subprocess.run([*stores["command"], script], check=True, env=os.environ | {"HOSTNAME": "pod-2"})
            assert (volume / "model_store" / ARCHIVE_FILE).read_text() == "another"

    def test_keys_come_from_a_secret(self, charts: dict[str, list[Document]]) -> None:
        mounts = {mount["mountPath"]: mount for mount in server(charts["everything"])["admin"]["volumeMounts"]}
        assert mounts["/data/gateway_state/keys.db"] == {
            "name": "keys",
            "mountPath": "/data/gateway_state/keys.db",
            "subPath": "keys.db",
            "readOnly": True,
        }

    def test_network_policy_lets_in_three_ports_and_nothing_out(self, charts: dict[str, list[Document]]) -> None:
        policy = only(charts["everything"], "NetworkPolicy")["spec"]
        assert policy["policyTypes"] == ["Ingress", "Egress"] and policy["egress"] == []
        clients, monitoring = policy["ingress"]
        assert [port["port"] for port in clients["ports"]] == ["inference", "gateway"]
        assert [port["port"] for port in monitoring["ports"]] == ["metrics", "gateway"]
        assert clients["from"] == VARIANTS["everything"]["networkPolicy"]["from"]
        assert monitoring["from"] == [
            {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
        ]
        for template in pod_templates(charts["everything"]):
            assert policy["podSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
        assert "from" not in only(charts["defaults"], "NetworkPolicy")["spec"]["ingress"][0]

    def test_collections_fetch_from_the_internet_alone(self) -> None:
        policy = only(render({"networkPolicy": {"fetch": True}}), "NetworkPolicy")["spec"]
        names, web = policy["egress"]
        assert "to" not in names and {port["port"] for port in names["ports"]} == {53}
        assert [port["port"] for port in web["ports"]] == [80, 443]
        (left_out,) = [peer["ipBlock"]["except"] for peer in web["to"] if peer["ipBlock"]["cidr"] == "0.0.0.0/0"]
        assert {"10.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16"} <= set(left_out)

    def test_collections_are_changed_on_one_node_only(self, charts: dict[str, list[Document]]) -> None:
        def read_only(documents: list[Document]) -> str:
            env = {each["name"]: each.get("value") for each in server(documents)["admin"]["env"]}
            return str(env["HASHLAKE_COLLECTIONS_READ_ONLY"])

        one_node: Values = {
            "collections": {"writable": True}, "replicas": 1, "store": {"accessMode": "ReadWriteOnce"}
        }  # fmt: skip
        documents = render(one_node)
        assert (read_only(charts["defaults"]), read_only(documents)) == ("true", "false")
        assert only(documents, "Deployment")["spec"]["strategy"] == {"type": "Recreate"}
        refused: list[Values] = [
            one_node | {"replicas": 2},
            one_node | {"store": {"accessMode": "ReadWriteMany"}},
            one_node | {"store": {"accessMode": "ReadWriteOnce", "mode": "baked"}},
            one_node | {"hpa": {"enabled": True}},
        ]
        for values in refused:
            with pytest.raises(Exception, match="safe on one node only"):
                render(values)

    def test_the_autoscaler_goes_by_the_adapters_metric_and_owns_the_number(
        self, charts: dict[str, list[Document]]
    ) -> None:
        scaler = only(charts["everything"], "HorizontalPodAutoscaler")["spec"]
        (metric,) = scaler["metrics"]
        (rule,) = read_yaml(DEPLOY / "prometheus/adapter.yaml")["rules"]["custom"]
        assert metric["pods"]["metric"]["name"] == rule["name"]["as"]
        assert metric["pods"]["target"] == {"type": "AverageValue", "averageValue": "50"}
        assert scaler["scaleTargetRef"]["name"] == only(charts["everything"], "Deployment")["metadata"]["name"]
        assert "replicas" not in only(charts["everything"], "Deployment")["spec"]
        assert only(charts["defaults"], "Deployment")["spec"]["replicas"] == 2

    def test_the_pod_monitor_names_ports_that_the_pods_have(self, charts: dict[str, list[Document]]) -> None:
        monitor = only(charts["everything"], "PodMonitor")
        ports = {port["name"] for each in server(charts["everything"]).values() for port in each["ports"]}
        assert [each["port"] for each in monitor["spec"]["podMetricsEndpoints"]] == ["metrics", "gateway"]
        assert {"metrics", "gateway"} <= ports
        assert monitor["metadata"]["labels"]["release"] == "prometheus"


class TestValues:
    def defaults(self) -> Values:
        values: Values = read_yaml(CHART / "values.yaml")
        return values

    def test_the_schema_takes_the_defaults(self) -> None:
        with helm_python.Chart.load(CHART) as chart:
            chart.validate_schema(self.defaults())

    @pytest.mark.parametrize(
        ("path", "value"),
        [
            ("replica", 2),
            ("replicas", 0),
            ("replicas", "2"),
            ("workers", 1.5),
            ("image.tag", ""),
            ("image.tag", "1.0.0 cpu"),
            ("image.pullPolicy", "Sometimes"),
            ("store.mode", "volume"),
            ("store.model", "relahash-general-64bits.pt"),
            ("store.size", "20 GB"),
            ("store.accessMode", "ReadOnlyMany"),
            ("datalake", {"nfs": {}, "emptyDir": {}}),
            ("datalake", "/photos"),
            ("keysSecret", 5),
            ("searchNeedsKey", "yes"),
            ("gateway.rootPath", "https://search.example.org"),
            ("gateway.allowedHosts", ["search.example.org"]),
            ("reindex.schedule", "3 o'clock"),
            ("reindex.keep", 1),
            ("serve.resources.limits.memory", None),
            ("serve.resources.limits.memory", "4 GB"),
            ("service.type", "ExternalName"),
            ("hpa.queueMilliseconds", 0),
            ("networkPolicy.metricsFrom", []),
            ("networkPolicy.from", [{}]),
            ("networkPolicy.from", [{"namespace": "web"}]),
            ("podMonitor.enabled", 1),
            ("detector", "/models/mine.pt"),
            ("crop", True),
            ("extractor.client", "app.example.org"),
            ("extractor.keepDays", -1),
            ("extractor.port", 5000),
        ],
    )
    def test_the_schema_refuses_what_is_wrong(self, path: str, value: Any) -> None:
        values = copy.deepcopy(self.defaults())
        *folders, last = path.split(".")
        place = values
        for each in folders:
            place = place[each]
        place[last] = value
        with helm_python.Chart.load(CHART) as chart, pytest.raises(helm_python.HelmError):
            chart.validate_schema(values)


class TestReindexing:
    def test_the_job_runs_the_script_then_prunes(self, charts: dict[str, list[Document]]) -> None:
        job = only(charts["everything"], "CronJob", "demo-hashlake-reindex")["spec"]
        (index,) = job["jobTemplate"]["spec"]["template"]["spec"]["containers"]
        assert job["concurrencyPolicy"] == "Forbid"
        assert [*index["command"], *index["args"]] == [
            "bash", "-c", 'bash /scripts/reindex.sh && exec hashlake versions prune --keep "$0"', "5",
        ]  # fmt: skip
        scripts = only(charts["everything"], "ConfigMap", "demo-hashlake-reindex")["data"]
        assert scripts["reindex.sh"].strip() == (CHART / "files" / "reindex.sh").read_text(encoding="utf-8").strip()
        volumes = {each["name"]: each for each in job["jobTemplate"]["spec"]["template"]["spec"]["volumes"]}
        assert volumes["scripts"]["configMap"]["name"] == "demo-hashlake-reindex"
        assert {"name": "scripts", "mountPath": "/scripts", "readOnly": True} in index["volumeMounts"]

    def test_the_script_indexes_with_the_model_that_the_archive_holds(
        self, grid: TorchScriptEmbedder, grid_path: Path, tmp_path: Path
    ) -> None:
        build_archive(grid_path, tmp_path / "model_store")
        write_datalake(tmp_path / "lake", {"a.png": 1, "b/c.png": 2})
        tools = Path(sys.executable).parent
        variables = {
            "PATH": f"{tools}:{os.environ['PATH']}",
            "TMPDIR": str(tmp_path),
            "HASHLAKE_INDEX_STORE": str(tmp_path / "index_store"),
            "HASHLAKE_MODEL_STORE": str(tmp_path / "model_store"),
            "HASHLAKE_DATALAKE": str(tmp_path / "lake"),
        }
        subprocess.run(["bash", CHART / "files" / "reindex.sh"], env=os.environ | variables, check=True, cwd="/")
        store = IndexStore(tmp_path / "index_store")
        version = store.open()
        assert version.manifest.model.sha256 == grid.sha256
        assert version.images.paths([0, 1]) == [f"{tmp_path}/lake/a.png", f"{tmp_path}/lake/b/c.png"]
        assert {each.name for each in tmp_path.iterdir()} == {"index_store", "model_store", "lake"}


class TestWatch:
    """A collection that follows a source, in a pod of its own."""

    @pytest.fixture
    def container(self, charts: dict[str, list[Document]]) -> Document:
        spec = only(charts["watch"], "Deployment", "demo-hashlake-watch")["spec"]
        assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
        (container,) = spec["template"]["spec"]["containers"]
        found: Document = container
        return found

    def test_the_command_takes_what_it_is_told(self, container: Document, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in environment(container).items():
            monkeypatch.setenv(name, value)
        context = watch.make_context("watch", container["args"][1:])
        told = {
            "address": "s3://lake/photos", "name": "watched", "model_name": "relahash-general-64bits", "every": 30.0,
            "remove_gone": True, "images": True, "pdfs": False, "status_host": "0.0.0.0", "status_port": 8090,
            "index_store": Path("/data/index_store"),
        }  # fmt: skip
        assert {name: context.params[name] for name in told} == told
        _refuse_unknown()
        assert (REPOSITORY / "torchscripts_models" / f"{told['model_name']}.pt").is_file()

    def test_keys_come_from_a_secret_and_the_status_is_asked(
        self, container: Document, charts: dict[str, list[Document]]
    ) -> None:
        assert container["envFrom"] == [{"secretRef": {"name": "lake-keys"}}]
        assert server(charts["watch"])["admin"]["envFrom"] == container["envFrom"]  # it shows the pictures
        assert "envFrom" not in server(charts["watch"])["serve"]
        (port,) = container["ports"]
        assert environment(container)["HASHLAKE_STATUS_PORT"] == str(port["containerPort"])
        for probe in ("startupProbe", "livenessProbe"):
            assert container[probe]["httpGet"] == {"path": "/status", "port": port["name"]}

    def test_it_alone_gets_to_where_its_source_is(self, charts: dict[str, list[Document]]) -> None:
        policy = only(charts["watch"], "NetworkPolicy", "demo-hashlake-watch")["spec"]
        assert policy["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "watch"
        assert policy["egress"][0]["ports"] == [{"port": 9000}]
        assert only(charts["watch"], "NetworkPolicy")["spec"]["egress"] == []

    @pytest.mark.parametrize(
        ("values", "why"),
        [
            ({"watch": {"source": "/datalake"}}, "watch needs store.mode: pvc and store.accessMode: ReadWriteOnce"),
            ({"watch": {"source": "/datalake"}, "store": {"accessMode": "ReadWriteOnce"}}, "no datalake is set"),
            ({"watch": {"source": "s3://key:secret@lake"}}, "source"),
        ],
    )
    def test_what_is_refused(self, values: Values, why: str) -> None:
        with pytest.raises(Exception, match=re.escape(why)):
            render(values)


def test_the_images_have_what_sources_need() -> None:
    """As `pip install 'hashlake[sources]'` would; lock_problems says that the locks pin all of it."""
    for name, lock in (("Dockerfile", "requirements.lock"), ("Dockerfile.cuda", "requirements-cuda.lock")):
        assert f"--requirement {lock}" in (REPOSITORY / "searcher" / name).read_text(encoding="utf-8")
        pinned = pins((REPOSITORY / lock).read_text(encoding="utf-8"), lock)
        assert {"obstore", "pyarrow", "pypdfium2", "watchfiles"} <= pinned.keys()
