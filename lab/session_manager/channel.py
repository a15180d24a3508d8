# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One data channel: a client's WebSocket on one side, an instance's shell on the other."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import struct
from collections.abc import Sequence
from typing import Any, Protocol

from .frame import (
    ACKNOWLEDGE,
    CHANNEL_CLOSED,
    INPUT,
    OUTPUT,
    Frame,
    FrameError,
    PayloadType,
    acknowledged_sequence,
    acknowledgement,
    uuid_text,
)
from .stream import Inbox, Outbox

# Bytes of output in a frame, as the SSM agent sends it.
CHUNK = 1024

# Input that the shell does not read is held up to so many bytes; beyond, the client keeps it, unacknowledged.
MAXIMUM_PENDING_INPUT = 1 << 20

# Seconds the client may take over its part of the handshake, over acknowledging anything, and over the last of it.
HANDSHAKE_TIMEOUT = 15.0
STALL_TIMEOUT = 60.0
FINAL_TIMEOUT = 1.0

# Flag (payload type 10) by which a client ends the session.
_TERMINATE_SESSION = 2

logger = logging.getLogger("lab.session_manager")


class Socket(Protocol):
    """What a channel needs of a WebSocket."""

    async def send(self, message: bytes, /) -> None:
        """Send one binary message. Raises EOFError once the peer is gone."""

    async def receive(self) -> bytes | str:
        """The next message. Raises EOFError once the peer is gone."""


class Terminal(Protocol):
    """What a channel needs of a shell; see :class:`.shell.Shell`."""

    @property
    def pending(self) -> int:
        """Bytes of input not yet taken."""

    def resize(self, rows: int, columns: int) -> None:
        """Set the size in characters."""

    async def read(self, size: int) -> bytes:
        """The next output; empty at the end."""

    def available(self, size: int) -> bytes | None:
        """Output that waits, or None."""

    def write(self, data: bytes) -> None:
        """Give it input."""

    async def exited(self) -> None:
        """Wait until it has exited."""


class Channel:
    """Serves one session, from the handshake to ``channel_closed``. Belongs to the event loop that made it."""

    def __init__(self, socket: Socket, shell: Terminal, session_id: str) -> None:
        self._socket = socket
        self._shell = shell
        self._session_id = session_id
        self._loop = asyncio.get_running_loop()
        self._inbox = Inbox()
        self._outbox = Outbox(OUTPUT)
        self._sent = asyncio.Event()
        self._acknowledged = asyncio.Event()
        self._handshaken = asyncio.Event()
        self._over = asyncio.Event()
        # Input from before the shell's first output: a shell that is not ready would lose it.
        self._early: bytearray | None = bytearray()

    def hang_up(self) -> None:
        """End the session in good order."""
        self._over.set()

    async def serve(self) -> None:
        """Run until the shell exits, the client leaves or the session is hung up. Does not close the shell."""
        peer = [asyncio.create_task(self._receive()), asyncio.create_task(self._resend())]
        try:
            await self._send(_handshake_request(), PayloadType.HANDSHAKE_REQUEST)
            await _until_any([*peer, asyncio.create_task(self._handshaken.wait())], HANDSHAKE_TIMEOUT)
            if not self._handshaken.is_set():
                logger.info("session %s: the client did not finish the handshake", self._session_id)
                return
            await self._send(_handshake_complete(), PayloadType.HANDSHAKE_COMPLETE)
            await self._until_end(peer)
            if not any(task.done() for task in peer):
                await self._close(peer)
        except EOFError:
            logger.debug("session %s: the client left", self._session_id)
        finally:
            await _cancel(peer)

    async def _until_end(self, peer: list[asyncio.Task[None]]) -> None:
        """Pass output on until the shell exits, the session is hung up, or the client is gone."""
        output = asyncio.create_task(self._send_output())
        exited, over = asyncio.create_task(self._shell.exited()), asyncio.create_task(self._over.wait())
        try:
            await _until_any([output, exited, over, *peer])
        finally:
            await _cancel([output, exited, over])
        if exited.done() and not exited.cancelled():
            await self._send_rest()

    async def _send_output(self) -> None:
        while data := await self._shell.read(CHUNK):
            self._release_early_input()
            await self._send(data)

    async def _send_rest(self) -> None:
        """Send what the shell printed before it exited."""
        while data := self._shell.available(CHUNK):
            await self._send(data)

    async def _send(self, payload: bytes, payload_type: PayloadType = PayloadType.OUTPUT) -> None:
        while self._outbox.full:
            self._acknowledged.clear()
            await self._acknowledged.wait()
        raw = self._outbox.add(payload, payload_type, self._loop.time())
        self._sent.set()
        await self._socket.send(raw)

    async def _resend(self) -> None:
        """Send again what stays unacknowledged; return when the client acknowledges nothing any more."""
        while True:
            await self._sent.wait()
            await asyncio.sleep(self._outbox.resend_after / 2)
            now = self._loop.time()
            if self._outbox.empty:
                self._sent.clear()
            elif self._outbox.stalled(now) > STALL_TIMEOUT:
                logger.warning("session %s: the client acknowledges nothing", self._session_id)
                return
            for raw in self._outbox.overdue(now):
                await self._socket.send(raw)

    async def _receive(self) -> None:
        """Take what the client sends; return when it is gone, or sends what no client sends."""
        try:
            while True:
                raw = await self._socket.receive()
                if isinstance(raw, bytes):
                    await self._take(Frame.decode(raw))
        except EOFError:
            return
        except FrameError as error:
            logger.warning("session %s: the client sent %s", self._session_id, error)

    async def _take(self, frame: Frame) -> None:
        if frame.message_type == ACKNOWLEDGE:
            self._outbox.acknowledge(acknowledged_sequence(frame), self._loop.time())
            self._acknowledged.set()
        elif frame.message_type == INPUT and self._inbox.takes(frame) and self._pending < MAXIMUM_PENDING_INPUT:
            await self._socket.send(acknowledgement(frame))
            for due in self._inbox.accept(frame):
                self._act_on(due)

    @property
    def _pending(self) -> int:
        return self._shell.pending if self._early is None else len(self._early)

    def _act_on(self, frame: Frame) -> None:
        if frame.payload_type == PayloadType.HANDSHAKE_RESPONSE:
            self._handshaken.set()
        elif frame.payload_type == PayloadType.OUTPUT:
            if self._early is None:
                self._shell.write(frame.payload)
            else:
                self._early += frame.payload
        elif frame.payload_type == PayloadType.SIZE:
            self._resize(frame.payload)
        elif frame.payload_type == PayloadType.FLAG and frame.payload == struct.pack(">I", _TERMINATE_SESSION):
            self._over.set()

    def _release_early_input(self) -> None:
        if self._early is not None:
            early, self._early = self._early, None
            self._shell.write(bytes(early))

    def _resize(self, payload: bytes) -> None:
        try:
            size = json.loads(payload)
            rows, columns = int(size["rows"]), int(size["cols"])
        except (ValueError, KeyError, TypeError) as error:
            raise FrameError("a terminal size that is none") from error
        # A client without a terminal says 0×0: then the shell keeps its own.
        if 0 < rows < 1 << 16 and 0 < columns < 1 << 16:
            self._shell.resize(rows, columns)

    async def _close(self, peer: list[asyncio.Task[None]]) -> None:
        """Let the client acknowledge what was sent, and tell it that the session is over."""
        acknowledged = asyncio.create_task(self._all_acknowledged())
        try:
            await _until_any([acknowledged, *peer], FINAL_TIMEOUT)
        finally:
            await _cancel([acknowledged])
        body = {
            "MessageType": CHANNEL_CLOSED,
            "MessageId": uuid_text(os.urandom(16)),
            "DestinationId": self._session_id,
            "SessionId": self._session_id,
            "SchemaVersion": 1,
            "CreatedDate": "",
            "Output": "",
        }
        await self._socket.send(Frame(CHANNEL_CLOSED, 0, json.dumps(body).encode(), PayloadType.NONE).encode())

    async def _all_acknowledged(self) -> None:
        while not self._outbox.empty:
            self._acknowledged.clear()
            await self._acknowledged.wait()


async def _until_any(tasks: Sequence[asyncio.Task[Any]], timeout: float | None = None) -> None:
    """Wait until one of the tasks is done. Raises what made it fail."""
    done, _pending = await asyncio.wait(tasks, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()


async def _cancel(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _handshake_request() -> bytes:
    action = {"ActionType": "SessionType", "ActionParameters": {"SessionType": "Standard_Stream", "Properties": None}}
    return json.dumps({"AgentVersion": "3.3.0.0", "RequestedClientActions": [action]}).encode()


def _handshake_complete() -> bytes:
    # In nanoseconds, as the agent counts it.
    return json.dumps({"HandshakeTimeToComplete": 1_000_000, "CustomerMessage": ""}).encode()
