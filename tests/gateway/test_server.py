"""Where the gateway listens, and what it says about that."""

import socket
from pathlib import Path

import pytest

from gateway.errors import GatewayError
from gateway.server import listening
from gateway.settings import GatewaySettings
from tests.gateway.live import live
from tests.handler.server import free_ports


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1"),
        ("0.0.0.0", "http://127.0.0.1"),
        ("localhost", "http://localhost"),
        ("::1", "http://[::1]"),
        ("[::1]", "http://[::1]"),
        ("::", "http://[::1]"),
    ],
)
def test_both_ports_listen_on_the_host_and_say_so(
    tmp_path: Path, host: str, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with live(tmp_path, gateway_host=host) as server:
        page, idios = capsys.readouterr().out.splitlines()
        assert page == f"hashlake's page and admin API: {url}:{server.port}/ (docs at /docs)"
        assert idios == f"hashlake's collections, for Idios' clients: {url}:{server.idios_port}/"
        assert server.get("/healthz").endswith(b'{"status":"up"}')
        assert server.get("/ping", server.idios_port).endswith(b'"pong"')
        assert server.get("/healthz", server.idios_port).startswith(b"HTTP/1.1 404")
        if host == "::":  # IPv4 too, as 0.0.0.0 is all there is of it
            with socket.create_connection(("127.0.0.1", server.port)):
                pass


@pytest.mark.parametrize("host", ["[::1]", "127.0.0.1"])
def test_a_port_that_is_taken_leaves_none_open(tmp_path: Path, host: str) -> None:
    free, taken = free_ports(2)
    settings = GatewaySettings(
        gateway_host=host, gateway_port=free, idios_port=taken, state=tmp_path, index_store=tmp_path
    )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host.strip("[]"), taken), family=family), pytest.raises(GatewayError) as raised:
        listening(settings)
    assert str(raised.value) == f"cannot listen on {host}:{taken}: Address already in use"
    with socket.create_server((host.strip("[]"), free), family=family):
        pass


@pytest.mark.parametrize(
    ("variables", "inference"),
    [
        ({}, "http://127.0.0.1:8080"),
        ({"HOST": "0.0.0.0"}, "http://127.0.0.1:8080"),
        ({"HOST": "[::1]"}, "http://[::1]:8080"),
        ({"HOST": "::"}, "http://[::1]:8080"),
        ({"HOST": "10.1.2.3"}, "http://10.1.2.3:8080"),
        ({"HOST": "::1", "TORCHSERVE_HOST": "[fd00::7]"}, "http://[fd00::7]:8080"),
        ({"TORCHSERVE_HOST": "serve"}, "http://serve:8080"),
    ],
)
def test_where_torchserve_is(variables: dict[str, str], inference: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"HASHLAKE_{name}", value)
    assert GatewaySettings().inference == inference


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("ALLOWED_HOSTS", "http://a.example", "does not appear to be an IPv4 or IPv6 network"),
        ("ALLOWED_HOSTS", "a.example:80", "neither a host nor a network"),
        ("ALLOWED_ORIGINS", "a.example", "is no origin; one reads https://app.example.org"),
        ("ALLOWED_ORIGINS", "*", "is no origin"),
        ("TRUSTED_PROXIES", "proxy", "does not appear to be an IPv4 or IPv6 network"),
        ("ROOT_PATH", "https://a.example/b", "it is no path like /hashlake"),
        ("ROOT_PATH", "/a b", "it is no path like /hashlake"),
        ("BODIES_MAX_MB", "64", "greater than or equal to 80"),
        ("VERIFY_MB_PER_S", "garbage", "a valid number"),
        ("DEVICE", "gpu", "should match pattern"),
    ],
)
def test_a_wrong_setting_is_said_in_one_line(
    name: str, value: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(f"HASHLAKE_{name}", value)
    with pytest.raises(GatewayError, match=f"^HASHLAKE_{name} is ") as raised:
        GatewaySettings.read()
    assert said in str(raised.value) and "\n" not in str(raised.value)


def test_a_setting_of_each_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HASHLAKE_ALLOWED_HOSTS", "a.example, *.b.example")
    monkeypatch.setenv("HASHLAKE_ALLOWED_ORIGINS", "https://a.example, https://b.example")
    monkeypatch.setenv("HASHLAKE_TRUSTED_PROXIES", "10.0.0.7, ::1")
    monkeypatch.setenv("HASHLAKE_ROOT_PATH", "hashlake/")
    settings = GatewaySettings()
    assert settings.allowed_hosts.allow("x.b.example") and not settings.allowed_hosts.allow("b.example")
    assert settings.allowed_origins == ("https://a.example", "https://b.example")
    assert [str(each) for each in settings.trusted_proxies] == ["10.0.0.7/32", "::1/128"]
    assert settings.root_path == "/hashlake"
