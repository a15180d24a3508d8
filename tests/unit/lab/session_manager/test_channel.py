# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A channel between a scripted client and a scripted shell."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Awaitable, Callable

import pytest
from ansible_collections.policyproof.ecr.lab.session_manager import channel as module
from ansible_collections.policyproof.ecr.lab.session_manager.channel import Channel
from ansible_collections.policyproof.ecr.lab.session_manager.frame import (
    ACKNOWLEDGE,
    CHANNEL_CLOSED,
    INPUT,
    OUTPUT,
    Frame,
    PayloadType,
    acknowledged_sequence,
    acknowledgement,
)


class ScriptedShell:
    """A shell whose output and exit the test decides."""

    def __init__(self) -> None:
        self.written = b""
        self.size: tuple[int, int] | None = None
        self.pending = 0
        self._output: asyncio.Queue[bytes] = asyncio.Queue()
        self._exit = asyncio.Event()

    def prints(self, data: bytes) -> None:
        """Output for the channel to pass on."""
        self._output.put_nowait(data)

    def exits(self) -> None:
        """Exit; its terminal stays open, as a daemon would keep it."""
        self._exit.set()

    def resize(self, rows: int, columns: int) -> None:
        """Remember the size."""
        self.size = (rows, columns)

    async def read(self, size: int) -> bytes:
        """The next output."""
        return await self._output.get()

    def available(self, size: int) -> bytes | None:
        """Output that waits."""
        return None if self._output.empty() else self._output.get_nowait()

    def write(self, data: bytes) -> None:
        """Remember the input."""
        self.written += data

    async def exited(self) -> None:
        """Wait for the exit."""
        await self._exit.wait()


class Client:
    """The client's end of the socket. It acknowledges unless told otherwise."""

    def __init__(self) -> None:
        self.received: list[Frame] = []
        self.acknowledged: list[int] = []
        self.acknowledges = True
        self._to_channel: asyncio.Queue[bytes | str | None] = asyncio.Queue()
        self._news = asyncio.Event()
        self._sequence = 0

    async def send(self, message: bytes, /) -> None:
        """The channel sends the client a message."""
        frame = Frame.decode(message)
        if frame.message_type == ACKNOWLEDGE:
            self.acknowledged.append(acknowledged_sequence(frame))
        else:
            self.received.append(frame)
            if self.acknowledges and frame.message_type == OUTPUT:
                self._to_channel.put_nowait(acknowledgement(frame))
        self._news.set()

    async def receive(self) -> bytes | str:
        """The channel takes the client's next message."""
        message = await self._to_channel.get()
        if message is None:
            raise EOFError
        return message

    def sends(self, payload: bytes, payload_type: int = PayloadType.OUTPUT, sequence: int | None = None) -> None:
        """Send an input frame, by default the next."""
        if sequence is None:
            sequence, self._sequence = self._sequence, self._sequence + 1
        self.sends_raw(Frame(INPUT, sequence, payload, payload_type).encode())

    def sends_raw(self, raw: bytes) -> None:
        """Send bytes."""
        self._to_channel.put_nowait(raw)

    def leaves(self) -> None:
        """Disconnect without a word."""
        self._to_channel.put_nowait(None)

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until the condition holds."""
        while not condition():
            self._news.clear()
            await asyncio.wait_for(self._news.wait(), 5)

    async def shakes_hands(self) -> None:
        """Do the client's part of the handshake, and see it completed."""
        await self.until(lambda: self.received)
        self.sends(b"{}", PayloadType.HANDSHAKE_RESPONSE)
        await self.until(lambda: len(self.received) > 1)

    def output(self) -> bytes:
        """What came of the shell's output, each frame once."""
        frames = {frame.sequence: frame.payload for frame in self.received if frame.payload_type == PayloadType.OUTPUT}
        return b"".join(frames[sequence] for sequence in sorted(frames))


Script = Callable[[Client, ScriptedShell, Channel], Awaitable[None]]


def serve(script: Script, acknowledges: bool = True) -> tuple[Client, ScriptedShell]:
    """Serve one session while ``script`` plays client and shell. Both must come to an end within ten seconds.

    :param acknowledges: whether the client acknowledges, from the first frame on
    """

    async def both() -> tuple[Client, ScriptedShell]:
        client, shell = Client(), ScriptedShell()
        client.acknowledges = acknowledges
        channel = Channel(client, shell, "session-1")
        async with asyncio.timeout(10):
            await asyncio.gather(channel.serve(), script(client, shell, channel))
        return client, shell

    return asyncio.run(both())


def test_the_handshake():
    async def script(client, shell, channel):
        await client.shakes_hands()
        client.leaves()

    client, _shell = serve(script)
    request, complete = client.received[:2]
    assert (request.sequence, request.payload_type) == (0, PayloadType.HANDSHAKE_REQUEST)
    actions = json.loads(request.payload)["RequestedClientActions"]
    assert actions[0]["ActionParameters"]["SessionType"] == "Standard_Stream"
    assert (complete.sequence, complete.payload_type) == (1, PayloadType.HANDSHAKE_COMPLETE)
    assert client.acknowledged == [0]


def test_output_comes_in_order_from_sequence_two_on():
    async def script(client, shell, channel):
        await client.shakes_hands()
        for number in range(5):
            shell.prints(b"%d," % number)
        await client.until(lambda: client.output().endswith(b"4,"))
        client.leaves()

    client, _shell = serve(script)
    assert [frame.sequence for frame in client.received[2:]] == [2, 3, 4, 5, 6]
    assert client.output() == b"0,1,2,3,4,"


def test_nothing_is_printed_before_the_handshake():
    async def script(client, shell, channel):
        shell.prints(b"too early")
        await client.until(lambda: client.received)
        await asyncio.sleep(0.05)
        assert [frame.payload_type for frame in client.received] == [PayloadType.HANDSHAKE_REQUEST]
        client.leaves()

    serve(script)


def test_input_waits_for_the_shells_first_output():
    async def script(client, shell, channel):
        await client.shakes_hands()
        client.sends(b"early\n")
        await client.until(lambda: 1 in client.acknowledged)
        assert shell.written == b""
        shell.prints(b"$ ")
        await client.until(client.output)
        assert shell.written == b"early\n"
        client.sends(b"late\n")
        await client.until(lambda: 2 in client.acknowledged)
        client.leaves()

    _client, shell = serve(script)
    assert shell.written == b"early\nlate\n"


def test_what_the_client_dropped_is_sent_again():
    async def script(client, shell, channel):
        await client.until(lambda: len(client.received) == 3)
        client.acknowledges = True
        client.sends(b"{}", PayloadType.HANDSHAKE_RESPONSE)
        await client.until(lambda: client.received[-1].payload_type == PayloadType.HANDSHAKE_COMPLETE)
        client.leaves()

    client, _shell = serve(script, acknowledges=False)
    assert [frame.sequence for frame in client.received[:3]] == [0, 0, 0]


def test_a_duplicate_is_acknowledged_again_and_written_once():
    async def script(client, shell, channel):
        await client.shakes_hands()
        shell.prints(b"$ ")
        await client.until(client.output)
        client.sends(b"once", sequence=1)
        client.sends(b"once", sequence=1)
        await client.until(lambda: client.acknowledged.count(1) == 2)
        client.leaves()

    _client, shell = serve(script)
    assert shell.written == b"once"


def test_input_out_of_order_is_put_in_order():
    async def script(client, shell, channel):
        await client.shakes_hands()
        shell.prints(b"$ ")
        await client.until(client.output)
        for sequence in (3, 1, 2):
            client.sends(b"%d" % sequence, sequence=sequence)
        await client.until(lambda: len(client.acknowledged) == 4)
        client.leaves()

    _client, shell = serve(script)
    assert shell.written == b"123"


def test_acknowledgements_are_not_acknowledged():
    async def script(client, shell, channel):
        await client.shakes_hands()
        await asyncio.sleep(0.05)
        client.leaves()

    client, _shell = serve(script)
    assert client.acknowledged == [0]


def test_input_that_the_shell_does_not_read_stays_with_the_client():
    async def script(client, shell, channel):
        await client.shakes_hands()
        shell.prints(b"$ ")
        await client.until(client.output)
        shell.pending = module.MAXIMUM_PENDING_INPUT
        client.sends(b"x", sequence=1)
        await asyncio.sleep(0.05)
        assert client.acknowledged == [0]
        shell.pending = 0
        client.sends(b"x", sequence=1)
        await client.until(lambda: 1 in client.acknowledged)
        client.leaves()

    _client, shell = serve(script)
    assert shell.written == b"x"


def test_output_waits_for_a_client_that_acknowledges_nothing():
    async def script(client, shell, channel):
        await client.shakes_hands()
        client.acknowledges = False
        for _turn in range(400):
            shell.prints(b"x")
        await client.until(lambda: len({frame.sequence for frame in client.received}) == 2 + 256)
        await asyncio.sleep(0.1)
        assert max(frame.sequence for frame in client.received) == 1 + 256
        client.acknowledges = True
        await client.until(lambda: len(client.output()) == 400)
        client.leaves()

    serve(script)


@pytest.mark.parametrize(
    ("payload", "size"),
    [(b'{"cols": 80, "rows": 24}', (24, 80)), (b'{"cols": 0, "rows": 0}', None), (b'{"cols": 99999, "rows": 1}', None)],
)
def test_terminal_sizes(payload, size):
    async def script(client, shell, channel):
        await client.shakes_hands()
        client.sends(payload, PayloadType.SIZE)
        await client.until(lambda: 1 in client.acknowledged)
        client.leaves()

    _client, shell = serve(script)
    assert shell.size == size


def test_when_the_shell_exits_its_last_words_and_the_end_are_sent():
    async def script(client, shell, channel):
        await client.shakes_hands()
        shell.prints(b"last words")
        shell.exits()
        await client.until(lambda: client.received[-1].message_type == CHANNEL_CLOSED)

    client, _shell = serve(script)
    assert client.output() == b"last words"
    assert json.loads(client.received[-1].payload)["SessionId"] == "session-1"


def test_the_end_of_the_terminal_is_the_end_of_the_session():
    async def script(client, shell, channel):
        await client.shakes_hands()
        shell.prints(b"")
        await client.until(lambda: client.received[-1].message_type == CHANNEL_CLOSED)

    serve(script)


def test_hanging_up_ends_the_session():
    async def script(client, shell, channel):
        await client.shakes_hands()
        channel.hang_up()
        await client.until(lambda: client.received[-1].message_type == CHANNEL_CLOSED)

    serve(script)


def test_a_client_ends_the_session_with_a_flag():
    async def script(client, shell, channel):
        await client.shakes_hands()
        client.sends(struct.pack(">I", 2), PayloadType.FLAG)
        await client.until(lambda: client.received[-1].message_type == CHANNEL_CLOSED)

    serve(script)


def test_a_client_that_leaves_ends_the_session_without_more_words():
    async def script(client, shell, channel):
        await client.shakes_hands()
        client.leaves()

    client, _shell = serve(script)
    assert CHANNEL_CLOSED not in [frame.message_type for frame in client.received]


def test_a_client_that_sends_no_frame_is_left():
    async def script(client, shell, channel):
        await client.shakes_hands()
        client.sends_raw(b"no frame")

    serve(script)


def test_a_client_without_handshake_is_left(monkeypatch):
    monkeypatch.setattr(module, "HANDSHAKE_TIMEOUT", 0.05)

    async def script(client, shell, channel):
        shell.prints(b"secret")

    client, _shell = serve(script)
    assert client.output() == b""


def test_a_client_that_acknowledges_nothing_for_long_is_left(monkeypatch):
    monkeypatch.setattr(module, "STALL_TIMEOUT", 0.3)

    async def script(client, shell, channel):
        await client.shakes_hands()
        client.acknowledges = False
        shell.prints(b"x")

    serve(script)
