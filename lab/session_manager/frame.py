# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The binary frame of Session Manager's data channel (``ClientMessage`` in the agent's and the client's source).

A frame is a header of 120 bytes, big-endian, and a payload. Standard library only: the client program imports it,
and starts once for every task of a play.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import time
from enum import IntEnum

# Header length, message type, schema version, created, sequence number, flags, message id, payload digest, payload
# type, payload length.
_HEADER = struct.Struct(">I32sIQqQ16s32sII")

# What the header says of its own length: it does not count the payload length, its last field.
_HEADER_LENGTH = _HEADER.size - 4

INPUT = "input_stream_data"
OUTPUT = "output_stream_data"
ACKNOWLEDGE = "acknowledge"
CHANNEL_CLOSED = "channel_closed"

# Flags of an acknowledgement: it is a stream's first frame (1) and its last (2).
_SYN_AND_FIN = 3


class PayloadType(IntEnum):
    """What the payload of an input or output frame is."""

    NONE = 0
    OUTPUT = 1
    ERROR = 2
    SIZE = 3
    PARAMETER = 4
    HANDSHAKE_REQUEST = 5
    HANDSHAKE_RESPONSE = 6
    HANDSHAKE_COMPLETE = 7
    FLAG = 10
    STDERR = 11
    EXIT_CODE = 12


class FrameError(ValueError):
    """Bytes that are not a frame."""


class Frame:
    """One frame.

    :ivar message_type: ``input_stream_data``, ``output_stream_data``, ``acknowledge``, ``channel_closed``, …
    :ivar sequence: number within its direction of the stream, from 0
    :ivar payload: bytes
    :ivar payload_type: a number of :class:`PayloadType`, or one that this lab does not know
    :ivar flags: 64 bits
    :ivar message_id: 16 bytes, a UUID in its usual byte order
    """

    __slots__ = ("flags", "message_id", "message_type", "payload", "payload_type", "sequence")

    def __init__(
        self,
        message_type: str,
        sequence: int,
        payload: bytes,
        payload_type: int = PayloadType.OUTPUT,
        flags: int = 0,
        message_id: bytes | None = None,
    ) -> None:
        self.message_type = message_type
        self.sequence = sequence
        self.payload = payload
        self.payload_type = payload_type
        self.flags = flags
        self.message_id = os.urandom(16) if message_id is None else message_id

    def encode(self) -> bytes:
        """The frame's bytes, created now."""
        header = _HEADER.pack(
            _HEADER_LENGTH,
            self.message_type.encode("ascii").ljust(32),
            1,
            int(time.time() * 1000),
            self.sequence,
            self.flags,
            _swap_halves(self.message_id),
            hashlib.sha256(self.payload).digest(),
            self.payload_type,
            len(self.payload),
        )
        return header + self.payload

    @classmethod
    def decode(cls, raw: bytes) -> Frame:
        """The frame in ``raw``. Raises FrameError where it is short, of another layout, or not what was sent."""
        if len(raw) < _HEADER.size:
            raise FrameError(f"{len(raw)} bytes are less than a header of {_HEADER.size}")
        fields = _HEADER.unpack_from(raw)
        header_length, message_type, _version, _created, sequence, flags, message_id, digest, payload_type, length = (
            fields
        )
        if header_length != _HEADER_LENGTH:
            raise FrameError(f"header of {header_length} bytes instead of {_HEADER_LENGTH}")
        payload = bytes(raw[_HEADER.size :])
        if len(payload) != length:
            raise FrameError(f"payload of {len(payload)} bytes instead of the {length} announced")
        # An empty payload's digest is left zero by some clients.
        if payload and hashlib.sha256(payload).digest() != digest:
            raise FrameError("the payload does not have the digest announced")
        try:
            name = message_type.strip(b"\0 ").decode("ascii")
        except UnicodeDecodeError as error:
            raise FrameError("the message type is not ASCII") from error
        return cls(name, sequence, payload, payload_type, flags, _swap_halves(message_id))


def acknowledgement(frame: Frame) -> bytes:
    """The bytes of the frame that acknowledges ``frame``."""
    payload = json.dumps(
        {
            "AcknowledgedMessageType": frame.message_type,
            "AcknowledgedMessageId": uuid_text(frame.message_id),
            "AcknowledgedMessageSequenceNumber": frame.sequence,
            "IsSequentialMessage": True,
        }
    )
    return Frame(ACKNOWLEDGE, 0, payload.encode(), PayloadType.NONE, _SYN_AND_FIN).encode()


def acknowledged_sequence(frame: Frame) -> int:
    """Which sequence number an acknowledgement names. Raises FrameError where it names none."""
    try:
        return int(json.loads(frame.payload)["AcknowledgedMessageSequenceNumber"])
    except (ValueError, KeyError, TypeError) as error:
        raise FrameError("an acknowledgement that names no sequence number") from error


def uuid_text(message_id: bytes) -> str:
    """16 bytes in the usual text form of a UUID. (The module uuid costs a start 3 ms.)"""
    text = message_id.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _swap_halves(message_id: bytes) -> bytes:
    """On the wire a message id's less significant eight bytes come first."""
    return message_id[8:] + message_id[:8]
