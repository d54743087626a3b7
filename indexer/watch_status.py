"""The state of a watch over HTTP, for those who wait for it.

GET /status, /response     {"status": "running", "completeness": 0.25, "phase": "processing", …}
POST /response             sets some of these fields, until the watch sets them again: for scripts around it, on
                           this machine only
"""

import json
import threading
from dataclasses import asdict, dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv6Address, ip_address
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contract.amounts import size

PHASES = ("processing", "sleeping")
#: A client that sends nothing is given up after so many seconds.
_SECONDS = 10.0
_MOST_BYTES = 64 * 1024

State = Literal["starting", "running", "completed", "failed"]
ErrorCode = Literal["", "db_error", "workflow_error", "api_error"]


@dataclass
class Status:
    """``completeness``: the share of the present pass that is done. ``error_code``: db_error where the collection
    cannot be used, workflow_error for the source and the rest."""

    status: State = "starting"
    completeness: float = 0.0
    phase: str = ""
    phases: list[str] = field(default_factory=lambda: list(PHASES))
    accessible: bool = True
    error_message: str = ""
    error_code: ErrorCode = ""

    def enter(self, phase: str) -> None:
        self.status, self.phase = "running", phase

    def done(self, share: float) -> None:
        self.completeness = round(share, 4)

    def set(self, change: "StatusChange") -> None:
        for name, value in change.model_dump(exclude_unset=True).items():
            setattr(self, name, value)


class StatusChange(BaseModel):
    """Some of the fields of ``Status``."""

    model_config = ConfigDict(extra="forbid", strict=True)

    status: State = "running"
    completeness: Annotated[float, Field(ge=0, le=1)] = 0.0
    phase: str = ""
    phases: list[str] = []
    accessible: bool = True
    error_message: str = ""
    error_code: ErrorCode = ""


class StatusServer:
    """Serves ``status`` at ``host`` and ``port`` while entered; without a port it does nothing. Raises OSError."""

    def __init__(self, status: Status, host: str, port: int | None) -> None:
        self._server: ThreadingHTTPServer | None = None
        if port is not None:
            handler = type("Handler", (_Handler,), {"shown": status})
            self._server = ThreadingHTTPServer((host, port), handler)
            self._server.daemon_threads = True

    def __enter__(self) -> Self:
        if self._server is not None:
            threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()


class _Refused(Exception):
    def __init__(self, status: HTTPStatus, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class _Handler(BaseHTTPRequestHandler):
    shown: Status
    timeout = _SECONDS

    def do_GET(self) -> None:
        if self._path() in ("/status", "/response"):
            self._answer(HTTPStatus.OK, asdict(self.shown))
        else:
            self._answer(HTTPStatus.NOT_FOUND, {"detail": "there is /status"})

    def do_POST(self) -> None:
        try:
            self.shown.set(self._change())
        except _Refused as error:
            self._answer(error.status, {"detail": str(error)})
        else:
            self._answer(HTTPStatus.OK, asdict(self.shown))

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _change(self) -> StatusChange:
        if self._path() != "/response":
            raise _Refused(HTTPStatus.NOT_FOUND, "there is /response")
        if not _is_here(self.client_address[0]):
            raise _Refused(HTTPStatus.FORBIDDEN, "only this machine may say that")
        # Pages in a browser on this machine can send any other type without asking.
        if self.headers.get_content_type() != "application/json":
            raise _Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "the body must be application/json")
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()):
            raise _Refused(HTTPStatus.LENGTH_REQUIRED, "the request doesn't say how long its body is")
        if int(length) > _MOST_BYTES:
            raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body may have {size(_MOST_BYTES)}")
        try:
            return StatusChange.model_validate_json(self.rfile.read(int(length)))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"])) or "the body"
            raise _Refused(HTTPStatus.UNPROCESSABLE_ENTITY, f"{place}: {first['msg']}") from error

    def _path(self) -> str:
        return self.path.partition("?")[0]

    def _answer(self, status: HTTPStatus, content: Any) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _is_here(address: str) -> bool:
    """Whether ``address`` is this machine's loopback, be it as an IPv6 socket sees it."""
    parsed = ip_address(address.partition("%")[0])
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return (mapped or parsed).is_loopback
