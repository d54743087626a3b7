"""Whether a container of the image can do its work, for HEALTHCHECK: exit status 0, or 1 and the reason.

    serve            a query with a picture is answered
    serve --admin    every worker answers from the current version: /readyz of the gateway
    admin            the same
    the others       run once and end; there is nothing to wait for

Addresses and ports are those of the environment. It asks over HTTP, as clients do, and needs nothing but Python.
"""

import http.client
import json
import os
import sys
from pathlib import Path

_SECONDS = 8.0
_PREDICTIONS = "/predictions/image-retrieval-v1.0"
#: A picture of one pixel.
_PIXEL = "R0lGODlhAQABAIAAAP///wAAACwAAAAAAQABAAACAkQBADs="


def main() -> None:
    # tini -- /app/entrypoint.sh serve --admin
    _, _, words = Path("/proc/1/cmdline").read_text().partition("entrypoint.sh\0")
    command, *options = words.split("\0")
    if command == "admin" or (command == "serve" and "--admin" in options):
        _require("GET", "/readyz", "", _address("GATEWAY_HOST", "GATEWAY_PORT", 8000))
    elif command == "serve":
        query = json.dumps({"image": _PIXEL, "top_k": 1})
        _require("POST", _PREDICTIONS, query, _address("HOST", "INFERENCE_PORT", 8080))


def _require(method: str, path: str, body: str, address: tuple[str, int]) -> None:
    """End with status 1 unless the answer is 200."""
    try:
        connection = http.client.HTTPConnection(*address, timeout=_SECONDS)
        connection.request(method, path, body)
        answer = connection.getresponse()
        said = answer.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        sys.exit(f"no answer from {address[0]}:{address[1]}: {error}")
    if answer.status != http.client.OK:
        sys.exit(f"{answer.status}: {said}")


def _address(host: str, port: str, default: int) -> tuple[str, int]:
    name = (os.environ.get(f"HASHLAKE_{host}") or "127.0.0.1").strip("[]")
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(name, name)  # noqa: S104 (a comparison)
    given = os.environ.get(f"HASHLAKE_{port}") or default
    try:
        return reachable, int(given)
    except ValueError:
        sys.exit(f"HASHLAKE_{port} is {given!r}, which is no port")


if __name__ == "__main__":
    main()
