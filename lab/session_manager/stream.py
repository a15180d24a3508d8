# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Sequence numbers, acknowledgements and resending, the same for both ends of a data channel. No I/O, no clock.

A real session-manager-plugin drops, without acknowledging it, what arrives before its handler is set. So the sender
keeps every frame until it is acknowledged, and sends it again.
"""

from __future__ import annotations

from .frame import Frame, PayloadType


class Outbox:
    """Frames of one direction, from sending to acknowledgement. Times are seconds of any monotonic clock.

    :ivar limit: no more than so many frames may be unacknowledged
    :ivar resend_after: seconds after which an unacknowledged frame is sent again
    """

    def __init__(self, message_type: str, limit: int = 256, resend_after: float = 0.2) -> None:
        self.limit = limit
        self.resend_after = resend_after
        self._message_type = message_type
        self._sequence = 0
        self._unacknowledged: dict[int, tuple[bytes, float]] = {}
        self._progress = 0.0

    @property
    def full(self) -> bool:
        """Whether nothing more may be sent before something is acknowledged."""
        return len(self._unacknowledged) >= self.limit

    @property
    def empty(self) -> bool:
        """Whether everything sent was acknowledged."""
        return not self._unacknowledged

    def add(self, payload: bytes, payload_type: PayloadType, now: float) -> bytes:
        """Number a payload, keep it, and return the frame to send now."""
        raw = Frame(self._message_type, self._sequence, payload, payload_type).encode()
        if self.empty:
            self._progress = now
        self._unacknowledged[self._sequence] = (raw, now)
        self._sequence += 1
        return raw

    def acknowledge(self, sequence: int, now: float) -> None:
        """Forget a frame. One that is unknown, or was acknowledged before, changes nothing."""
        if self._unacknowledged.pop(sequence, None) is not None:
            self._progress = now

    def overdue(self, now: float, most: int = 16) -> list[bytes]:
        """Up to ``most`` frames to send again now, oldest first."""
        due: list[bytes] = []
        for sequence, (raw, sent) in self._unacknowledged.items():
            if len(due) == most or now - sent < self.resend_after:
                break
            self._unacknowledged[sequence] = (raw, now)
            due.append(raw)
        return due

    def stalled(self, now: float) -> float:
        """For how many seconds the peer has acknowledged nothing of what it owes; 0 where it owes nothing."""
        return 0.0 if self.empty else now - self._progress


class Inbox:
    """Puts frames of one direction in order and drops duplicates.

    :ivar limit: how far ahead of the next frame another may be
    """

    def __init__(self, limit: int = 1024) -> None:
        self.limit = limit
        self._next = 0
        self._ahead: dict[int, Frame] = {}

    def takes(self, frame: Frame) -> bool:
        """Whether to acknowledge the frame: a duplicate, yes (its acknowledgement was lost); one too far ahead, no."""
        return frame.sequence < self._next + self.limit

    def accept(self, frame: Frame) -> list[Frame]:
        """The frames that are due with the arrival of this one, in order."""
        if frame.sequence < self._next or not self.takes(frame):
            return []
        self._ahead[frame.sequence] = frame
        due = []
        while self._next in self._ahead:
            due.append(self._ahead.pop(self._next))
            self._next += 1
        return due
