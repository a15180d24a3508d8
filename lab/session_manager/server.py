# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The WebSocket server of all data channels, in a thread of its own."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import threading
from typing import Protocol
from urllib.parse import urlsplit

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from ..settings import Settings
from .actions import SessionActions
from .channel import Channel
from .sessions import Session, Sessions
from .shell import Shell

# Seconds a client may take to send its token.
_TOKEN_TIMEOUT = 15.0

# Bytes of one message. Clients send kilobytes.
_MAXIMUM_MESSAGE = 1 << 20

# WebSocket status codes (RFC 6455, section 7.4.1).
_UNSUPPORTED_DATA = 1003
_POLICY_VIOLATION = 1008
_INTERNAL_ERROR = 1011

logger = logging.getLogger("lab.session_manager")


class Instances(Protocol):
    """What the Session Manager needs of the lab's instances."""

    def connected(self, instance_id: str) -> bool:
        """Whether the instance runs and its agent would answer."""

    def open_shell(self, instance_id: str) -> Shell:
        """A new interactive shell on the instance, in the running event loop. Raises OSError, LookupError."""


class DataChannelServer:
    """Session Manager: the SSM API's session actions in moto, and the data channels they lead to."""

    def __init__(self, settings: Settings, sock: socket.socket, instances: Instances) -> None:
        """
        :param settings: the lab's settings
        :param sock: bound on 127.0.0.1 to ``settings.data_channel_port``
        :param instances: who runs the instances
        """
        self.sessions = Sessions()
        # Accepted connections inherit it. asyncio sets it only where a socket names its protocol. Without it, output
        # that follows an acknowledgement waits 40 ms for the client's system to confirm that.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = sock
        self._instances = instances
        self._actions = SessionActions(self.sessions, instances.connected, settings.data_channel_url)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name="data-channels", daemon=True)
        self._ready = threading.Event()

    def start(self) -> None:
        """Add the session actions to moto and serve data channels. Returns once they are served."""
        self._actions.install()
        self._thread.start()
        self._ready.wait()

    def stop(self) -> None:
        """End every session and stop serving."""
        self._actions.remove()
        if self._loop is not None and self._stopping is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join(timeout=10)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        # Frames are small and the way is short: compression would only cost time.
        async with serve(self._admit, sock=self._socket, max_size=_MAXIMUM_MESSAGE, compression=None):
            self._ready.set()
            await self._stopping.wait()
            for session in self.sessions.listed(active=True):
                self.sessions.end(session.id)

    async def _admit(self, connection: ServerConnection) -> None:
        """Let in whoever sends an unused token of the session that the path names."""
        session_id = urlsplit(connection.request.path if connection.request else "").path.rpartition("/")[2]
        try:
            opening = json.loads(await asyncio.wait_for(connection.recv(), _TOKEN_TIMEOUT))
            token = str(opening["TokenValue"])
        except (ValueError, KeyError, TypeError, TimeoutError):
            await connection.close(_UNSUPPORTED_DATA, "a token was expected")
            return
        except ConnectionClosed:
            return
        over = asyncio.Event()
        loop = asyncio.get_running_loop()

        def hang_up() -> None:
            loop.call_soon_threadsafe(over.set)

        session = self.sessions.claim(session_id, token, hang_up)
        if session is None:
            logger.warning("session %s: refused, its token is wrong or used", session_id)
            await connection.close(_POLICY_VIOLATION, "the token is wrong or used")
            return
        try:
            await self._serve_session(connection, session, over)
        finally:
            self.sessions.end(session.id)

    async def _serve_session(self, connection: ServerConnection, session: Session, over: asyncio.Event) -> None:
        try:
            shell = self._instances.open_shell(session.target)
        except (OSError, LookupError) as error:
            logger.warning("session %s: no shell on %s: %s", session.id, session.target, error)
            await connection.close(_INTERNAL_ERROR, "the instance is gone")
            return
        try:
            channel = Channel(_Messages(connection), shell, session.id)
            hanging_up = asyncio.create_task(_after(over, channel))
            try:
                await channel.serve()
            finally:
                hanging_up.cancel()
        finally:
            # Before the shell, which may take a moment: the client waits for the connection's end.
            await connection.close()
            await shell.close()


async def _after(over: asyncio.Event, channel: Channel) -> None:
    await over.wait()
    channel.hang_up()


class _Messages:
    """A connection whose end is an EOFError."""

    def __init__(self, connection: ServerConnection) -> None:
        self._connection = connection

    async def send(self, message: bytes, /) -> None:
        """Send one binary message. Raises EOFError once the peer is gone."""
        try:
            await self._connection.send(message)
        except ConnectionClosed as error:
            raise EOFError from error

    async def receive(self) -> bytes | str:
        """The next message. Raises EOFError once the peer is gone."""
        try:
            return await self._connection.recv()
        except ConnectionClosed as error:
            raise EOFError from error
