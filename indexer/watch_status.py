"""The state of a watch over HTTP, for those who wait for it: GET /status.

{"status": "running", "completeness": 0.25, "phase": "processing", "phases": ["processing", "sleeping"], …}
"""

import json
import threading
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal, Self

PHASES = ("processing", "sleeping")
#: A client that sends nothing is given up after so many seconds.
_SECONDS = 10.0


@dataclass
class Status:
    """``completeness``: the share of the present pass that is done. ``error_code``: db_error where the collection
    cannot be used, workflow_error for the source and the rest."""

    status: Literal["starting", "running", "completed", "failed"] = "starting"
    completeness: float = 0.0
    phase: str = ""
    phases: list[str] = field(default_factory=lambda: list(PHASES))
    accessible: bool = True
    error_message: str = ""
    error_code: Literal["", "db_error", "workflow_error"] = ""

    def enter(self, phase: str) -> None:
        self.status, self.phase = "running", phase

    def done(self, share: float) -> None:
        self.completeness = round(share, 4)


class StatusServer:
    """Serves ``status`` at ``host`` and ``port`` while entered; without a port it does nothing. Raises OSError."""

    def __init__(self, status: Status, host: str, port: int | None) -> None:
        self._server: ThreadingHTTPServer | None = None
        if port is None:
            return

        class Handler(BaseHTTPRequestHandler):
            timeout = _SECONDS

            def do_GET(self) -> None:
                found = self.path.partition("?")[0] == "/status"
                body = json.dumps(asdict(status) if found else {"detail": "there is /status"}).encode()
                self.send_response(200 if found else 404)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer((host, port), Handler)
        self._server.daemon_threads = True

    def __enter__(self) -> Self:
        if self._server is not None:
            threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
