# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One HTTPS exchange with a registry, and what can go wrong below the Registry API: names, routes, TLS, proxies.

Standard library only. A refusal that is worth another try (429, 5xx, a dropped connection) is tried again here.
"""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import time
from dataclasses import dataclass
from typing import Mapping
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from ..probe.deadline import Deadline
from ..probe.faults import Fault

_PAUSES = (0.2, 0.5)
"""Seconds before the second and the third try."""

_NAME_MISMATCH = 62
_NOT_YET_VALID, _EXPIRED = 9, 10
_CERTIFICATE_FOLDERS = ("/etc/docker/certs.d", "/etc/containers/certs.d")

Response = http.client.HTTPResponse


@dataclass(frozen=True)
class Answer:
    """What a server said.

    :ivar status: HTTP status
    :ivar headers: names in lower case
    :ivar body: content, at most as much as was asked for
    :ivar host: who said it
    :ivar whole: whether the content is all there is
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    host: str
    whole: bool = True


class Transport:
    """Exchanges with one or more hosts, connections kept.

    :ivar sent: bytes of content sent
    :ivar received: bytes of content received
    """

    def __init__(self, deadline: Deadline, ca_file: str | None = None, agent: str = "policyproof.ecr") -> None:
        self._deadline = deadline
        self._ca_file = ca_file
        self._agent = agent
        self._connections: dict[str, http.client.HTTPConnection] = {}
        self.sent = 0
        self.received = 0

    def close(self) -> None:
        """End every connection."""
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()

    def exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes = b"", limit: int = 1 << 22
    ) -> Answer:
        """Ask, and ask again what failed in passing.

        :arg url: absolute
        :arg limit: bytes of content to read at most
        :raises Fault: whatever is below the Registry API
        """
        for pause in _PAUSES + (None,):
            try:
                answer = self._once(method, url, headers, body, limit)
            except Fault as fault:
                if pause is None or fault.kind != "connection_reset":
                    raise
                self._wait(pause, fault)
                continue
            lasting = _lasting_fault(answer)
            if lasting is None:
                return answer
            wait = _retry_after(answer, pause)
            if wait is None or pause is None:
                raise lasting
            self._wait(wait, lasting)
        raise AssertionError("unreachable")

    def _wait(self, seconds: float, fault: Fault) -> None:
        if seconds >= self._deadline.remaining():
            raise fault
        time.sleep(seconds)

    def _once(self, method: str, url: str, headers: Mapping[str, str], body: bytes, limit: int) -> Answer:
        parts = urlsplit(url)
        target = parts.path + ("?" + parts.query if parts.query else "")
        host = parts.netloc
        kept = host in self._connections
        try:
            return self._ask(host, parts.scheme, method, target, headers, body, limit)
        except Fault as fault:
            # A kept connection may have been closed by the other side in the meantime; that alone is no fault.
            if kept and fault.kind == "connection_reset":
                return self._ask(host, parts.scheme, method, target, headers, body, limit)
            raise

    def _ask(
        self, host: str, scheme: str, method: str, target: str, headers: Mapping[str, str], body: bytes, limit: int
    ) -> Answer:
        step = f"{method} {target.partition('?')[0]}"
        try:
            connection = self._connection(host, scheme, step)
            connection.request(method, target, body=body, headers={"User-Agent": self._agent, **headers})
            self.sent += len(body)
            response = connection.getresponse()
            content = response.read(limit)
            whole = response.isclosed() or not response.read(1)
            self._check_complete(response, content, method, host, whole)
        except Exception as error:
            self._drop(host)
            raise _fault_of(error, host, step, self._deadline) from error
        self.received += len(content)
        if not whole or response.will_close:
            self._drop(host)
        answered = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, answered, content, host, whole)

    @staticmethod
    def _check_complete(response: Response, content: bytes, method: str, host: str, whole: bool) -> None:
        said = response.getheader("Content-Length", "")
        if whole and method != "HEAD" and said.isdigit() and len(content) < int(said):
            raise Fault("garbled_answer", host=host)

    def _connection(self, host: str, scheme: str, step: str) -> http.client.HTTPConnection:
        connection = self._connections.get(host)
        left = self._deadline.keep(step)
        if connection is None:
            connection = self._connect(host, scheme, left)
            self._connections[host] = connection
        if connection.sock is not None:
            connection.sock.settimeout(left)
        return connection

    def _connect(self, host: str, scheme: str, timeout: float) -> http.client.HTTPConnection:
        via = None if proxy_bypass(host.partition(":")[0]) else getproxies().get(scheme)
        near = urlsplit(via if "//" in via else "//" + via).netloc.rpartition("@")[2] if via else host
        if scheme == "http":
            return http.client.HTTPConnection(host, timeout=timeout)
        connection = http.client.HTTPSConnection(near, timeout=timeout, context=self._context(host))
        if via:
            connection.set_tunnel(host)
        return connection

    def _context(self, host: str) -> ssl.SSLContext:
        context = ssl.create_default_context()
        if self._ca_file:
            context.load_verify_locations(self._ca_file)
        for folder in _CERTIFICATE_FOLDERS:
            for name in _certificates(os.path.join(folder, host)):
                context.load_verify_locations(name)
        return context

    def _drop(self, host: str) -> None:
        connection = self._connections.pop(host, None)
        if connection is not None:
            connection.close()


def _certificates(folder: str) -> list[str]:
    """Authorities that the host's engines trust for this registry, as Docker's and Podman's certs.d has it."""
    try:
        return [os.path.join(folder, name) for name in sorted(os.listdir(folder)) if name.endswith(".crt")]
    except OSError:
        return []


def _lasting_fault(answer: Answer) -> Fault | None:
    """What an answer means if it stays so, and None if it needs no other try."""
    if answer.status == 429:
        return Fault("throttled", host=answer.host)
    if answer.status < 500:
        return None
    return Fault("server_failing", host=answer.host, status=answer.status)


def _retry_after(answer: Answer, pause: float | None) -> float | None:
    said = answer.headers.get("retry-after", "")
    return float(said) if said.isdigit() else pause


def _fault_of(error: Exception, host: str, step: str, deadline: Deadline) -> Exception:
    """The fault behind what the standard library raised; itself if it is one already."""
    if isinstance(error, Fault):
        return error
    if isinstance(error, ssl.SSLError):
        return _tls_fault(error, host, step, deadline)
    if isinstance(error, socket.gaierror):
        return Fault("dns_failure", host=host)
    if isinstance(error, (TimeoutError, socket.timeout)):
        return deadline.timed_out(step)
    if isinstance(error, ConnectionRefusedError):
        return Fault("connection_refused", host=host)
    if isinstance(error, http.client.IncompleteRead):
        return Fault("garbled_answer", host=host)
    if isinstance(error, (ConnectionError, http.client.RemoteDisconnected)):
        return Fault("connection_reset", host=host)
    if isinstance(error, http.client.HTTPException):
        return Fault("garbled_answer", host=host)
    if isinstance(error, OSError):
        return Fault("unreachable", host=host, detail=error.strerror or error)
    return error


def _tls_fault(error: ssl.SSLError, host: str, step: str, deadline: Deadline) -> Fault:
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code == _NAME_MISMATCH:
            return Fault("tls_name", host=host)
        if error.verify_code in (_NOT_YET_VALID, _EXPIRED):
            return Fault("tls_failure", host=host, detail=error.verify_message)
        return Fault("tls_unknown_ca", host=host)
    if "timed out" in str(error):
        return deadline.timed_out(step)
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return Fault("connection_reset", host=host)
    return Fault("tls_failure", host=host, detail=error.reason or error)
