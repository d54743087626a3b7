"""Where the image's health check asks: at whatever address the command listens on."""

import runpy

import pytest

from tests.deploy.project import REPOSITORY

CHECK = REPOSITORY / "deploy" / "image" / "healthcheck.py"


@pytest.mark.parametrize(
    ("host", "asked"),
    [
        (None, "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1"),
        ("10.1.2.3", "10.1.2.3"),
        ("::", "::1"),
        ("[::]", "::1"),
        ("[::1]", "::1"),
        ("::1", "::1"),
        ("gateway", "gateway"),
    ],
)
def test_the_address(host: str | None, asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HASHLAKE_GATEWAY_HOST", raising=False)
    if host is not None:
        monkeypatch.setenv("HASHLAKE_GATEWAY_HOST", host)
    address = runpy.run_path(str(CHECK))["_address"]
    assert address("GATEWAY_HOST", "GATEWAY_PORT", 8000) == (asked, 8000)


def test_an_empty_variable_is_none_and_a_wrong_one_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    address = runpy.run_path(str(CHECK))["_address"]
    for variable in ("HASHLAKE_GATEWAY_HOST", "HASHLAKE_GATEWAY_PORT"):
        monkeypatch.setenv(variable, "")
    assert address("GATEWAY_HOST", "GATEWAY_PORT", 8000) == ("127.0.0.1", 8000)
    monkeypatch.setenv("HASHLAKE_GATEWAY_PORT", "http")
    with pytest.raises(SystemExit, match=r"^HASHLAKE_GATEWAY_PORT is 'http', which is no port$"):
        address("GATEWAY_HOST", "GATEWAY_PORT", 8000)
