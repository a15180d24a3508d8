# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the words of container clients mean when nobody said no.

Collected from Docker 20.10 to 28, Podman 4 and containerd 1.6 to 2; each is tried in ``tests/integration``.
"""

from __future__ import annotations

import re

from ..probe.faults import Fault

_WORDS = {
    "token_expired": ("authorization token has expired",),
    "not_logged_in": (
        "no basic auth credentials",
        "unauthorized: ",
        "authentication required",
        r"401 \(?Unauthorized",
        "invalid username/password",
    ),
    "credential_store": (
        "error storing credentials",
        "error getting credentials",
        "error saving credentials",
        "storing credentials",
        r"docker-credential-\S+.*(?:not found|exit status)",
    ),
    "dns_failure": ("no such host", "Temporary failure in name resolution", "server misbehaving"),
    "connection_refused": ("dial tcp.*connection refused",),
    "unreachable": ("no route to host", "network is unreachable"),
    "tls_name": ("certificate is (?:valid for|not valid for)",),
    "tls_unknown_ca": ("certificate signed by unknown authority",),
    "tls_failure": ("x509: ", "tls: ", "TLS handshake"),
    "throttled": ("toomanyrequests", "too many requests", r"\b429\b"),
    "disk_full": ("no space left on device",),
    "repository_missing": ("name unknown", "NAME_UNKNOWN", "repository with name .* does not exist"),
    "tag_immutable": ("repository is immutable", "tag is immutable"),
    "too_large": (r"\b413\b", "request entity too large", "size invalid", "layer too large"),
    "redirect_loop": (r"stopped after \d+ redirects",),
    "digest_mismatch": (
        "verification failed for digest",
        "digest did not match",
        r"digest \S+ does not match expected",
        "digest (?:mismatch|invalid)",
        "does not match (?:config's|the manifest|digest)",
        "mismatched? digest",
        "unexpected commit digest",
    ),
    "engine_not_permitted": ("permission denied while trying to connect", r"dial unix \S+ connect: permission denied"),
    "engine_not_running": (
        "Cannot connect to the Docker daemon",
        "Is the docker daemon running",
        "cannot access containerd",
        "connect: no such file or directory",
        r"dial unix \S+ connect: connection refused",
    ),
    "timed_out": (r"Client\.Timeout exceeded", "i/o timeout", "deadline exceeded", "net/http: request canceled"),
    "server_failing": (
        r"received unexpected HTTP status: 5\d\d",
        r"error parsing HTTP 5\d\d response body",
        r"failed with status: 5\d\d",
        r"unexpected status(?: code)?[^\n]*\b5\d\d\b",
        r"\b50[0-4] \(?[A-Z]",
        r"invalid status code from registry 5\d\d",
    ),
    "garbled_answer": (
        "unexpected end of JSON",
        "invalid character .* (?:looking for|after|in) ",
        "unexpected EOF",
        r"error parsing HTTP \d+ response body",
    ),
    "refused_by_registry": (r"\bdenied: ",),
}
"""Kinds of faults, most telling first, and phrases that tell of them."""

_PATTERNS = tuple((kind, re.compile("|".join(phrases), re.IGNORECASE)) for kind, phrases in _WORDS.items())
_NO_SUCH_IMAGE = re.compile(r"manifest unknown|MANIFEST_UNKNOWN|manifest for \S+ not found(?!: name)", re.IGNORECASE)
_ANSWERED_IN_FULL = re.compile(r"name unknown|NAME_UNKNOWN", re.IGNORECASE)


def no_such_image(text: str) -> bool:
    """Whether the client heard that the repository has no such image: the registry let it look."""
    return bool(_NO_SUCH_IMAGE.search(text)) and not _ANSWERED_IN_FULL.search(text)


def fault_of(text: str, engine: str, host: str, step: str) -> Fault:
    """The fault that a client's words tell of.

    :arg text: its words
    :arg engine: its name
    :arg host: the registry
    :arg step: what it was doing, for the sentence
    """
    for kind, pattern in _PATTERNS:
        found = pattern.search(text)
        if found:
            line = _line_of(text, found.start())
            return Fault(kind, engine=engine, host=host, step=step, detail=line, status=_status(line), seconds="")
    last = [line for line in text.splitlines() if line.strip()][-1:]
    return Fault("unexpected", engine=engine, host=host, detail=last[0] if last else "it said nothing")


def _line_of(text: str, position: int) -> str:
    start = text.rfind("\n", 0, position) + 1
    end = text.find("\n", position)
    return text[start : end if end >= 0 else len(text)].strip()


def _status(line: str) -> str:
    found = re.search(r"\b[45]\d\d\b", line)
    return found.group(0) if found else "5xx"
