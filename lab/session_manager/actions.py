# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The SSM API's session actions, which moto 5.2.5 lacks."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from functools import partial
from typing import Any

from moto.core.responses import ActionResult
from moto.ssm.exceptions import SSMException
from moto.ssm.responses import SimpleSystemManagerResponse
from moto.sts.models import sts_backends
from moto.utilities.utils import get_partition

from .managed_instances import instance_tags, managed_instances, matching
from .paging import page
from .sessions import Session, Sessions

# The document that Session Manager uses where none is named; it opens a shell.
DOCUMENT = "SSM-SessionManagerRunShell"


class SessionActions:
    """Adds the actions to moto's SSM, and takes them out again."""

    def __init__(self, sessions: Sessions, connected: Callable[[str], bool], data_channel_url: str) -> None:
        """
        :param connected: whether an instance, by its id, runs and its agent would answer
        :param data_channel_url: what every StreamUrl begins with
        """
        self._sessions = sessions
        self._connected = connected
        self._data_channel_url = data_channel_url
        self._before: dict[str, object] = {}

    def install(self) -> None:
        """Make moto answer the actions."""
        for action in (
            self.start_session,
            self.resume_session,
            self.terminate_session,
            self.describe_sessions,
            self.get_connection_status,
            self.describe_instance_information,
        ):
            name = action.__name__
            self._before[name] = getattr(SimpleSystemManagerResponse, name, None)
            setattr(SimpleSystemManagerResponse, name, _method(action))

    def remove(self) -> None:
        """Leave moto as it was."""
        for name, before in self._before.items():
            if before is None:
                delattr(SimpleSystemManagerResponse, name)
            else:
                setattr(SimpleSystemManagerResponse, name, before)
        self._before = {}

    def start_session(self, request: Any) -> dict[str, Any]:
        """StartSession. Raises SSMException: TargetNotConnected, InvalidDocument."""
        target, document = request._get_param("Target"), request._get_param("DocumentName") or DOCUMENT
        if document != DOCUMENT:
            raise SSMException("InvalidDocument", f"Document with name {document} does not exist.")
        if not self._connected(target):
            raise SSMException("TargetNotConnected", f"{target} is not connected.")
        session = self._sessions.start(target, _caller(request), document, request._get_param("Reason") or "")
        return self._admission(session)

    def resume_session(self, request: Any) -> dict[str, Any]:
        """ResumeSession. Raises SSMException: DoesNotExistException."""
        session_id = request._get_param("SessionId")
        session = self._sessions.resume(session_id)
        if session is None:
            raise SSMException("DoesNotExistException", f"Session {session_id} does not exist.")
        return self._admission(session)

    def terminate_session(self, request: Any) -> dict[str, Any]:
        """TerminateSession. A session that has ended, or never was, is no error."""
        session_id = request._get_param("SessionId")
        self._sessions.end(session_id)
        return {"SessionId": session_id}

    def describe_sessions(self, request: Any) -> dict[str, Any]:
        """DescribeSessions. Raises SSMException: InvalidFilterKey, InvalidNextToken."""
        sessions = self._sessions.listed(active=request._get_param("State") == "Active")
        for condition in request._get_param("Filters") or []:
            sessions = [session for session in sessions if _admits(condition["key"], condition["value"], session)]
        chosen, token = page(len(sessions), request._get_param("MaxResults"), request._get_param("NextToken"))
        return {"Sessions": [_description(session) for session in sessions[chosen]], "NextToken": token}

    def get_connection_status(self, request: Any) -> dict[str, Any]:
        """GetConnectionStatus."""
        target = request._get_param("Target")
        return {"Target": target, "Status": "connected" if self._connected(target) else "notconnected"}

    def describe_instance_information(self, request: Any) -> dict[str, Any]:
        """DescribeInstanceInformation. Raises SSMException: those of its filters and pages."""
        where = (request.current_account, request.region)
        filters = [(f["Key"], f["Values"]) for f in request._get_param("Filters") or []]
        filters += [(f["key"], f["valueSet"]) for f in request._get_param("InstanceInformationFilterList") or []]
        instances = matching(managed_instances(*where, self._connected), filters, partial(instance_tags, *where))
        maximum, token = request._get_param("MaxResults"), request._get_param("NextToken")
        chosen, token = page(len(instances), maximum, token, default=10)
        return {"InstanceInformationList": instances[chosen], "NextToken": token}

    def _admission(self, session: Session) -> dict[str, Any]:
        url = f"{self._data_channel_url}/v1/data-channel/{session.id}?role=publish_subscribe"
        return {"SessionId": session.id, "TokenValue": session.token, "StreamUrl": url}


def _method(action: Callable[[Any], dict[str, Any]]) -> Callable[[Any], ActionResult]:
    """An action as moto wants it: a plain function in the class, which returns a result to serialize."""

    def answer(request: Any) -> ActionResult:
        return ActionResult({key: value for key, value in action(request).items() if value is not None})

    return answer


def _caller(request: Any) -> str:
    """ARN of whoever signed the request."""
    backend = sts_backends[request.current_account][get_partition(request.region)]
    _user, arn, _account = backend.get_caller_identity(request.get_access_key(), request.region)
    return str(arn)


def _admits(key: str, value: str, session: Session) -> bool:
    """Whether a session passes one filter of DescribeSessions."""
    if key in ("InvokedAfter", "InvokedBefore"):
        moment = datetime.datetime.fromisoformat(value)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=datetime.UTC)
        return session.started > moment if key == "InvokedAfter" else session.started < moment
    values = {"Target": session.target, "Owner": session.owner, "SessionId": session.id, "Status": _status(session)}
    if key not in values:
        raise SSMException("InvalidFilterKey", f"The filter key {key} is not valid.")
    return values[key] == value


def _status(session: Session) -> str:
    if session.ended is not None:
        return "Terminated"
    return "Connecting" if session.hang_up is None else "Connected"


def _description(session: Session) -> dict[str, Any]:
    return {
        "SessionId": session.id,
        "Target": session.target,
        "Status": _status(session),
        "StartDate": session.started,
        "EndDate": session.ended,
        "DocumentName": session.document,
        "Owner": session.owner,
        "Reason": session.reason or None,
    }
