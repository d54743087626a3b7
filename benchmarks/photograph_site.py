"""A cheap web server of photographs, in its own process."""

import asyncio
import multiprocessing
import re
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection


class _Photographs(asyncio.Protocol):
    """GET /ROUND/NUMBER.jpg: photograph NUMBER, under a new URL each round."""

    def __init__(self, pictures: list[bytes]) -> None:
        self._pictures = pictures
        self._asked = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        *heads, self._asked = (self._asked + data).split(b"\r\n\r\n")
        for head in heads:
            number = re.match(rb"GET /\d+/(\d+)\.jpg ", head)
            assert number is not None, head
            picture = self._pictures[int(number[1])]
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(picture) + picture)


def _serve(pictures: list[bytes], say: Connection) -> None:
    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(lambda: _Photographs(pictures), "127.0.0.1", 0)
        say.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(serve())


@contextmanager
def photograph_site(pictures: list[bytes]) -> Iterator[int]:
    """Serve ``pictures``, image files. Yields the port; ``photograph_url`` gives their URLs."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(pictures, there), daemon=True)
    process.start()
    there.close()  # so that we notice its end
    try:
        yield here.recv()
    finally:
        process.terminate()
        process.join()


def photograph_url(port: int, turn: int, number: int) -> str:
    """Returns a URL of photograph ``number``, different for each ``turn``."""
    return f"http://127.0.0.1:{port}/{turn}/{number}.jpg"
