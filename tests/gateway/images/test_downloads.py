"""Files are called what they are, in whatever pieces they come."""

import asyncio
import io
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from gateway.images.downloads import OpenFileResponse, client_has, content_disposition, content_type


class TestContentType:
    @pytest.mark.parametrize(
        ("form", "kind"),
        [
            ("JPEG", "image/jpeg"),
            ("MPO", "image/jpeg"),
            ("PNG", "image/png"),
            ("WEBP", "image/webp"),
            ("GIF", "image/gif"),
            ("BMP", "image/bmp"),
            ("TIFF", "image/tiff"),
            ("AVIF", "image/avif"),
        ],
    )
    def test_every_format(self, form: str, kind: str) -> None:
        stream = io.BytesIO()
        Image.new("RGB", (20, 10)).save(stream, form)
        assert content_type(stream.getvalue()[:64]) == kind

    @pytest.mark.parametrize(
        "head", [b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", b"MM\0*\0\0\0\x08", b"MM\0+\0\x08\0\0", b"II+\0\x08\0\0\0"]
    )
    def test_rarer_ones(self, head: bytes) -> None:
        assert content_type(head) == ("image/avif" if b"ftyp" in head else "image/tiff")

    @pytest.mark.parametrize(
        "head", [b"\0\0\0\x1cftypisom\0\0\0\0isommp42", b"%PDF-1.7", b"RIFF\0\0\0\0WAVE", b"\xff\xd8"]
    )
    def test_none(self, head: bytes) -> None:
        assert content_type(head) == "application/octet-stream"


class TestFileName:
    def test_it_is_the_last_part_of_the_path(self) -> None:
        assert content_disposition("/srv/secret/a.png") == "inline; filename=\"a.png\"; filename*=UTF-8''a.png"

    def test_it_ends_no_header(self) -> None:
        assert content_disposition('a"; x\r\ny') == "inline; filename=\"a__ x__y\"; filename*=UTF-8''a%22%3B%20x%0D%0Ay"


@pytest.mark.parametrize(
    ("asked", "has"),
    [(None, False), ("", False), ('"1"', True), ('"2", W/"1"', True), ("*", True), ("1", False), ('"12"', False)],
)
def test_what_a_client_has(asked: str | None, has: bool) -> None:
    assert client_has('"1"', asked) is has


class TestOpenFile:
    @staticmethod
    def sent(
        path: Path, size: int, method: str = "GET", watch: Callable[[dict[str, Any]], None] = lambda _message: None
    ) -> tuple[dict[bytes, bytes], list[bytes]]:
        """Headers and pieces of the first ``size`` bytes of ``path``; ``watch`` sees each message before it is kept."""
        messages: list[dict[str, Any]] = []

        async def send(message: Any) -> None:
            watch(message)
            messages.append(message)

        async def receive() -> Any:
            await asyncio.Event().wait()

        file = path.open("rb")
        response = OpenFileResponse(file, size, {"ETag": '"1"'})
        answer: Awaitable[None] = response({"type": "http", "method": method}, receive, send)

        async def run() -> None:
            await answer

        try:
            asyncio.run(run())
        finally:
            assert file.closed
        return dict(messages[0]["headers"]), [each["body"] for each in messages[1:] if each["body"]]

    def test_in_pieces(self, tmp_path: Path) -> None:
        content = bytes(range(256)) * 2500
        (tmp_path / "a").write_bytes(content)
        headers, pieces = self.sent(tmp_path / "a", len(content))
        assert headers == {b"etag": b'"1"', b"content-length": b"640000"}
        assert [len(piece) for piece in pieces] == [262144, 262144, 115712] and b"".join(pieces) == content

    def test_only_the_headers(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"abc")
        assert self.sent(tmp_path / "a", 3, "HEAD") == ({b"etag": b'"1"', b"content-length": b"3"}, [])

    def test_no_more_than_announced_when_it_grows(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"abcdef")
        assert self.sent(tmp_path / "a", 4)[1] == [b"abcd"]

    def test_it_ends_when_it_has_shrunk(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"ab")
        headers, pieces = self.sent(tmp_path / "a", 4)
        assert (headers[b"content-length"], pieces) == (b"4", [b"ab"])

    def test_it_is_closed_when_the_client_goes_away(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(bytes(600_000))
        seen = []

        def hang_up(message: dict[str, Any]) -> None:
            seen.append(message["type"])
            if len(seen) == 2:
                raise ConnectionResetError

        with pytest.raises(ConnectionResetError):
            self.sent(tmp_path / "a", 600_000, watch=hang_up)
        assert seen == ["http.response.start", "http.response.body"]
