# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The client side of a WebSocket, against the library that the lab serves with."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from ansible_collections.policyproof.ecr.lab.session_manager.websocket_client import (
    TEXT,
    WebSocketClient,
    WebSocketError,
)
from websockets.sync.server import ServerConnection, serve


@contextmanager
def served(handler: Callable[[ServerConnection], None]) -> Iterator[str]:
    """A WebSocket server; its URL."""
    with serve(handler, "127.0.0.1", 0, compression=None, max_size=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}/v1/data-channel/x?role=publish_subscribe"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """A server that answers whatever it is sent with these bytes, and closes."""

    def run() -> None:
        connection, _address = listener.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            thread.join()


def messages(client: WebSocketClient, count: int) -> list[bytes]:
    """The next messages."""
    received: list[bytes] = []
    while len(received) < count:
        received += client.receive()
    return received


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 300_000])
def test_messages_of_every_length_go_both_ways(size):
    def handler(connection):
        connection.send(connection.recv())
        connection.recv()

    with served(handler) as url:
        client = WebSocketClient(url)
        payload = bytes(range(256)) * (size // 256) + bytes(size % 256)
        client.send(payload)
        assert messages(client, 1) == [payload]
        client.close()


def test_several_messages_at_once_stay_apart():
    def handler(connection):
        for number in range(200):
            connection.send(b"%d" % number)
        connection.recv()

    with served(handler) as url:
        client = WebSocketClient(url)
        assert messages(client, 200) == [b"%d" % number for number in range(200)]
        client.close()


def test_a_message_in_pieces_is_put_together():
    def handler(connection):
        connection.send(iter([b"one ", b"two ", b"three"]))
        connection.recv()

    with served(handler) as url:
        client = WebSocketClient(url)
        assert messages(client, 1) == [b"one two three"]
        client.close()


def test_text_arrives_as_text():
    received = []
    with served(lambda connection: received.append(connection.recv())) as url:
        client = WebSocketClient(url)
        client.send("tökén".encode(), TEXT)
        with pytest.raises(WebSocketError):
            messages(client, 1)
    assert received == ["tökén"]


def test_the_path_and_query_reach_the_server():
    paths = []
    with served(lambda connection: paths.append(connection.request.path)) as url, pytest.raises(WebSocketError):
        messages(WebSocketClient(url), 1)
    assert paths == ["/v1/data-channel/x?role=publish_subscribe"]


def test_a_ping_is_answered():
    answered = []

    def handler(connection):
        answered.append(connection.ping(b"are you there?").wait(60))
        connection.send(b"done")
        connection.recv()

    with served(handler) as url:
        client = WebSocketClient(url)
        assert messages(client, 1) == [b"done"]
        client.close()
    assert answered == [True]


def test_the_reason_of_the_end_is_told():
    with served(lambda connection: connection.close(1008, "the token is wrong or used")) as url:
        client = WebSocketClient(url)
        with pytest.raises(WebSocketError, match="the token is wrong or used"):
            messages(client, 1)


def test_closing_says_good_bye():
    ends = []

    def handler(connection):
        with pytest.raises(Exception, match="1000"):
            connection.recv()
        ends.append(connection.protocol.close_code)

    with served(handler) as url:
        WebSocketClient(url).close()
    assert ends == [1000]


@pytest.mark.parametrize(
    "url",
    [
        "wss://ssmmessages.us-east-1.amazonaws.com/v1/data-channel/x",
        "http://127.0.0.1:1/",
        "ws://127.0.0.1/",
        "",
    ],
)
def test_other_urls_are_refused_with_a_hint(url):
    with pytest.raises(WebSocketError, match="the plugin that AWS publishes"):
        WebSocketClient(url)


def test_nobody_listening():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(WebSocketError, match=f"127.0.0.1:{port} does not answer"):
        WebSocketClient(f"ws://127.0.0.1:{port}/")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "HTTP/1.1 404 Not Found"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "did not accept"),
        (b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: AAAA\r\n\r\n", "did not accept"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "closed the connection"),
        (b"x" * 70000, "no WebSocket|closed the connection"),
    ],
)
def test_a_server_that_is_none(answer, reason):
    with answering(answer) as url, pytest.raises(WebSocketError, match=reason):
        WebSocketClient(url)
