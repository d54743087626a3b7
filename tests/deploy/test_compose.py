"""compose.yaml, against the Compose specification's schema; its parts agree with each other and with the README."""

import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from gateway import server
from gateway.operations import reindex_runner as reindexing
from handler import serve_command, torchserve
from tests.deploy.project import (
    DEPLOY,
    GATEWAY,
    INFERENCE,
    METRICS,
    REPOSITORY,
    documented_variables,
    image_environment,
    read_yaml,
)

TEXT = (REPOSITORY / "compose.yaml").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = read_yaml(REPOSITORY / "compose.yaml")
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {"pod", "serve", "admin", "index", "watch"}


def environment(service: str) -> dict[str, str]:
    found: dict[str, str] = SERVICES[service].get("environment", {})
    return found


def test_it_is_what_the_compose_specification_allows() -> None:
    schema = json.loads((files("check_jsonschema") / "builtin_schemas/vendor/compose-spec.json").read_text())
    jsonschema.validators.validator_for(schema)(schema).validate(COMPOSE)


def test_the_services_and_profiles() -> None:
    profiles = {name: service.get("profiles") for name, service in SERVICES.items()}
    assert profiles == dict.fromkeys(OURS - {"index", "watch"}) | {
        "index": ["index"],
        "watch": ["watch"],
        "prometheus": ["monitoring"],
        "grafana": ["monitoring"],
    }


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_is_hardened_and_limited(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service and "cap_add" not in service and "user" not in service
    assert re.fullmatch(r"\d+[mg]", service["mem_limit"])
    assert service["restart"] == ("no" if name == "index" else "unless-stopped")
    assert "stop_grace_period" in service


def test_torchserve_and_the_gateway_have_time_to_stop() -> None:
    grace = {name: int(SERVICES[name]["stop_grace_period"].removesuffix("s")) for name in ("serve", "admin")}
    assert grace["serve"] > torchserve.DRAIN_SECONDS + torchserve.STOP_SECONDS + 5 >= 30
    assert grace["admin"] > server._STOP_SECONDS + reindexing._STOP_SECONDS
    assert serve_command._GATEWAY_STOP_SECONDS > server._STOP_SECONDS + reindexing._STOP_SECONDS


@pytest.mark.parametrize("name", sorted(OURS))
def test_our_containers_run_the_image_that_the_readme_builds(name: str) -> None:
    assert SERVICES[name]["image"] == "efiss-ai:latest"
    assert SERVICES[name]["build"] == {"context": ".", "dockerfile": "searcher/Dockerfile"}


def test_every_variable_is_in_the_readme() -> None:
    known = documented_variables()
    assert set(re.findall(r"\bHASHLAKE_\w+", TEXT)) <= set(known)
    # and nothing else is asked of the caller
    asked = set(re.findall(r"(?<!\$)\$\{(\w+)", TEXT))
    assert asked <= set(known)
    for name, default in re.findall(r"\$\{(\w+):-([^}]*)\}", TEXT):
        assert default == known[name] or (name, default) == ("HASHLAKE_WORKERS", "2"), name


def test_only_inference_and_gateway_are_published_and_on_loopback_unless_told_otherwise() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {
        "pod": [
            f"${{HASHLAKE_HOST:-127.0.0.1}}:${{HASHLAKE_INFERENCE_PORT:-8080}}:{INFERENCE}",
            f"${{HASHLAKE_GATEWAY_HOST:-127.0.0.1}}:${{HASHLAKE_GATEWAY_PORT:-8000}}:{GATEWAY}",
        ],
        "grafana": ["127.0.0.1:3000:3000"],
    }
    assert not any("expose" in service for service in SERVICES.values())


def test_the_extraction_api_has_a_file_of_its_own() -> None:
    text = (DEPLOY / "compose-extractor.yaml").read_text(encoding="utf-8")
    extractor = read_yaml(DEPLOY / "compose-extractor.yaml")
    schema = json.loads((files("check_jsonschema") / "builtin_schemas/vendor/compose-spec.json").read_text())
    jsonschema.validators.validator_for(schema)(schema).validate(extractor)
    assert set(extractor["services"]) == {"pod", "admin"}
    settings = extractor["services"]["admin"]["environment"]
    port = settings["HASHLAKE_EXTRACTOR_PORT"]
    assert extractor["services"]["pod"]["ports"] == [
        f"${{HASHLAKE_GATEWAY_HOST:-127.0.0.1}}:${{HASHLAKE_EXTRACTOR_PORT:-{port}}}:{port}"
    ]
    assert set(re.findall(r"\bHASHLAKE_\w+", text)) <= set(documented_variables())
    assert "deploy/compose-extractor.yaml" in TEXT and not set(settings) & set(environment("admin"))


def test_serve_finds_the_detector() -> None:
    assert {"HASHLAKE_DETECTOR": None, "HASHLAKE_CROP": None}.items() <= environment("serve").items()
    assert f"./torchscripts_models:{environment('serve')['HASHLAKE_MODELS']}:ro" in SERVICES["serve"]["volumes"]


def test_management_is_reached_by_nobody_but_admin() -> None:
    """Its socket is in a volume that the two share."""
    having = {name for name, service in SERVICES.items() if "run:/run/hashlake" in service.get("volumes", [])}
    assert having == {"serve", "admin"}
    assert environment("serve")["HASHLAKE_RUN_FOLDER"] == environment("admin")["HASHLAKE_RUN_FOLDER"]
    assert environment("serve")["HASHLAKE_RUN_FOLDER"].startswith("/run/hashlake/")
    assert "HASHLAKE_MANAGEMENT" not in TEXT


def test_the_two_find_each_other() -> None:
    shared = {name for name, service in SERVICES.items() if service.get("network_mode") == "service:pod"}
    assert shared == {"serve", "admin"}
    known = documented_variables()
    # Nothing moves the ports inside from where the README says they are.
    assert known["HASHLAKE_METRICS_PORT"] == str(METRICS)
    assert known["HASHLAKE_TORCHSERVE_HOST"] == "127.0.0.1"
    for name in shared:
        assert not {key for key in environment(name) if key.endswith("_PORT") or key == "HASHLAKE_TORCHSERVE_HOST"}
    assert environment("serve")["HASHLAKE_METRICS_HOST"] == "0.0.0.0"


def test_health_is_the_images_own_check() -> None:
    """It asks for an answer to a picture, or for /readyz, as the container's command needs it."""
    assert "HEALTHCHECK" in (REPOSITORY / "searcher" / "Dockerfile").read_text(encoding="utf-8")
    for name, command in (("serve", ["serve"]), ("admin", ["admin"])):
        assert SERVICES[name]["command"] == command
        assert "entrypoint" not in SERVICES[name] and "healthcheck" not in SERVICES[name]
    assert SERVICES["pod"]["healthcheck"] == {"disable": True}


def test_stores_and_state_are_on_the_shared_volume_and_the_datalake_is_read_only() -> None:
    image = image_environment()
    for name in ("HASHLAKE_INDEX_STORE", "HASHLAKE_MODEL_STORE", "HASHLAKE_STATE"):
        assert image[name].startswith("/data/")
    assert image["HASHLAKE_HOST"] == image["HASHLAKE_GATEWAY_HOST"] == "0.0.0.0"
    for name in ("serve", "admin", "index", "watch"):
        assert SERVICES[name]["volumes"][0] == "data:/data"
        assert SERVICES[name]["tmpfs"][0].startswith("/tmp:exec,")
        assert not {"HASHLAKE_INDEX_STORE", "HASHLAKE_MODEL_STORE", "HASHLAKE_STATE"} & set(environment(name))
    for name in ("admin", "index"):
        (datalake,) = [volume for volume in SERVICES[name]["volumes"] if "/datalake" in volume]
        assert datalake.endswith(":/datalake:ro")
        assert environment(name)["HASHLAKE_DATALAKE"] == "/datalake"
    assert f"./torchscripts_models:{environment('admin')['HASHLAKE_MODELS']}:ro" in SERVICES["admin"]["volumes"]


def test_what_is_mounted_from_the_repository_exists() -> None:
    bound = {v.split(":")[0] for s in SERVICES.values() for v in s.get("volumes", []) if v.startswith("./")}
    assert len(bound) == 5
    for path in bound:
        assert (REPOSITORY / path).exists(), path


def test_the_indexer_needs_no_network() -> None:
    assert SERVICES["index"]["network_mode"] == "none"
    assert SERVICES["index"]["entrypoint"] == ["bash", "/reindex.sh"]
    assert "./deploy/helm/hashlake/files/reindex.sh:/reindex.sh:ro" in SERVICES["index"]["volumes"]


def test_the_watch_follows_the_datalake_with_a_model_that_is_there() -> None:
    service = SERVICES["watch"]
    assert service["command"][:2] == ["watch", "/datalake"]
    assert f"./torchscripts_models:{environment('watch')['HASHLAKE_MODELS']}:ro" in service["volumes"]
    assert any(volume.endswith(":/datalake:ro") for volume in service["volumes"])
    assert (REPOSITORY / "torchscripts_models" / f"{environment('watch')['MODEL_NAME']}.pt").is_file()
    assert service["network_mode"] == "none"


def test_prometheus_scrapes_both_processes_by_names_that_exist() -> None:
    config = read_yaml(DEPLOY / "prometheus" / "prometheus.yml")
    targets = {job["job_name"]: job["static_configs"][0]["targets"] for job in config["scrape_configs"]}
    assert targets == {"torchserve": [f"serve:{METRICS}"], "gateway": [f"admin:{GATEWAY}"]}
    aliases = SERVICES["pod"]["networks"]["default"]["aliases"]
    assert {host.split(":")[0] for hosts in targets.values() for host in hosts} == set(aliases)
    assert all("metrics_path" not in job for job in config["scrape_configs"])  # both are /metrics


def test_grafana_finds_datasource_and_dashboards_where_they_are_mounted() -> None:
    mounts = dict(volume.split(":")[:2] for volume in SERVICES["grafana"]["volumes"])
    assert mounts["./deploy/grafana/provisioning"] == "/etc/grafana/provisioning"
    (provider,) = read_yaml(DEPLOY / "grafana/provisioning/dashboards/hashlake.yaml")["providers"]
    assert provider["options"]["path"] == mounts["./deploy/grafana/dashboards"]
    home = Path(environment("grafana")["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert (DEPLOY / "grafana/dashboards" / home.relative_to(provider["options"]["path"])).is_file()
    (source,) = read_yaml(DEPLOY / "grafana/provisioning/datasources/prometheus.yaml")["datasources"]
    assert source["url"] == "http://prometheus:9090" and "prometheus" in SERVICES
    assert f"127.0.0.1:{source['url'].rsplit(':', 1)[1]}/" in SERVICES["prometheus"]["healthcheck"]["test"][-1]
    interval = read_yaml(DEPLOY / "prometheus" / "prometheus.yml")["global"]["scrape_interval"]
    assert source["jsonData"]["timeInterval"] == interval


def test_nobody_can_log_in_to_grafana() -> None:
    assert environment("grafana") == environment("grafana") | {
        "GF_AUTH_ANONYMOUS_ORG_ROLE": "Viewer",
        "GF_AUTH_BASIC_ENABLED": "false",
        "GF_AUTH_DISABLE_LOGIN_FORM": "true",
        "GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION": "true",
    }
