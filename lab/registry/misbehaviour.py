# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How the registry misbehaves while a fault is on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass

from ..callers import Caller
from ..faults import Faults
from .exchange import Exchange
from .refusals import Refusal, token_expired

BEFORE_ANSWERING = (
    "reset",
    "reset_mid_upload",
    "drop",
    "hang",
    "too_many",
    "too_many_retry_after",
    "status_500",
    "html_502",
    "bare_403",
    "html_403",
    "redirect_loop",
    "token_expired",
    "unauthorized",
    "size_limit",
    "scan_block",
)
"""Faults that take the place of an answer."""

HANG_AT_MOST = 600.0
"""Seconds after which even a request that is never answered is let go, so that no thread stays for ever."""

WRONG_DIGEST = "sha256:" + "0" * 64
SPOILT = "spoilt=1"
"""In the query of a signed layer URL: serve other bytes."""

_PAGE = b"<html><head><title>%s</title></head><body><center><h1>%s</h1></center></body></html>\r\n"


def misbehave(faults: Faults, exchange: Exchange, caller: Caller | None, host: str, stopping: threading.Event) -> bool:
    """Do what a fault that is on does instead of answering this request.

    :arg host: host and port of the registry
    :arg stopping: set when the lab ends; nothing hangs any longer then
    :returns: False where no fault concerns the request
    :raises Refusal: where the fault is one in the registry's own words
    """
    switch = faults.strikes(BEFORE_ANSWERING, caller, exchange.method, exchange.path)
    if switch is None:
        return False
    name = switch.name
    if name in ("reset", "reset_mid_upload", "drop", "hang"):
        _end_connection(name, exchange, stopping)
    elif name in _PAGES:
        status, reason = _PAGES[name]
        exchange.answer(status, _PAGE % (reason, reason), {"Content-Type": "text/html"})
    elif name == "bare_403":
        exchange.answer(403)
    elif name == "redirect_loop":
        exchange.answer(307, headers={"Location": f"https://{host}{exchange.target}"})
    elif name == "unauthorized":
        exchange.answer(401, b"Not Authorized\n", challenge(host))
    else:
        raise _refusal(name)
    return True


def challenge(host: str) -> dict[str, str]:
    """Headers that ask for ECR's credentials."""
    return {
        "WWW-Authenticate": f'Basic realm="https://{host}/",service="ecr.amazonaws.com"',
        "Content-Type": "text/plain; charset=utf-8",
    }


def hides_refusals(faults: Faults, exchange: Exchange, caller: Caller | None) -> bool:
    """Whether a refusal must look like a dropped connection: to docker, while that fault is on."""
    if not exchange.header("User-Agent").startswith("docker/"):
        return False
    return faults.strikes(["hidden_refusal"], caller, exchange.method, exchange.path) is not None


@dataclass(frozen=True)
class Distortion:
    """Spoils answers while a fault says so: cuts JSON in the middle, gives other bytes or digests than there are."""

    faults: Faults
    exchange: Exchange
    caller: Caller | None

    def __call__(self, status: int, content: bytes, headers: dict[str, str]) -> tuple[bytes, dict[str, str]]:
        """The content and the headers that are sent in place of the right ones."""
        is_json = "json" in headers.get("Content-Type", "") and self.exchange.method != "HEAD"
        if is_json and self._strikes("truncated_json"):
            content = content[: len(content) // 2]
        is_stored = status == 201 and "Docker-Content-Digest" in headers
        if is_stored and self._strikes("wrong_digest"):
            headers = {**headers, "Docker-Content-Digest": WRONG_DIGEST}
        is_blob = status == 307 and self.exchange.method == "GET"
        if is_blob and self._strikes("wrong_digest"):
            headers = {**headers, "Location": headers["Location"] + f"&{SPOILT}"}
        return content, headers

    def _strikes(self, name: str) -> bool:
        return self.faults.strikes([name], self.caller, self.exchange.method, self.exchange.path) is not None


_PAGES = {"html_502": (502, b"502 Bad Gateway"), "html_403": (403, b"403 Forbidden")}


def _end_connection(name: str, exchange: Exchange, stopping: threading.Event) -> None:
    if name == "hang":
        stopping.wait(HANG_AT_MOST)
        exchange.drop()
        return
    if name == "reset_mid_upload":
        _read_a_little(exchange.body())
    if name == "drop":
        exchange.drop()
    else:
        exchange.reset()


def _read_a_little(body: Iterator[bytes]) -> None:
    next(body, b"")


def _refusal(name: str) -> Refusal:
    if name == "too_many":
        return Refusal("TOOMANYREQUESTS", "Rate exceeded")
    if name == "too_many_retry_after":
        return Refusal("TOOMANYREQUESTS", "Rate exceeded", headers={"Retry-After": "1"})
    if name == "token_expired":
        return token_expired()
    if name == "size_limit":
        return Refusal("SIZE_INVALID", "The layer exceeds the maximum size that the registry takes.")
    if name == "scan_block":
        return Refusal("DENIED", "The image is blocked: its scan found vulnerabilities of severity CRITICAL.")
    return Refusal("UNKNOWN", "")
