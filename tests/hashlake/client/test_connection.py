"""Every way in which an answer can fail to come, or be an error, and what is asked again."""

import socket
import threading
from collections.abc import Callable

import pytest

from hashlake import AlreadyInserted, Client, ClientError, NotUnderstood, Pair, Refused, StoredImage, Unreachable
from tests.hashlake.client.scripted import BREAK, Scripted, answer

Ask = Callable[[Client], object]

COUNTED = answer("200 OK", b"3")
DONE = answer("204 No Content")
BULK = answer("200 OK", b'{"added": ["a"], "found": [], "failed": []}')
INFO = (
    b'{"name": "shoes", "count": 1, "model": {"name": "m", "sha256": "0", "bits": 64, "detail_bits": 256}, "version": '
    b'"0", "versions": ["0"], "journal": {"changes": 0, "bytes": 0}, "bytes": 1, "created": null}'
)


def ask_count(client: Client) -> object:
    return client.collection("shoes").count()


def add(client: Client) -> object:
    return client.collection("shoes").add("a")


def search_add(client: Client) -> object:
    return client.collection("shoes").search_add("a")


# --- What is asked again


@pytest.mark.parametrize(
    ("ask", "good"),
    [
        (ask_count, COUNTED),
        (add, DONE),
        (lambda client: client.collection("shoes").add_bulk(["a"]), BULK),
        (lambda client: client.collection("shoes").restore([StoredImage("a", "00")]), DONE),
        (lambda client: client.collection("shoes").search("a"), answer("200 OK", b"[]")),
        (lambda client: client.collection("shoes").compare("a", "b"), answer("200 OK", b"100.0")),
        (lambda client: list(client.collection("shoes").urls()), answer("200 OK", b"[]")),
        (lambda client: list(client.collection("shoes").dump()), answer("200 OK", b"[]")),
        (lambda client: list(client.collection("shoes").duplicates()), answer("200 OK", b"")),
        (lambda client: client.info("shoes"), answer("200 OK", INFO)),
        (lambda client: client.ping(), answer("200 OK", b'"pong"')),
    ],
    ids=["count", "add", "add_bulk", "restore", "search", "compare", "urls", "dump", "duplicates", "info", "ping"],
)
def test_what_may_happen_twice_is_asked_again(ask: Ask, good: bytes) -> None:
    with Scripted(BREAK, good[:30], good) as server, Client(server.url) as client:
        ask(client)
    assert len(server.asked) == 3
    assert len(set(server.asked)) == 1


@pytest.mark.parametrize(
    "ask",
    [
        search_add,
        lambda client: client.collection("shoes").remove("a"),
        lambda client: client.create("shoes"),
        lambda client: client.delete("shoes"),
        lambda client: client.fold("shoes"),
    ],
    ids=["search_add", "remove", "create", "delete", "fold"],
)
def test_what_may_not_happen_twice_is_not_asked_again(ask: Ask) -> None:
    with Scripted(BREAK, DONE) as server, Client(server.url) as client, pytest.raises(Unreachable):
        ask(client)
    assert len(server.asked) == 1


def test_three_times_and_no_more() -> None:
    with (
        Scripted(BREAK, BREAK, BREAK, COUNTED) as server,
        Client(server.url) as client,
        pytest.raises(Unreachable, match="cannot be reached: "),
    ):
        ask_count(client)
    assert len(server.asked) == 3


def test_an_error_is_not_asked_again() -> None:
    with (
        Scripted(answer("503 Service Unavailable"), COUNTED) as server,
        Client(server.url) as client,
        pytest.raises(Refused),
    ):
        ask_count(client)
    assert len(server.asked) == 1


# --- What doesn't come


@pytest.mark.parametrize("ask", [ask_count, search_add], ids=["count", "search_add"])
def test_nothing_listens(ask: Ask) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    with Client(url) as client, pytest.raises(Unreachable) as caught:
        ask(client)
    assert str(caught.value) == f"{url} cannot be reached: [Errno 111] Connection refused"


def test_the_wait_is_too_long() -> None:
    """Nobody accepts the connection, which the system has taken."""
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        Client(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=0.05) as client,
        pytest.raises(Unreachable, match=r"said nothing for 0\.05 s$"),
    ):
        ask_count(client)


def test_a_password_in_the_url_is_not_shown() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with Client(f"http://user:secret@127.0.0.1:{port}") as client, pytest.raises(Unreachable) as caught:
        client.delete("shoes")
    assert str(caught.value).startswith(f"http://127.0.0.1:{port} cannot")


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
LINE = b'{"url": "a", "other": "b", "distance": 1}\n'


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def test_a_stream_that_breaks_off_gives_what_came_and_says_so() -> None:
    with Scripted(CHUNKED + chunk(LINE + LINE[:9])) as server, Client(server.url) as client:
        pairs = client.collection("shoes").duplicates(1, "pairs")
        assert next(pairs) == Pair("a", "b", 1)
        with pytest.raises(Unreachable, match="broke off: "):
            next(pairs)
    assert len(server.asked) == 1


def test_a_stream_in_any_pieces() -> None:
    """A line's end need not come with it, nor at all after the last one."""
    pieces = [LINE[:5], LINE[5:], b"\n", LINE + LINE[:-1]]
    whole = CHUNKED + b"".join(map(chunk, pieces)) + b"0\r\n\r\n"
    with Scripted(whole) as server, Client(server.url) as client:
        assert list(client.collection("shoes").duplicates(1, "pairs")) == [Pair("a", "b", 1)] * 3


def test_a_stream_comes_line_by_line() -> None:
    """The first line is here before the second one is written."""
    read = threading.Event()

    def serve(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection:
            connection.recv(65_536)
            connection.sendall(CHUNKED + chunk(LINE))
            read.wait(60)
            connection.sendall(chunk(LINE) + b"0\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=[listening])
        thread.start()
        with Client(f"http://127.0.0.1:{listening.getsockname()[1]}") as client:
            pairs = client.collection("shoes").duplicates(1, "pairs")
            next(pairs)
            read.set()
            assert len(list(pairs)) == 1
        thread.join()


# --- What is an error


def refused(status: str, body: bytes, *headers: str) -> Refused:
    with (
        Scripted(answer(status, body, *headers)) as server,
        Client(server.url) as client,
        pytest.raises(Refused) as caught,
    ):
        ask_count(client)
    return caught.value


@pytest.mark.parametrize(
    ("status", "body", "message", "position"),
    [
        ("404 Not Found", '{"code": 404, "type": "NotFound", "message": "there is no hats"}', "there is no hats", None),
        ("409 Conflict", '{"detail": "Image already inserted"}', "Image already inserted", None),
        (
            "422 Unprocessable Entity",
            '{"detail": [{"loc": ["body", "url"], "msg": "Field required", "type": "missing"}]}',
            "url: Field required",
            None,
        ),
        (
            "422 Unprocessable Entity",
            '{"detail": [{"loc": ["body", 7, "metadata", "a"], "msg": "bad", "type": "x"}, {"loc": [], "msg": "b"}]}',
            "metadata.a: bad (and 1 more)",
            7,
        ),
        (
            "422 Unprocessable Entity",
            '{"detail": [{"loc": ["body", 0], "msg": "no image", "type": "x"}]}',
            "no image",
            0,
        ),
        ("422 Unprocessable Entity", '{"detail": [{"loc": ["body"], "msg": "no JSON"}]}', "no JSON", None),
        ("422 Unprocessable Entity", '{"detail": [{"msg": "without a place"}]}', "without a place", None),
        ("400 Bad Request", '{"detail": "two\\n  lines"}', "two lines", None),
        ("502 Bad Gateway", "<html>", "the server answered with status 502 Bad Gateway", None),
        ("500 Internal Server Error", "", "the server answered with status 500 Internal Server Error", None),
        ("422 Unprocessable Entity", '{"detail": []}', "the server answered with status 422 Unprocessable", None),
        ("400 Bad Request", '["detail"]', "the server answered with status 400 Bad Request", None),
        ("400 Bad Request", '{"message": 5}', "the server answered with status 400 Bad Request", None),
        ("599 Odd", "", "the server answered with status 599 Odd", None),
    ],
)
def test_every_shape_of_an_error(status: str, body: str, message: str, position: int | None) -> None:
    error = refused(status, body.encode())
    assert error.status == int(status[:3])
    assert error.message.startswith(message)
    assert error.position == position


def test_a_redirect_is_not_followed_and_says_where_it_leads() -> None:
    error = refused("308 Permanent Redirect", b"", "Location: https://example.org/")
    assert str(error).endswith("status 308 Permanent Redirect, which leads to https://example.org/")


def test_a_conflict_is_known_by_name_where_an_image_is_there_already() -> None:
    conflict = answer("409 Conflict", b'{"detail": "Image already inserted"}')
    with Scripted(conflict, conflict) as server, Client(server.url) as client:
        with pytest.raises(AlreadyInserted):
            search_add(client)
        with pytest.raises(Refused) as caught:
            client.delete("default")
    assert type(caught.value) is Refused


def test_all_errors_are_one_tree() -> None:
    assert {error.__name__ for error in ClientError.__subclasses__()} == {
        "Unreachable", "Refused", "NotUnderstood", "BadLine",
    }  # fmt: skip


# --- What isn't a gateway


@pytest.mark.parametrize(
    ("ask", "body", "complaint"),
    [
        (ask_count, b"<html>", "the answer: Invalid JSON"),
        (ask_count, b"", "the answer: Invalid JSON"),
        (ask_count, b'"three"', "the answer: Input should be a valid integer"),
        (lambda client: client.info("shoes"), INFO.replace(b"64", b"null"), "model.bits: Input should be"),
        (lambda client: client.collections(), b"{}", "collections: Field required"),
        (lambda client: list(client.collection("a").urls()), b"[1]", "0: Input should be a valid string"),
        (lambda client: list(client.collection("a").duplicates()), b"<html>\n", "the answer: Invalid JSON"),
        (add, b"welcome", "status 200"),
        (lambda client: client.collection("a").remove("b"), b"welcome", "status 200"),
        (lambda client: client.collection("a").restore([StoredImage("a", "00")]), b"welcome", "status 200"),
        (lambda client: client.delete("a"), b"welcome", "status 200"),
    ],
)
def test_an_answer_of_another_server(ask: Ask, body: bytes, complaint: str) -> None:
    with (
        Scripted(answer("200 OK", body)) as server,
        Client(server.url) as client,
        pytest.raises(NotUnderstood) as caught,
    ):
        ask(client)
    assert str(caught.value).startswith(f"{server.url} doesn't answer as a gateway does: {complaint}")


def test_connections_are_closed_with_the_client() -> None:
    with Client("http://127.0.0.1:9") as client:
        pass
    with pytest.raises(RuntimeError, match="client has been closed"):
        client.ping()
