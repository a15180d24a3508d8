# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The sessions of one lab: who opened which, and which token admits to which data channel."""

from __future__ import annotations

import datetime
import secrets
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

# Session Manager ends a session that nobody used for so long (its default idle time-out).
IDLE = datetime.timedelta(minutes=20)

# How many ended sessions DescribeSessions can still tell of.
HISTORY = 1000


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


@dataclass
class Session:
    """One session.

    :ivar id: the caller's name and random digits, as Session Manager builds it
    :ivar target: instance id
    :ivar owner: ARN of the caller
    :ivar document: name of the session document
    :ivar hang_up: ends the open data channel from any thread; None while there is none
    """

    id: str
    target: str
    owner: str
    document: str
    reason: str = ""
    started: datetime.datetime = field(default_factory=_now)
    ended: datetime.datetime | None = None
    token: str | None = field(default=None, repr=False)
    hang_up: Callable[[], None] | None = field(default=None, repr=False)


class Sessions:
    """All sessions; safe to call from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._active: dict[str, Session] = {}
        self._ended: deque[Session] = deque(maxlen=HISTORY)

    def start(self, target: str, owner: str, document: str, reason: str = "") -> Session:
        """A new session, whose token opens its data channel once."""
        name = owner.rsplit("/", 1)[-1].rsplit(":", 1)[-1]
        session = Session(f"{name}-{secrets.token_hex(9)[:17]}", target, owner, document, reason)
        session.token = secrets.token_urlsafe(48)
        with self._lock:
            self._drop_unused()
            self._active[session.id] = session
        return session

    def resume(self, session_id: str) -> Session | None:
        """Give an active session a new token, which replaces an unused one; None where there is no such session."""
        with self._lock:
            session = self._active.get(session_id)
            if session is not None:
                session.token = secrets.token_urlsafe(48)
            return session

    def claim(self, session_id: str, token: str, hang_up: Callable[[], None]) -> Session | None:
        """Redeem a token for its session, once. None where either is wrong, or the session's channel is open."""
        with self._lock:
            session = self._active.get(session_id)
            # Compared in constant time and as bytes: compare_digest takes no text beyond ASCII.
            expected = session.token if session is not None else None
            if not secrets.compare_digest(token.encode(), (expected or "").encode()) or session is None or not expected:
                return None
            if session.hang_up is not None:
                return None
            session.token = None
            session.hang_up = hang_up
            return session

    def end(self, session_id: str) -> Session | None:
        """End an active session and its data channel. None where there is no such session."""
        with self._lock:
            session = self._active.pop(session_id, None)
            if session is None:
                return None
            self._close(session)
        if session.hang_up is not None:
            session.hang_up()
        return session

    def known(self, session_id: str) -> Session | None:
        """A session, active or ended."""
        with self._lock:
            return self._active.get(session_id) or next((s for s in self._ended if s.id == session_id), None)

    def listed(self, active: bool) -> list[Session]:
        """The active sessions, or those that ended; the newest first."""
        with self._lock:
            chosen = list(self._active.values()) if active else list(self._ended)
        return sorted(chosen, key=lambda session: session.started, reverse=True)

    def _close(self, session: Session) -> None:
        session.token = None
        session.ended = _now()
        self._ended.append(session)

    def _drop_unused(self) -> None:
        """End what was started and never connected to."""
        oldest = _now() - IDLE
        for session in [s for s in self._active.values() if s.hang_up is None and s.started < oldest]:
            del self._active[session.id]
            self._close(session)
