# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lab's faults: bad days that a test switches on, for one caller or for all."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from .callers import Caller
from .wsgi import StartResponse, WsgiApplication

CONTROL_PATH = "/_policyproof/faults"


@dataclass(frozen=True)
class Kind:
    """One fault that the lab knows.

    :ivar meaning: what happens while it is on, for a person
    :ivar method: HTTP method it concerns unless the switch says otherwise; empty for every method
    :ivar path: part of the path it concerns unless the switch says otherwise; empty for every path
    :ivar whole_listener: it strikes before anybody knows who calls, so it cannot be switched on for one caller
    """

    meaning: str
    method: str = ""
    path: str = ""
    whole_listener: bool = False


_UPLOADS = "/blobs/uploads/"

KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "refuse": Kind("the registry's port refuses connections", whole_listener=True),
        "tls_name": Kind("the registry shows a certificate for another name", whole_listener=True),
        "tls_unknown_ca": Kind("the registry shows a certificate by a CA that nobody knows", whole_listener=True),
        "reset": Kind("the connection is reset instead of an answer", "POST", _UPLOADS),
        "reset_mid_upload": Kind("the connection is reset while a layer is being read", "PATCH", _UPLOADS),
        "drop": Kind("the connection is closed without an answer", "POST", _UPLOADS),
        "hang": Kind("the request is read and never answered"),
        "too_many": Kind("429 without Retry-After"),
        "too_many_retry_after": Kind("429 with Retry-After: 1"),
        "status_500": Kind("500 with ECR's error body"),
        "html_502": Kind("502 with a web page"),
        "bare_403": Kind("403 with nothing in it, as proxies answer"),
        "html_403": Kind("403 with a web page, as proxies answer"),
        "truncated_json": Kind("a JSON answer ends in the middle; its Content-Length is honest"),
        "wrong_digest": Kind("a blob has other bytes, or an upload another digest, than asked for"),
        "redirect_loop": Kind("a blob's address redirects to itself", "GET", "/blobs/sha256:"),
        "token_expired": Kind("403: the authorization token has expired"),
        "unauthorized": Kind("401: no basic auth credentials"),
        "size_limit": Kind("the registry calls what is uploaded too large", "PUT"),
        "scan_block": Kind("403 DENIED in words of a scanner, not in the sentence of a policy", path="/manifests/"),
        "hidden_refusal": Kind("docker's denied POST uploads gets a dropped connection", "POST", _UPLOADS),
        "token_denied": Kind("GetAuthorizationToken is answered with the sentence of denial"),
        "token_api_500": Kind("GetAuthorizationToken fails with 500"),
        "token_api_hang": Kind("GetAuthorizationToken is never answered"),
        "clock_skew": Kind("the lab's clock is ahead of the caller's; argument seconds, 1200 if not said"),
    }
)


@dataclass
class Switch:
    """A fault that is on.

    :ivar name: one of `KINDS`
    :ivar caller: whom it strikes: principal ARN, session ARN, role, user or session name; empty for everybody
    :ivar method: HTTP method it strikes; empty for every method
    :ivar path: part of the path it strikes; empty for every path
    :ivar after: how many matching requests still pass before it strikes
    :ivar times: how many more requests it strikes; None for ever
    :ivar arguments: what else its kind takes
    """

    name: str
    caller: str = ""
    method: str = ""
    path: str = ""
    after: int = 0
    times: int | None = None
    arguments: dict[str, Any] = field(default_factory=dict)

    def concerns(self, caller: Caller | None, method: str, path: str) -> bool:
        """Whether it is meant for such a request, not counting."""
        if self.caller and (caller is None or self.caller not in caller.names):
            return False
        return (not self.method or self.method == method) and self.path in path

    def strike(self) -> bool:
        """Count one matching request; say whether the fault strikes it."""
        if self.after > 0:
            self.after -= 1
            return False
        if self.times is None:
            return True
        self.times -= 1
        return self.times >= 0

    @property
    def spent(self) -> bool:
        """Whether it will never strike again."""
        return self.times is not None and self.times <= 0

    def as_dict(self) -> dict[str, Any]:
        """The same, as the control endpoint shows it."""
        return {
            "fault": self.name,
            "caller": self.caller,
            "method": self.method,
            "path": self.path,
            "after": self.after,
            "times": self.times,
            **self.arguments,
        }


class UnknownFault(ValueError):
    """A fault, or something about it, that the lab does not know; its text is a sentence."""


class Faults:
    """The switches that are on. All off at first. For any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._switches: list[Switch] = []
        self._watchers: list[Callable[[], None]] = []

    def watch(self, watcher: Callable[[], None]) -> None:
        """Have ``watcher`` called whenever a switch was turned."""
        self._watchers.append(watcher)

    def switch_on(self, name: str, **wish: Any) -> Switch:
        """Switch a fault on; the same fault for the same caller is replaced. Raises UnknownFault."""
        switch = _switch(name, wish)
        with self._lock:
            self._switches = [other for other in self._switches if (other.name, other.caller) != (name, switch.caller)]
            self._switches.append(switch)
        self._tell()
        return switch

    def switch_off(self, name: str = "", caller: str = "") -> None:
        """Switch off one fault or, without a name, all; of one caller or, without a caller, of all."""
        with self._lock:
            self._switches = [
                switch
                for switch in self._switches
                if (name and switch.name != name) or (caller and switch.caller != caller)
            ]
        self._tell()

    def strikes(self, names: Iterable[str], caller: Caller | None, method: str = "", path: str = "") -> Switch | None:
        """The first switch among ``names`` that strikes this request, which is thereby counted."""
        with self._lock:
            for switch in self._switches:
                if switch.name in names and switch.concerns(caller, method, path) and switch.strike():
                    self._switches = [other for other in self._switches if not other.spent]
                    return switch
        return None

    def is_on(self, name: str) -> bool:
        """Whether a fault is on, for whomever, without counting."""
        with self._lock:
            return any(switch.name == name for switch in self._switches)

    def as_list(self) -> list[dict[str, Any]]:
        """All switches that are on."""
        with self._lock:
            return [switch.as_dict() for switch in self._switches]

    def _tell(self) -> None:
        for watcher in self._watchers:
            watcher()


def _switch(name: str, wish: Mapping[str, Any]) -> Switch:
    kind = KINDS.get(name)
    if kind is None:
        raise UnknownFault(f"Fault {name!r} is none of {', '.join(KINDS)}.")
    known = {"caller", "method", "path", "after", "times"}
    switch = Switch(name, method=kind.method, path=kind.path)
    for key in known & set(wish):
        setattr(switch, key, wish[key])
    switch.arguments = {key: value for key, value in wish.items() if key not in known}
    if set(switch.arguments) - {"seconds"}:
        raise UnknownFault(f"A fault takes {', '.join(sorted(known))} and seconds, not {sorted(switch.arguments)}.")
    if not all(isinstance(text, str) for text in (switch.caller, switch.method, switch.path)):
        raise UnknownFault("caller, method and path are texts.")
    numbers = (switch.after, 0 if switch.times is None else switch.times, switch.arguments.get("seconds", 0))
    if not all(isinstance(number, int) for number in numbers):
        raise UnknownFault("after, times and seconds are whole numbers.")
    if switch.caller and kind.whole_listener:
        raise UnknownFault(f"Fault {name!r} strikes before the caller is known: switch it on without a caller.")
    return switch


class FaultControl:
    """WSGI: the lab's own endpoint for its faults, in front of the AWS APIs.

    ``GET /_policyproof/faults`` lists what is on and what there is; ``PUT …/<name>`` with a JSON object (caller,
    method, path, after, times, seconds; each optional) switches one on; ``DELETE …/<name>`` or ``DELETE …`` switches
    one or all off, with ``?caller=`` for one caller only.
    """

    def __init__(self, application: WsgiApplication, faults: Faults) -> None:
        self._application = application
        self._faults = faults

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        path = str(environ.get("PATH_INFO", ""))
        if path != CONTROL_PATH and not path.startswith(CONTROL_PATH + "/"):
            return self._application(environ, start_response)
        try:
            answer = self._turn(environ, path[len(CONTROL_PATH) + 1 :])
            status = "200 OK"
        except ValueError as fault:  # UnknownFault, or no JSON
            answer = {"message": str(fault)}
            status = "400 Bad Request"
        body = json.dumps(answer).encode()
        start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]

    def _turn(self, environ: dict[str, Any], name: str) -> dict[str, Any]:
        method = environ["REQUEST_METHOD"]
        if method == "PUT":
            length = int(environ.get("CONTENT_LENGTH") or 0)
            wish = json.loads(environ["wsgi.input"].read(length) or b"{}")
            if not isinstance(wish, dict):
                raise UnknownFault("Give a JSON object.")
            self._faults.switch_on(name, **wish)
        elif method == "DELETE":
            query = dict(pair.partition("=")[::2] for pair in str(environ.get("QUERY_STRING", "")).split("&"))
            self._faults.switch_off(name, query.get("caller", ""))
        elif method != "GET":
            raise UnknownFault(f"The faults take GET, PUT and DELETE, not {method}.")
        return {"on": self._faults.as_list(), "known": {name: kind.meaning for name, kind in KINDS.items()}}
