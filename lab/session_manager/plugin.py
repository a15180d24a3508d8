# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lab's session-manager-plugin: stands in for the program that AWS publishes, for the lab's own sessions.

Called as that program is: ``session-manager-plugin RESPONSE REGION StartSession PROFILE PARAMETERS ENDPOINT``.
RESPONSE is what StartSession answered, as JSON, or the name of an environment variable that holds it. Standard input
goes to the instance's shell, its output comes on standard output, and the program ends when either does.

Standard library only, and little of it: it starts once for every task of a play.
"""

from __future__ import annotations

import json
import os
import select
import sys
import time

if not __package__:
    # Run as a script: find the package that this file belongs to (PEP 366).
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__)))))
    __package__ = "lab.session_manager"
    __import__(__package__)

from .frame import (
    ACKNOWLEDGE,
    CHANNEL_CLOSED,
    INPUT,
    OUTPUT,
    Frame,
    FrameError,
    PayloadType,
    acknowledged_sequence,
    acknowledgement,
    uuid_text,
)
from .stream import Inbox, Outbox
from .websocket_client import TEXT, WebSocketClient, WebSocketError

# Of session-manager-plugin, whose behaviour this is.
CLIENT_VERSION = "1.2.0.0"

# Newer AWS CLIs hand the response over in an environment variable whose name begins so.
_RESPONSE_VARIABLE = "AWS_SSM_START_SESSION_RESPONSE"

# Bytes of input in a frame.
_CHUNK = 1024

_STDIN = 0
_STDOUT = 1

# Seconds after which a server that acknowledges nothing is given up.
_STALL_TIMEOUT = 60.0


class SessionError(Exception):
    """Why there is no session, or none any more, in one sentence."""


class Session:
    """One session, from its token to its end."""

    def __init__(self, response: dict[str, str]) -> None:
        """Open the data channel that ``response`` names. Raises WebSocketError, KeyError."""
        self._id = response["SessionId"]
        self._socket = WebSocketClient(response["StreamUrl"])
        self._inbox = Inbox()
        self._outbox = Outbox(INPUT, resend_after=0.5)
        self._open = False
        self._over = False
        opening = {
            "MessageSchemaVersion": "1.0",
            "RequestId": uuid_text(os.urandom(16)),
            "TokenValue": response["TokenValue"],
            "ClientId": uuid_text(os.urandom(16)),
            "ClientVersion": CLIENT_VERSION,
        }
        self._socket.send(json.dumps(opening).encode(), TEXT)

    def run(self) -> None:
        """Pass input and output on until either ends. Raises WebSocketError, FrameError, SessionError, OSError."""
        while not self._over:
            # Input only once the server may get it, and only as fast as it takes it.
            listening = [self._socket.fileno()] + ([_STDIN] if self._open and not self._outbox.full else [])
            readable, _writable, _broken = select.select(
                listening, [], [], None if self._outbox.empty else self._outbox.resend_after
            )
            if self._socket.fileno() in readable:
                for message in self._socket.receive():
                    self._take(Frame.decode(message))
                    if self._over:
                        # What follows is the connection's end, which is no failure now.
                        break
            if _STDIN in readable and not self._pass_input():
                break
            self._resend()
        self._socket.close()

    def _take(self, frame: Frame) -> None:
        if frame.message_type == ACKNOWLEDGE:
            self._outbox.acknowledge(acknowledged_sequence(frame), time.monotonic())
        elif frame.message_type == CHANNEL_CLOSED:
            write_out(f"\n\nExiting session with sessionId: {self._id}.\n\n".encode())
            self._over = True
        elif frame.message_type == OUTPUT and self._inbox.takes(frame):
            self._socket.send(acknowledgement(frame))
            for due in self._inbox.accept(frame):
                self._act_on(due)

    def _act_on(self, frame: Frame) -> None:
        if frame.payload_type in (PayloadType.OUTPUT, PayloadType.ERROR, PayloadType.STDERR):
            write_out(frame.payload)
        elif frame.payload_type == PayloadType.HANDSHAKE_REQUEST:
            self._send(_handshake_response(frame.payload), PayloadType.HANDSHAKE_RESPONSE)
        elif frame.payload_type == PayloadType.HANDSHAKE_COMPLETE:
            self._open = True

    def _pass_input(self) -> bool:
        """Send what standard input holds. False at its end.

        That ends the session, whatever is still under way: whoever closed the input waits for this program.
        """
        data = os.read(_STDIN, _CHUNK)
        if data:
            # A lone line feed is somebody pressing the return key.
            self._send(b"\r" if data == b"\n" else data, PayloadType.OUTPUT)
        return bool(data)

    def _send(self, payload: bytes, payload_type: PayloadType) -> None:
        self._socket.send(self._outbox.add(payload, payload_type, time.monotonic()))

    def _resend(self) -> None:
        now = time.monotonic()
        if self._outbox.stalled(now) > _STALL_TIMEOUT:
            raise SessionError(f"the server has acknowledged nothing for {_STALL_TIMEOUT:.0f} seconds")
        for raw in self._outbox.overdue(now):
            self._socket.send(raw)


def write_out(data: bytes) -> None:
    """Write everything to standard output, unbuffered."""
    while data:
        data = data[os.write(_STDOUT, data) :]


def _handshake_response(request: bytes) -> bytes:
    try:
        actions = [action["ActionType"] for action in json.loads(request)["RequestedClientActions"]]
    except (ValueError, KeyError, TypeError) as error:
        raise SessionError("the server's handshake is none") from error
    processed = [{"ActionType": name, "ActionStatus": 1, "ActionResult": None, "Error": ""} for name in actions]
    return json.dumps({"ClientVersion": CLIENT_VERSION, "ProcessedClientActions": processed, "Errors": None}).encode()


def _response(argument: str) -> dict[str, str]:
    """The response of StartSession in an argument. Raises SessionError."""
    if argument.startswith(_RESPONSE_VARIABLE):
        argument = os.environ.pop(argument, "")
    try:
        response = json.loads(argument)
        return {key: str(response[key]) for key in ("SessionId", "TokenValue", "StreamUrl")}
    except (ValueError, KeyError, TypeError) as error:
        raise SessionError("the first argument is not a response of StartSession") from error


def main(arguments: list[str]) -> int:
    """Run one session; the exit status. Without arguments, say what this is; ``--version`` prints the version."""
    if not arguments:
        print("The lab's session-manager-plugin is installed. Tools that open Session Manager sessions start it.")
        return 0
    if arguments == ["--version"]:
        print(CLIENT_VERSION)
        return 0
    operation = arguments[2] if len(arguments) > 2 else "StartSession"
    try:
        if operation != "StartSession":
            raise SessionError(f"{operation} is not an operation of this program")
        response = _response(arguments[0])
        # aws_ssm waits for this line.
        write_out(f"\nStarting session with SessionId: {response['SessionId']}\n".encode())
        Session(response).run()
    except (SessionError, WebSocketError, FrameError) as error:
        # On standard output, as the program that AWS publishes does: standard error stays quiet.
        write_out(f"\nCannot perform start session: {error}\n".encode())
        return 1
    except (BrokenPipeError, KeyboardInterrupt):
        return 1
    except OSError:
        # Whoever read the output is gone.
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
