# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The registry's listener: TLS, one thread a connection, HTTP/1.1."""

from __future__ import annotations

import contextlib
import logging
import selectors
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler

from ..certificates import Certificate
from .exchange import BrokenBody, Exchange

_log = logging.getLogger("lab.registry")

HANDSHAKE_TIMEOUT = 10.0
"""Seconds a client has for its part of the TLS handshake."""

IDLE_TIMEOUT = 300.0
"""Seconds after which a connection that nobody uses is closed."""

Handle = Callable[[Exchange], None]


class Listener:
    """Takes connections on a socket and hands every request to ``handle``.

    :arg sock: bound on 127.0.0.1; belongs to the listener from now on
    :arg identities: certificates to show, by name; ``choose_identity`` says which for a new connection
    :arg refusing: says whether connections are to be refused; asked at the start and after every `wake`
    """

    def __init__(
        self,
        sock: socket.socket,
        handle: Handle,
        identities: Mapping[str, Certificate],
        choose_identity: Callable[[], str],
        refusing: Callable[[], bool],
    ) -> None:
        self._socket = sock
        self._address = sock.getsockname()
        self._handle = handle
        self._contexts = {name: _context(identity) for name, identity in identities.items()}
        self._choose_identity = choose_identity
        self._refusing = refusing
        self._listening = False
        self._wakened, self._waker = socket.socketpair()
        self._waker.setblocking(False)
        self._stopping = False
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        self._thread = threading.Thread(target=self._run, name="lab registry", daemon=True)

    def start(self) -> None:
        """Begin to take connections. Returns when they are taken."""
        self._turn()
        self._thread.start()

    def stop(self) -> None:
        """Take no more connections and end those there are."""
        self._stopping = True
        self.wake()
        if self._thread.is_alive():
            self._thread.join()
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
        for sock in (self._socket, self._wakened, self._waker):
            sock.close()

    def wake(self) -> None:
        """Have the listener ask again whether to refuse connections."""
        # A full pipe will wake it just as well; a closed one has nobody to wake.
        with contextlib.suppress(OSError):
            self._waker.send(b"!")

    def _run(self) -> None:
        while not self._stopping:
            with selectors.DefaultSelector() as selector:
                selector.register(self._wakened, selectors.EVENT_READ)
                if self._listening:
                    selector.register(self._socket, selectors.EVENT_READ)
                ready = [key.fileobj for key, _events in selector.select()]
            if self._wakened in ready:
                self._wakened.recv(4096)
                self._turn()
            elif ready:
                self._accept()

    def _turn(self) -> None:
        """Listen, or refuse connections, as it is wanted now."""
        if self._refusing() and self._listening:
            # A port that is bound but not listened on refuses connections, and stays ours.
            self._socket.close()
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind(self._address)
            self._listening = False
        elif not self._refusing() and not self._listening:
            self._socket.listen(128)
            self._socket.setblocking(False)
            self._listening = True

    def _accept(self) -> None:
        try:
            connection, address = self._socket.accept()
        except OSError:  # the client has gone already
            return
        connection.setblocking(True)
        threading.Thread(target=self._serve, args=(connection, address), name="lab registry", daemon=True).start()

    def _serve(self, plain: socket.socket, address: tuple[str, int]) -> None:
        """One connection, from the handshake to its end."""
        try:
            plain.settimeout(HANDSHAKE_TIMEOUT)
            context = self._contexts[self._choose_identity()]
            connection = context.wrap_socket(plain, server_side=True)
        except OSError as fault:  # ssl.SSLError is one: a client that does not trust us, or speaks plain HTTP
            _log.info("%s: no TLS: %s", address[0], fault)
            plain.close()
            return
        with self._lock:
            self._connections.add(connection)
        try:
            connection.settimeout(IDLE_TIMEOUT)
            _Handler(connection, address, self._handle)
        except OSError:  # the client has gone, or we ended the connection ourselves
            pass
        finally:
            with self._lock:
                self._connections.discard(connection)
            connection.close()


class _Handler(BaseHTTPRequestHandler):
    """One connection's requests, one after the other."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and content leave together
    disable_nagle_algorithm = True

    def __init__(self, connection: ssl.SSLSocket, address: tuple[str, int], handle: Handle) -> None:
        self._handle_exchange = handle
        # The base class wants a server, and uses nothing of it.
        super().__init__(connection, address, socketserver.BaseServer(address, type(self)))

    def handle_expect_100(self) -> bool:
        """Say nothing yet: the exchange says it when it reads the body, and a refusal need not."""
        return True

    def log_message(self, format: str, *args: object) -> None:
        """Every request is logged by the registry itself; this is for requests that are none."""
        _log.info("%s: %s", self.client_address[0], format % args)

    def _exchange(self) -> None:
        exchange = Exchange(self)
        try:
            self._handle_exchange(exchange)
        except BrokenBody as fault:
            self.close_connection = True
            _log.info("%s: %s %s: %s", self.client_address[0], exchange.method, exchange.path, fault)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _exchange


def _context(identity: Certificate) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(identity.certificate, identity.key)
    return context
