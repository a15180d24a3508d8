# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Sessions and their tokens."""

from __future__ import annotations

import datetime

import pytest
from ansible_collections.policyproof.ecr.lab.session_manager import sessions as module
from ansible_collections.policyproof.ecr.lab.session_manager.sessions import Sessions

OWNER = "arn:aws:iam::123456789012:user/deployer"
DOCUMENT = "SSM-SessionManagerRunShell"


@pytest.fixture
def sessions():
    return Sessions()


@pytest.fixture
def session(sessions):
    return sessions.start("i-1", OWNER, DOCUMENT)


def nothing():
    pass


def test_a_session_is_named_after_its_owner(session):
    assert session.id.startswith("deployer-")


def test_sessions_and_tokens_differ(sessions):
    started = [sessions.start("i-1", OWNER, DOCUMENT) for _turn in range(50)]
    assert len({session.id for session in started}) == 50
    assert len({session.token for session in started}) == 50


def test_a_token_opens_its_session_once(sessions, session):
    token = session.token
    assert sessions.claim(session.id, token, nothing) is session
    assert sessions.claim(session.id, token, nothing) is None


@pytest.mark.parametrize("token", ["", "wrong", "ü" * 64])
def test_another_token_opens_nothing(sessions, session, token):
    assert sessions.claim(session.id, token, nothing) is None
    assert sessions.claim(session.id, session.token, nothing) is session


def test_a_token_of_another_session_opens_nothing(sessions, session):
    other = sessions.start("i-1", OWNER, DOCUMENT)
    assert sessions.claim(session.id, other.token, nothing) is None


def test_an_unknown_session_opens_nothing(sessions):
    assert sessions.claim("deployer-0", "", nothing) is None


def test_resuming_replaces_the_token(sessions, session):
    before = session.token
    assert sessions.resume(session.id) is session
    assert sessions.claim(session.id, before, nothing) is None
    assert sessions.claim(session.id, session.token, nothing) is session


def test_an_open_session_is_not_opened_a_second_time(sessions, session):
    sessions.claim(session.id, session.token, nothing)
    sessions.resume(session.id)
    assert sessions.claim(session.id, session.token, nothing) is None


def test_ending_hangs_up_once_and_voids_the_token(sessions, session):
    hung_up = []
    sessions.claim(session.id, session.token, lambda: hung_up.append(session.id))
    assert sessions.end(session.id) is session
    assert sessions.end(session.id) is None
    assert hung_up == [session.id]
    assert session.ended is not None
    assert sessions.resume(session.id) is None


def test_an_ended_session_is_not_opened(sessions, session):
    token = session.token
    sessions.end(session.id)
    assert sessions.claim(session.id, token, nothing) is None


def test_lists(sessions):
    first, second = (sessions.start("i-1", OWNER, DOCUMENT) for _turn in range(2))
    second.started = first.started + datetime.timedelta(seconds=1)
    assert sessions.listed(active=True) == [second, first]
    sessions.end(first.id)
    assert sessions.listed(active=True) == [second]
    assert sessions.listed(active=False) == [first]


def test_a_session_that_nobody_opened_ends_by_itself(sessions, session):
    session.started -= module.IDLE + datetime.timedelta(seconds=1)
    opened = sessions.start("i-1", OWNER, DOCUMENT)
    assert sessions.listed(active=True) == [opened]
    assert sessions.listed(active=False) == [session]


def test_an_open_session_stays_however_old(sessions, session):
    sessions.claim(session.id, session.token, nothing)
    session.started -= 2 * module.IDLE
    sessions.start("i-1", OWNER, DOCUMENT)
    assert session in sessions.listed(active=True)


def test_history_is_bounded(sessions, monkeypatch):
    for _turn in range(module.HISTORY + 5):
        sessions.end(sessions.start("i-1", OWNER, DOCUMENT).id)
    assert len(sessions.listed(active=False)) == module.HISTORY


def test_a_session_shows_no_token(session):
    assert session.token not in repr(session)
