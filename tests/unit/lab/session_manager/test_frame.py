# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The data channel's frame, against the layout that the facts give, byte by byte."""

from __future__ import annotations

import contextlib
import hashlib
import json
import struct
import time

import pytest
from ansible_collections.policyproof.ecr.lab.session_manager.frame import (
    Frame,
    FrameError,
    PayloadType,
    acknowledged_sequence,
    acknowledgement,
    uuid_text,
)
from hypothesis import given
from hypothesis import strategies as st

MESSAGE_ID = bytes(range(16))


def test_layout_of_a_frame():
    raw = Frame("output_stream_data", 7, b"hello", PayloadType.OUTPUT, 3, MESSAGE_ID).encode()
    assert len(raw) == 120 + 5
    assert raw[:4] == b"\x00\x00\x00\x74"
    assert raw[4:36].rstrip() == b"output_stream_data"
    assert raw[36:40] == b"\x00\x00\x00\x01"
    created = struct.unpack(">Q", raw[40:48])[0] / 1000
    assert abs(created - time.time()) < 60
    assert raw[48:56] == b"\x00" * 7 + b"\x07"
    assert raw[56:64] == b"\x00" * 7 + b"\x03"
    assert raw[64:80] == MESSAGE_ID[8:] + MESSAGE_ID[:8]
    assert raw[80:112] == hashlib.sha256(b"hello").digest()
    assert raw[112:116] == b"\x00\x00\x00\x01"
    assert raw[116:120] == b"\x00\x00\x00\x05"
    assert raw[120:] == b"hello"


@given(
    sequence=st.integers(0, 2**63 - 1),
    payload=st.binary(max_size=4096),
    payload_type=st.integers(0, 2**32 - 1),
    flags=st.integers(0, 2**64 - 1),
    message_id=st.binary(min_size=16, max_size=16),
)
def test_decoding_undoes_encoding(sequence, payload, payload_type, flags, message_id):
    frame = Frame.decode(Frame("input_stream_data", sequence, payload, payload_type, flags, message_id).encode())
    assert frame.message_type == "input_stream_data"
    assert (frame.sequence, frame.payload, frame.payload_type) == (sequence, payload, payload_type)
    assert (frame.flags, frame.message_id) == (flags, message_id)


@pytest.mark.parametrize("padding", [b"\0", b" ", b" \0"])
def test_message_types_are_padded_with_nul_or_space(padding):
    raw = bytearray(Frame("acknowledge", 0, b"{}").encode())
    raw[4:36] = b"acknowledge" + (padding * 32)[:21]
    assert Frame.decode(bytes(raw)).message_type == "acknowledge"


def test_an_empty_payload_needs_no_digest():
    raw = bytearray(Frame("input_stream_data", 0, b"").encode())
    raw[80:112] = bytes(32)
    assert Frame.decode(bytes(raw)).payload == b""


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda raw: raw[:119], "119 bytes are less than a header of 120"),
        (lambda raw: b"", "0 bytes are less"),
        (lambda raw: b"\x00\x00\x00\x78" + raw[4:], "header of 120 bytes instead of 116"),
        (lambda raw: raw[:-1], "payload of 4 bytes instead of the 5 announced"),
        (lambda raw: raw + b"!", "payload of 6 bytes instead of the 5 announced"),
        (lambda raw: raw[:-1] + b"!", "does not have the digest"),
        (lambda raw: raw[:4] + b"\xff" * 32 + raw[36:], "not ASCII"),
    ],
)
def test_what_is_no_frame(spoil, reason):
    with pytest.raises(FrameError, match=reason):
        Frame.decode(spoil(Frame("input_stream_data", 0, b"hello").encode()))


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_a_frame_or_a_frame_error(raw):
    with contextlib.suppress(FrameError):
        Frame.decode(raw)


def test_an_acknowledgement_names_what_it_acknowledges():
    frame = Frame.decode(acknowledgement(Frame("output_stream_data", 41, b"x", message_id=MESSAGE_ID)))
    assert (frame.message_type, frame.sequence, frame.flags) == ("acknowledge", 0, 3)
    assert json.loads(frame.payload) == {
        "AcknowledgedMessageType": "output_stream_data",
        "AcknowledgedMessageId": "00010203-0405-0607-0809-0a0b0c0d0e0f",
        "AcknowledgedMessageSequenceNumber": 41,
        "IsSequentialMessage": True,
    }
    assert acknowledged_sequence(frame) == 41


@pytest.mark.parametrize("payload", [b"", b"[]", b"{}", b'{"AcknowledgedMessageSequenceNumber": "x"}', b"\xff"])
def test_an_acknowledgement_of_nothing(payload):
    with pytest.raises(FrameError):
        acknowledged_sequence(Frame("acknowledge", 0, payload))


def test_text_of_a_uuid():
    assert uuid_text(MESSAGE_ID) == "00010203-0405-0607-0809-0a0b0c0d0e0f"
