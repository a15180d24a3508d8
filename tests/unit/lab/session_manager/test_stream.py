# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Both ends of a stream: numbering, acknowledging, resending, putting in order."""

from __future__ import annotations

import random

from ansible_collections.policyproof.ecr.lab.session_manager.frame import OUTPUT, Frame, PayloadType
from ansible_collections.policyproof.ecr.lab.session_manager.stream import Inbox, Outbox
from hypothesis import given
from hypothesis import strategies as st


def outbox(sent: int, **options) -> Outbox:
    box = Outbox(OUTPUT, **options)
    for number in range(sent):
        box.add(b"%d" % number, PayloadType.OUTPUT, 0.0)
    return box


def sequences(raws) -> list[int]:
    return [Frame.decode(raw).sequence for raw in raws]


def test_frames_are_numbered_from_zero():
    box = Outbox(OUTPUT)
    frames = [Frame.decode(box.add(b"x", PayloadType.OUTPUT, 0.0)) for _turn in range(3)]
    assert [frame.sequence for frame in frames] == [0, 1, 2]
    assert {frame.message_type for frame in frames} == {OUTPUT}


def test_what_is_not_acknowledged_is_sent_again_oldest_first():
    box = outbox(4, resend_after=1.0)
    box.acknowledge(1, 0.5)
    assert box.overdue(0.9) == []
    assert sequences(box.overdue(1.0)) == [0, 2, 3]


def test_a_frame_sent_again_rests_as_long_as_a_new_one():
    box = outbox(1, resend_after=1.0)
    assert sequences(box.overdue(1.0)) == [0]
    assert box.overdue(1.9) == []
    assert sequences(box.overdue(2.0)) == [0]


def test_a_frame_sent_again_is_the_same_frame():
    box = Outbox(OUTPUT, resend_after=1.0)
    raw = box.add(b"x", PayloadType.OUTPUT, 0.0)
    assert box.overdue(1.0) == [raw]


def test_not_more_are_sent_again_at_once_than_asked_for():
    box = outbox(20, resend_after=1.0)
    assert sequences(box.overdue(1.0, most=16)) == list(range(16))
    assert sequences(box.overdue(1.0, most=16)) == []
    box.acknowledge(0, 1.0)


def test_the_window_is_bounded():
    box = outbox(2, limit=3)
    assert not box.full
    box.add(b"x", PayloadType.OUTPUT, 0.0)
    assert box.full
    box.acknowledge(1, 0.0)
    assert not box.full


def test_an_acknowledgement_counts_once():
    box = outbox(1)
    assert not box.empty
    box.acknowledge(0, 1.0)
    box.acknowledge(0, 2.0)
    box.acknowledge(99, 2.0)
    assert box.empty


def test_a_peer_stalls_from_its_last_acknowledgement_on():
    box = outbox(2)
    assert box.stalled(5.0) == 5.0
    box.acknowledge(0, 6.0)
    assert box.stalled(8.0) == 2.0
    box.acknowledge(1, 8.0)
    assert box.stalled(1000.0) == 0.0
    box.add(b"x", PayloadType.OUTPUT, 1000.0)
    assert box.stalled(1001.0) == 1.0


def test_a_duplicate_is_acknowledged_and_dropped():
    box, frame = Inbox(), Frame(OUTPUT, 0, b"x")
    assert box.accept(frame) == [frame]
    assert box.takes(frame)
    assert box.accept(frame) == []


def test_what_is_too_far_ahead_is_not_acknowledged():
    box = Inbox(limit=4)
    assert box.takes(Frame(OUTPUT, 3, b""))
    assert not box.takes(Frame(OUTPUT, 4, b""))
    assert box.accept(Frame(OUTPUT, 4, b"")) == []
    assert sequences(frame.encode() for n in range(4) for frame in box.accept(Frame(OUTPUT, n, b""))) == [0, 1, 2, 3]


@given(seed=st.integers(0, 2**32), count=st.integers(1, 60), copies=st.integers(1, 3))
def test_any_order_with_duplicates_comes_out_once_and_in_order(seed, count, copies):
    frames = [Frame(OUTPUT, number, b"%d" % number) for number in range(count)] * copies
    random.Random(seed).shuffle(frames)
    box = Inbox()
    assert [due.sequence for frame in frames for due in box.accept(frame)] == list(range(count))
