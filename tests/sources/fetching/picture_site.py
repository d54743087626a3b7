"""A web server of pictures on loopback, whose pictures tests exchange while it runs."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self


class PictureSite:
    """Serves ``pictures`` by their paths, 404 for others; ``asked`` lists the paths that were asked for."""

    def __init__(self) -> None:
        self.pictures: dict[str, bytes] = {}
        self.asked: list[str] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                site.asked.append(self.path)
                picture = site.pictures.get(self.path)
                self.send_response(404 if picture is None else 200)
                self.send_header("Content-Length", str(len(picture or b"")))
                self.send_header("ETag", '"1"')
                self.end_headers()
                self.wfile.write(picture or b"")

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def put(self, path: str, picture: bytes) -> str:
        """Serve ``picture`` at ``path`` from now on; its URL."""
        self.pictures[path] = picture
        return self.url(path)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self._server.server_port}{path}"
