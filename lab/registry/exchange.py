# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One HTTP request to the registry and its answer: bodies in and out, and ends that are no answers.

Source: RFC 9112 (HTTP/1.1): chunked transfer coding, persistent connections, Expect.
"""

from __future__ import annotations

import contextlib
import re
import socket
import struct
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler
from typing import BinaryIO

CHUNK = 64 * 1024
Distort = Callable[[int, bytes, dict[str, str]], tuple[bytes, dict[str, str]]]
DRAINED_AT_MOST = 256 * 1024 * 1024
"""Bytes of a body that are read for nothing, so that the client hears the answer instead of a reset."""

_LONGEST_CHUNK_LINE = 1024
_HEXADECIMAL = re.compile(rb"[0-9A-Fa-f]{1,15}\Z")


class BrokenBody(Exception):
    """The client's body ended before its end, or is no chunked body."""


class Exchange:
    """What a handler of the standard library knows of one request, made easy to answer.

    :ivar method: upper case
    :ivar target: path with query, as sent
    :ivar client: IP address of the client
    :ivar status: status that was answered; 0 while, or if, nothing was
    :ivar distort: spoils what `answer` is about to send, given status, content and headers; None: nothing is spoilt
    """

    def __init__(self, handler: BaseHTTPRequestHandler) -> None:
        self._handler = handler
        self._body_read = False
        self.method = handler.command
        self.target = handler.path
        self.client = str(handler.client_address[0])
        self.status = 0
        self.distort: Distort | None = None

    @property
    def path(self) -> str:
        """The path without the query."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """The query without its question mark."""
        return self.target.partition("?")[2]

    @property
    def has_body(self) -> bool:
        """Whether content comes with the request. A chunked body may still turn out to be empty. Raises BrokenBody."""
        return self._chunked or self._length > 0

    def header(self, name: str) -> str:
        """A header of the request; empty if it is not there."""
        return str(self._handler.headers.get(name, ""))

    def body(self) -> Iterator[bytes]:
        """The request's content, in parts as they come in. Raises BrokenBody, and OSError as sockets do."""
        if not self._body_read and self.header("Expect").lower() == "100-continue":
            self._handler.send_response_only(100)
            self._handler.end_headers()
            self._handler.wfile.flush()
        self._body_read = True
        return self._chunks() if self._chunked else self._counted(self._length)

    def whole_body(self, limit: int) -> bytes | None:
        """The request's content; None if it is longer than ``limit`` bytes."""
        content = bytearray()
        for part in self.body():
            content += part
            if len(content) > limit:
                self._handler.close_connection = True
                return None
        return bytes(content)

    def answer(
        self, status: int, content: bytes = b"", headers: Mapping[str, str] | None = None, length: int | None = None
    ) -> None:
        """Send a whole answer. A HEAD request gets the length of the content but not the content.

        :arg length: what Content-Length says, where the content itself is not sent (HEAD)
        """
        fields = dict(headers or {})
        if self.distort is not None:
            content, fields = self.distort(status, content, fields)
        self._begin(status, fields, len(content) if length is None else length)
        if self.method != "HEAD":
            self._handler.wfile.write(content)
        self._handler.wfile.flush()

    def answer_file(self, status: int, file: BinaryIO, length: int, headers: Mapping[str, str]) -> None:
        """Send an answer whose content is the next ``length`` bytes of a file."""
        self._begin(status, headers, length)
        while length > 0:
            part = file.read(min(CHUNK, length))
            if not part:
                self._handler.close_connection = True
                break
            self._handler.wfile.write(part)
            length -= len(part)
        self._handler.wfile.flush()

    def reset(self) -> None:
        """End the connection with a TCP reset."""
        connection = self._handler.connection
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._end(connection)

    def drop(self) -> None:
        """End the connection without a word, TLS's included."""
        connection = self._handler.connection
        with contextlib.suppress(OSError):
            socket.socket.shutdown(connection, socket.SHUT_RDWR)
        self._end(connection)

    def _end(self, connection: socket.socket) -> None:
        self._handler.close_connection = True
        # The handler's files keep the socket open; detaching closes the descriptor itself, now.
        descriptor = connection.detach()
        socket.close(descriptor)

    def _begin(self, status: int, headers: Mapping[str, str], length: int) -> None:
        handler = self._handler
        if self.has_body and not self._body_read:
            self._drain()
        self.status = status
        handler.send_response_only(status)
        handler.send_header("Date", handler.date_time_string())
        handler.send_header("Docker-Distribution-Api-Version", "registry/2.0")
        if status not in (204, 304):
            handler.send_header("Content-Length", str(length))
        for name, value in headers.items():
            handler.send_header(name, value)
        if handler.close_connection:
            handler.send_header("Connection", "close")
        handler.end_headers()

    def _drain(self) -> None:
        """Read what nobody wants: else the next request would begin with it, or its end would come as a reset."""
        if self.header("Expect").lower() == "100-continue":
            # The client waits to be told, and will not send what it is not asked for.
            self._handler.close_connection = True
            return
        read = 0
        for part in self.body():
            read += len(part)
            if read > DRAINED_AT_MOST:
                self._handler.close_connection = True
                return

    @property
    def _chunked(self) -> bool:
        coding = self.header("Transfer-Encoding").strip().lower()
        if coding not in ("", "chunked"):
            raise BrokenBody(f"nobody here knows the transfer coding {coding!r}")
        return bool(coding)

    @property
    def _length(self) -> int:
        text = self.header("Content-Length").strip()
        if text and not (text.isascii() and text.isdigit()):
            raise BrokenBody("the body's length is no number")
        return int(text or 0)

    def _counted(self, length: int) -> Iterator[bytes]:
        while length > 0:
            part = self._handler.rfile.read1(min(CHUNK, length)) if length else b""
            if not part:
                raise BrokenBody("the body ended early")
            length -= len(part)
            yield part

    def _chunks(self) -> Iterator[bytes]:
        while True:
            size = self._chunk_size()
            if size == 0:
                break
            yield from self._counted(size)
            if self._line():
                raise BrokenBody("a chunk is longer than it said")
        while self._line():  # trailers, which nobody needs
            pass

    def _chunk_size(self) -> int:
        digits = self._line().partition(b";")[0].strip()
        if not _HEXADECIMAL.match(digits):
            raise BrokenBody("a chunk has no size")
        return int(digits, 16)

    def _line(self) -> bytes:
        line = self._handler.rfile.readline(_LONGEST_CHUNK_LINE)
        if not line.endswith(b"\n"):
            raise BrokenBody("the body ended early")
        return line.rstrip(b"\r\n")
