# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What one instance is, read from moto whenever somebody asks: tags, role and options change while it runs."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Any

from moto.ec2.models import ec2_backends
from moto.iam.models import iam_backends
from moto.utilities.utils import get_partition


@dataclass(frozen=True)
class Role:
    """The role of an instance, with the instance profile that carries it."""

    name: str
    arn: str
    profile_arn: str
    profile_id: str


@dataclass(frozen=True)
class Identity:
    """One instance of moto's EC2.

    :ivar instance: moto's own object
    """

    instance: Any

    @property
    def id(self) -> str:
        """Instance id."""
        return str(self.instance.id)

    @property
    def account(self) -> str:
        """The owner's account, twelve digits."""
        return str(self.instance.owner_id)

    @property
    def region(self) -> str:
        """Region name. (The instance's own attribute says us-east-1 for what CloudFormation made elsewhere.)"""
        return str(self.instance.ec2_backend.region_name)

    @property
    def availability_zone(self) -> str:
        """Name of the availability zone."""
        return str(self.instance.availability_zone)

    @property
    def private_ip(self) -> str:
        """Private IPv4 address."""
        return str(self.instance.private_ip)

    @property
    def hostname(self) -> str:
        """Host name without a domain, ``ip-10-0-0-1``."""
        return "ip-" + self.private_ip.replace(".", "-")

    @property
    def private_dns_name(self) -> str:
        """Host name with its domain."""
        domain = "ec2.internal" if self.region == "us-east-1" else f"{self.region}.compute.internal"
        return f"{self.hostname}.{domain}"

    @property
    def image_id(self) -> str:
        """Id of the machine image."""
        return str(self.instance.image_id)

    @property
    def instance_type(self) -> str:
        """Instance type."""
        return str(self.instance.instance_type)

    @property
    def architecture(self) -> str:
        """x86_64 or arm64."""
        return str(self.instance.architecture)

    @property
    def security_groups(self) -> list[str]:
        """Names of the security groups."""
        return [str(group.name) for group in self.instance.security_groups]

    @property
    def tags(self) -> dict[str, str]:
        """Tags."""
        return {str(tag["key"]): str(tag["value"]) for tag in self.instance.get_tags()}

    @property
    def options(self) -> Any:
        """Metadata options: ``http_tokens``, ``http_endpoint``, ``instance_metadata_tags``."""
        return self.instance.metadata_options

    @property
    def launched(self) -> str:
        """Launch time, ISO 8601."""
        return str(self.instance.launch_time.strftime("%Y-%m-%dT%H:%M:%SZ"))

    @property
    def user_data(self) -> bytes | None:
        """User data, decoded; None where there is none."""
        text = self.instance.user_data
        if not text:
            return None
        raw: bytes = text if isinstance(text, bytes) else str(text).encode()
        try:
            return base64.b64decode(raw, validate=True)
        except binascii.Error:
            return raw

    @property
    def role(self) -> Role | None:
        """The role that the instance profile carries; None without either."""
        associations = ec2_backends[self.account][self.region].iam_instance_profile_associations
        association = associations.get(self.id)
        if association is None:
            return None
        # By name: the association keeps a copy from when it was made.
        profile = association.iam_instance_profile
        profile = iam_backends[self.account][get_partition(self.region)].instance_profiles.get(profile.id, profile)
        if not profile.roles:
            return None
        role = profile.roles[0]
        return Role(str(role.name), str(role.arn), str(profile.arn), str(profile.id))
