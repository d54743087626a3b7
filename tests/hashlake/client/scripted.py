"""A server that gives prepared answers, one a connection, so that connections can break and answers be wrong."""

import socket
import threading
from contextlib import AbstractContextManager, suppress
from types import TracebackType
from typing import Self

#: The connection is closed before anything is answered.
BREAK = b""


def answer(status: str, body: bytes = b"", *headers: str) -> bytes:
    """The bytes of a whole answer, such as ``answer("502 Bad Gateway", b"<html>")``."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


class Scripted(AbstractContextManager["Scripted"]):
    """Gives ``answers`` in their order, then no more; ``asked`` holds the first line of each request."""

    def __init__(self, *answers: bytes) -> None:
        self._answers = answers
        self.asked: list[str] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # closed already
            self._socket.shutdown(socket.SHUT_RDWR)  # ends a waiting accept
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        for each in self._answers:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as request:
                self.asked.append(request.readline().decode().strip())
                length = 0
                while (header := request.readline().strip()) != b"":
                    name, _, value = header.partition(b":")
                    length = int(value) if name.lower() == b"content-length" else length
                request.read(length)
                connection.sendall(each)
        self._socket.close()  # from now on nothing listens
