# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The time that one run of the probe may take in all."""

from __future__ import annotations

import threading
import time
from typing import Callable, Generic, TypeVar

from .faults import Fault

T = TypeVar("T")


class Deadline:
    """A moment by which everything must have ended.

    :ivar seconds: how long was allowed
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def remaining(self) -> float:
        """Seconds left; never negative."""
        return max(0.0, self._end - time.monotonic())

    def timed_out(self, step: str) -> Fault:
        """The fault of not having ended in time."""
        return Fault("timed_out", step=step, seconds=f"{self.seconds:g}")

    def keep(self, step: str) -> float:
        """Seconds left.

        :raises Fault: ``timed_out``, if there are none
        """
        left = self.remaining()
        if left <= 0:
            raise self.timed_out(step)
        return left


class Task(Generic[T]):
    """Work in a thread of its own, which is given up, not waited for, when the time is over.

    A resolver that does not answer can be interrupted in no other way; the process ends soon after.
    """

    def __init__(self, work: Callable[[], T], step: str, deadline: Deadline) -> None:
        self._work = work
        self._step = step
        self._deadline = deadline
        self._result: list[T] = []
        self._error: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._result.append(self._work())
        except BaseException as error:  # handed on by result(), in the thread that asks
            self._error.append(error)

    def result(self) -> T:
        """What the work returned.

        :raises Fault: ``timed_out``, and whatever the work raised
        """
        self._thread.join(self._deadline.remaining())
        if self._error:
            raise self._error[0]
        if not self._result:
            raise self._deadline.timed_out(self._step)
        return self._result[0]
