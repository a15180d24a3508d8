# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The credentials of an instance's role."""

from __future__ import annotations

import datetime
import threading
from dataclasses import dataclass, field

from moto.sts.models import sts_backends
from moto.utilities.utils import get_partition

from .identity import Identity, Role

# EC2's last about so long, and are renewed well before their end. Seconds.
LIFETIME = 6 * 3600
RENEW_BEFORE_END = 15 * 60


@dataclass(frozen=True)
class Credentials:
    """Temporary credentials.

    :ivar issued: when they were made, UTC
    :ivar expires: when they end, UTC
    """

    role_arn: str
    access_key: str
    secret_key: str = field(repr=False)
    token: str = field(repr=False)
    issued: datetime.datetime
    expires: datetime.datetime


class RoleCredentials:
    """Makes one instance's credentials with STS, named after the instance, and renews them before they end."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._lock = threading.Lock()
        self._current: Credentials | None = None

    def current(self, role: Role, now: datetime.datetime | None = None) -> Credentials:
        """Credentials of ``role`` that stay valid for a while.

        :param now: UTC; the time of the call where None
        """
        now = now or datetime.datetime.now(datetime.UTC)
        renew = now + datetime.timedelta(seconds=RENEW_BEFORE_END)
        with self._lock:
            if self._current is None or self._current.role_arn != role.arn or self._current.expires <= renew:
                self._current = self._assume(role, now)
            return self._current

    def _assume(self, role: Role, now: datetime.datetime) -> Credentials:
        region = self._identity.region
        session = sts_backends[self._identity.account][get_partition(region)].assume_role(
            region_name=region,
            role_session_name=self._identity.id,
            role_arn=role.arn,
            policy="",
            duration=LIFETIME,
            external_id="",
        )
        expires = now + datetime.timedelta(seconds=LIFETIME)
        return Credentials(
            role.arn, session.access_key_id, session.secret_access_key, session.session_token, now, expires
        )
