# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Running a client program: its lines as they come, its end within the time allowed."""

from __future__ import annotations

import ctypes
import os
import selectors
import signal
import subprocess
from dataclasses import dataclass, field
from typing import Callable, Mapping, Sequence

from .deadline import Deadline

_PASSED_ON = (
    "PATH",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "XDG_RUNTIME_DIR",
    "DBUS_SESSION_BUS_ADDRESS",
    "DOCKER_HOST",
    "DOCKER_CONTEXT",
    "DOCKER_TLS",
    "DOCKER_TLS_VERIFY",
    "DOCKER_CERT_PATH",
    "DOCKER_API_VERSION",
    "CONTAINERS_CONF",
    "CONTAINERS_REGISTRIES_CONF",
    "CONTAINERS_STORAGE_CONF",
    "CONTAINERD_ADDRESS",
    "CONTAINERD_SNAPSHOTTER",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
)
_SAFE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of prctl(2)
_GRACE = 0.3


def _c_library() -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL(None)
    except OSError:
        return None


_LIBC = _c_library()


@dataclass
class Ran:
    """How a program ended.

    :ivar code: exit status; negative: the signal that ended it
    :ivar lines: what it printed on both streams, line by line
    :ivar stopped: whether it was stopped for what it printed
    :ivar late: whether it was stopped because the time was over
    :ivar silent: whether it was stopped because it said nothing for too long
    """

    code: int = 0
    lines: list[str] = field(default_factory=list)
    stopped: bool = False
    late: bool = False
    silent: bool = False

    @property
    def text(self) -> str:
        """What it printed, whole."""
        return "\n".join(self.lines)


def environment(home: str, **more: str) -> dict[str, str]:
    """The environment of a client: what it needs of ours, and no credentials.

    :arg home: directory that it takes for its user's own
    """
    kept = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    kept["PATH"] = os.pathsep.join(filter(None, (kept.get("PATH"), _SAFE_PATH)))
    kept.update(HOME=home, **more)
    return kept


def run(
    argv: Sequence[str],
    env: Mapping[str, str],
    deadline: Deadline,
    stdin: bytes = b"",
    stop_at: Callable[[str], bool] | None = None,
    patience: float | None = None,
) -> Ran:
    """Run a program until it ends, says what it need not go on after, or the time is over.

    :arg stdin: what it reads; at most what a pipe takes at once may be a password
    :arg stop_at: told each line; True ends the program
    :arg patience: seconds for which it may say nothing
    :raises FileNotFoundError: if there is no such program
    :raises OSError: if it cannot be started
    """
    # AnsibleModule.run_command neither stops a program at a line it says nor ends it when it falls silent.
    process = subprocess.Popen(  # pylint: disable=ansible-bad-function
        list(argv),
        env=dict(env),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=_die_with_parent,
        bufsize=0,
    )
    ran = Ran()
    try:
        _converse(process, stdin, deadline, stop_at, patience, ran)
    finally:
        _end(process, 0.0 if ran.stopped or ran.late or ran.silent else _GRACE)
    ran.code = process.returncode
    return ran


def _converse(
    process: subprocess.Popen[bytes],
    stdin: bytes,
    deadline: Deadline,
    stop_at: Callable[[str], bool] | None,
    patience: float | None,
    ran: Ran,
) -> None:
    """Write and read at the same time, until the program closes its output."""
    if process.stdin is None or process.stdout is None:
        raise ValueError("a program is talked to through pipes")
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        if stdin:
            os.set_blocking(process.stdin.fileno(), False)
            selector.register(process.stdin, selectors.EVENT_WRITE)
        else:
            process.stdin.close()
        while True:
            left = deadline.remaining()
            if left <= 0:
                ran.late = True
                return
            ready = selector.select(left if patience is None else min(left, patience))
            if not ready and patience is not None and patience < left:
                ran.silent = True
                return
            for key, _events in ready:
                if key.fileobj is process.stdin:
                    stdin = _write_some(process, stdin)
                    if not stdin:
                        selector.unregister(process.stdin)
                        process.stdin.close()
                    continue
                chunk = os.read(process.stdout.fileno(), 65536)
                *lines, rest = (rest + chunk).replace(b"\r", b"\n").split(b"\n")
                if not chunk:
                    lines.append(rest)
                if _heard(lines, stop_at, ran) or not chunk:
                    return


def _heard(lines: list[bytes], stop_at: Callable[[str], bool] | None, ran: Ran) -> bool:
    for line in lines:
        said = line.decode("utf-8", "replace").strip()
        if not said:
            continue
        ran.lines.append(said)
        if stop_at is not None and stop_at(said):
            ran.stopped = True
            return True
    return False


def _write_some(process: subprocess.Popen[bytes], stdin: bytes) -> bytes:
    if process.stdin is None:
        raise ValueError("a program is told something through a pipe")
    try:
        return stdin[os.write(process.stdin.fileno(), stdin) :]
    except BrokenPipeError:
        return b""


def _end(process: subprocess.Popen[bytes], grace: float) -> None:
    """Wait a moment for its end, else end it with all that it started."""
    for stream in (process.stdin, process.stdout):
        if stream is not None and not stream.closed:
            stream.close()
    for ending, patience in ((None, grace), (signal.SIGTERM, _GRACE), (signal.SIGKILL, None)):
        try:
            if ending is not None:
                os.killpg(process.pid, ending)
            process.wait(patience)
            return
        except subprocess.TimeoutExpired:
            continue
        except ProcessLookupError:
            process.wait()
            return


def _die_with_parent() -> None:
    """A client must not outlive a probe that is killed; Linux ends it then."""
    if _LIBC is not None and hasattr(_LIBC, "prctl"):
        _LIBC.prctl(_DIE_WITH_PARENT, signal.SIGKILL)
