# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The client side of a WebSocket (RFC 6455) over plain TCP.

Why not the library ``websockets``, which the server uses: importing its client takes 0.1 s, several times what the
whole start of the client program takes, and that program starts once for every task of a play.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress

# RFC 6455, section 1.3.
_ACCEPT_SUFFIX = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

# Opcodes (RFC 6455, section 5.2).
CONTINUATION = 0
TEXT = 1
BINARY = 2
CLOSE = 8
PING = 9
PONG = 10

_FINAL = 0x80
_MASKED = 0x80

# Longer heads and messages come from no data channel. Bytes.
_MAXIMUM_HEAD = 1 << 16
_MAXIMUM_MESSAGE = 1 << 24

# Seconds for connecting, and for each piece of the server's answer to the handshake.
_TIMEOUT = 15.0

# (urllib.parse would add 10 ms to a start.)
_PLAIN_URL = re.compile(r"ws://([^/:?#\[\]]+):(\d+)(/[^#]*)?\Z")


class WebSocketError(Exception):
    """Why there is no connection, or none any more."""


class WebSocketClient:
    """One connection."""

    def __init__(self, url: str) -> None:
        """Connect to a ``ws://host:port/path`` URL. Raises WebSocketError."""
        match = _PLAIN_URL.match(url)
        if match is None:
            scheme = url.partition("://")[0]
            raise WebSocketError(
                f"this session-manager-plugin is the lab's and speaks ws://host:port only, not {scheme}://; "
                "sessions on AWS need the plugin that AWS publishes"
            )
        host, port, target = match[1], int(match[2]), match[3] or "/"
        self._buffer = bytearray()
        self._message = bytearray()
        try:
            self._socket = socket.create_connection((host, port), timeout=_TIMEOUT)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._shake_hands(f"{host}:{port}", target)
            self._socket.settimeout(None)
        except OSError as error:
            raise WebSocketError(f"{host}:{port} does not answer: {error}") from error

    def fileno(self) -> int:
        """The descriptor to wait on."""
        return self._socket.fileno()

    def send(self, payload: bytes, opcode: int = BINARY) -> None:
        """Send one message. Raises WebSocketError."""
        head = bytearray([_FINAL | opcode])
        if len(payload) < 126:
            head.append(_MASKED | len(payload))
        elif len(payload) < 1 << 16:
            head += struct.pack(">BH", _MASKED | 126, len(payload))
        else:
            head += struct.pack(">BQ", _MASKED | 127, len(payload))
        mask = os.urandom(4)
        try:
            self._socket.sendall(bytes(head) + mask + _masked(payload, mask))
        except OSError as error:
            raise WebSocketError(f"the connection broke: {error}") from error

    def receive(self) -> Iterator[bytes]:
        """Read once, and yield the binary messages that are complete. Raises WebSocketError at the connection's end."""
        self._fill()
        while (frame := self._next_frame()) is not None:
            final, opcode, payload = frame
            if opcode == CLOSE:
                self.close()
                raise WebSocketError(_reason(payload))
            if opcode == PING:
                self.send(payload, PONG)
            elif opcode in (BINARY, CONTINUATION):
                self._message += payload
                if len(self._message) > _MAXIMUM_MESSAGE:
                    raise WebSocketError("the server sent a message that is too long")
                if final:
                    message, self._message = bytes(self._message), bytearray()
                    yield message

    def close(self) -> None:
        """Say good-bye and close, without waiting for an answer."""
        with suppress(WebSocketError):
            self.send(struct.pack(">H", 1000), CLOSE)
        self._socket.close()

    def _shake_hands(self, authority: str, target: str) -> None:
        key = base64.b64encode(os.urandom(16))
        self._socket.sendall(
            f"GET {target} HTTP/1.1\r\nHost: {authority}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key.decode()}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode("latin-1")
        )
        while b"\r\n\r\n" not in self._buffer:
            if len(self._buffer) > _MAXIMUM_HEAD:
                raise WebSocketError("the server's answer is no WebSocket's")
            self._fill()
        head, _line_end, rest = bytes(self._buffer).partition(b"\r\n\r\n")
        self._buffer = bytearray(rest)
        status = head.partition(b"\r\n")[0]
        if not re.match(rb"HTTP/1\.1 101\b", status):
            raise WebSocketError(f"the server answered {status.decode('latin-1')!r} instead of opening a WebSocket")
        accept = re.search(rb"(?im)^sec-websocket-accept:[ \t]*(\S+)", head)
        if accept is None or accept[1] != base64.b64encode(hashlib.sha1(key + _ACCEPT_SUFFIX).digest()):
            raise WebSocketError("the server did not accept this WebSocket")

    def _fill(self) -> None:
        try:
            data = self._socket.recv(1 << 16)
        except OSError as error:
            raise WebSocketError(f"the connection broke: {error}") from error
        if not data:
            raise WebSocketError("the server closed the connection")
        self._buffer += data

    def _next_frame(self) -> tuple[bool, int, bytes] | None:
        """Take one complete frame (RFC 6455, section 5.2) out of what was read; None where there is none yet."""
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        length, start = buffer[1] & 0x7F, 2
        if length >= 126:
            layout = ">H" if length == 126 else ">Q"
            start += struct.calcsize(layout)
            if len(buffer) < start:
                return None
            (length,) = struct.unpack_from(layout, buffer, 2)
        if length > _MAXIMUM_MESSAGE:
            raise WebSocketError("the server sent a message that is too long")
        if len(buffer) < start + length:
            return None
        first, payload = buffer[0], bytes(buffer[start : start + length])
        del buffer[: start + length]
        return bool(first & _FINAL), first & 0x0F, payload


def _masked(payload: bytes, mask: bytes) -> bytes:
    """RFC 6455, section 5.3, for all bytes at once: as one large number."""
    repeated = (mask * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")).to_bytes(len(payload), "big")


def _reason(payload: bytes) -> str:
    """What a close frame says (RFC 6455, section 5.5.1)."""
    reason = payload[2:].decode("utf-8", "replace")
    return f"the server closed the connection: {reason}" if reason else "the server closed the connection"
