# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Authorization tokens of the registry: given out by GetAuthorizationToken, shown as the password of HTTP Basic."""

from __future__ import annotations

import base64
import datetime
import hashlib
import secrets
import threading
from dataclasses import dataclass

from .callers import Caller

LIFETIME = datetime.timedelta(hours=12)
USER_NAME = "AWS"
_PASSWORD_BYTES = 1536
"""ECR's passwords are about two thousand characters long; a client that cannot take them should fail here too."""


@dataclass(frozen=True)
class Token:
    """What stands behind a password. The password itself is kept nowhere."""

    caller: Caller
    expires: datetime.datetime

    def expired(self, now: datetime.datetime) -> bool:
        """Whether it must be refused at ``now``."""
        return now >= self.expires


class Tokens:
    """All tokens that were given out, in memory, by the hash of their password. For any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tokens: dict[bytes, Token] = {}

    def issue(self, caller: Caller, now: datetime.datetime) -> tuple[str, datetime.datetime]:
        """Make a token for the caller.

        :returns: ``base64("AWS:" + password)``, and when it expires
        """
        password = secrets.token_urlsafe(_PASSWORD_BYTES)
        token = Token(caller, now + LIFETIME)
        with self._lock:
            # A day after its end nobody is told any more that it expired; it is unknown.
            forgotten = now - 2 * LIFETIME
            self._tokens = {key: old for key, old in self._tokens.items() if old.expires > forgotten}
            self._tokens[_key(password)] = token
        return base64.b64encode(f"{USER_NAME}:{password}".encode()).decode(), token.expires

    def find(self, authorization: str) -> Token | None:
        """The token in an ``Authorization`` header, expired or not; None if there is none or it is not ours."""
        scheme, _space, encoded = authorization.strip().partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            name, _colon, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
        except ValueError:
            return None
        if name != USER_NAME:
            return None
        with self._lock:
            return self._tokens.get(_key(password))


def _key(password: str) -> bytes:
    return hashlib.sha256(password.encode()).digest()
