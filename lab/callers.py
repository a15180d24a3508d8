# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who calls: access keys, as the users and role sessions that moto's IAM and STS gave them to."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import dataclass, field

from moto.iam.models import AccessKey, IAMBackend, User, iam_backends
from moto.sts.models import AssumedRole, sts_backends


@dataclass(frozen=True)
class Caller:
    """A principal, as it called.

    :ivar account: twelve digits
    :ivar principal_arn: ARN of the user or the role (``aws:PrincipalArn``)
    :ivar session_arn: the ARN that STS shows: of the role's session, or of the user
    :ivar user_id: ``aws:userid``; of a role's session, ``<role id>:<session name>``
    :ivar session_policy: the document given to AssumeRole, as text; None without one
    """

    account: str
    principal_arn: str
    session_arn: str
    user_id: str = ""
    session_policy: str | None = None

    @property
    def is_role(self) -> bool:
        """Whether this is a role's session and not a user."""
        return ":assumed-role/" in self.session_arn

    @property
    def name(self) -> str:
        """Name of the role or the user, without its path."""
        return self.principal_arn.rpartition("/")[2]

    @property
    def names(self) -> frozenset[str]:
        """Every name that a person may call it by: both ARNs, the role's or user's name, the session's name."""
        return frozenset({self.principal_arn, self.session_arn, self.name, self.session_arn.rpartition("/")[2]})


@dataclass(frozen=True)
class Credentials:
    """What an access key stands for.

    :ivar session_token: None for a user's long-term key
    :ivar expiration: aware; None for a user's long-term key
    """

    access_key: str
    secret_key: str = field(repr=False)
    session_token: str | None = field(repr=False)
    expiration: datetime.datetime | None
    caller: Caller


def caller_of(access_key_id: str) -> Caller | None:
    """Whose access key this is; None if the lab never gave it out, or it was deleted, deactivated or has expired."""
    credentials = credentials_of(access_key_id)
    if credentials is None or expired(credentials, datetime.datetime.now(datetime.UTC)):
        return None
    return credentials.caller


def expired(credentials: Credentials, now: datetime.datetime) -> bool:
    """Whether a session is over."""
    return credentials.expiration is not None and credentials.expiration <= now


def credentials_of(access_key_id: str) -> Credentials | None:
    """What the access key stands for, expired or not; None if the lab does not know it."""
    for session in _sessions():
        if session.access_key_id == access_key_id:
            return _of_session(session)
    for user in _users():
        for key in user.access_keys:
            if key.access_key_id == access_key_id and key.status == "Active":
                return _of_user(user, key)
    return None


def _sessions() -> Iterator[AssumedRole]:
    for account in list(sts_backends):
        for partition in list(sts_backends[account]):
            yield from list(sts_backends[account][partition].assumed_roles)


def _users() -> Iterator[User]:
    for account in list(iam_backends):
        for partition in list(iam_backends[account]):
            backend: IAMBackend = iam_backends[account][partition]
            yield from list(backend.users.values())


def _of_session(session: AssumedRole) -> Credentials:
    caller = Caller(
        account=session.account_id,
        principal_arn=session.role_arn,
        session_arn=session.arn,
        user_id=session.user_id,
        session_policy=session.policy or None,
    )
    return Credentials(
        access_key=session.access_key_id,
        secret_key=session.secret_access_key,
        session_token=session.session_token,
        expiration=session.expiration.replace(tzinfo=datetime.UTC),
        caller=caller,
    )


def _of_user(user: User, key: AccessKey) -> Credentials:
    caller = Caller(account=user.account_id, principal_arn=user.arn, session_arn=user.arn, user_id=user.id)
    return Credentials(key.access_key_id, key.secret_access_key, None, None, caller)
