# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What every part of one running lab has to know."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """Where one lab keeps its state and where it listens.

    Every port is bound on 127.0.0.1, by whoever starts the lab, before this is made: so the numbers are final.

    :ivar state: the lab's own directory (mode 0700), absolute
    :ivar region: the region the lab plays
    :ivar account: the account the lab plays, twelve digits
    :ivar aws_port: AWS APIs (moto), plain HTTP
    :ivar registry_port: the registry, TLS
    :ivar data_channel_port: Session Manager's WebSocket, plain
    """

    state: Path
    region: str
    account: str
    aws_port: int
    registry_port: int
    data_channel_port: int

    @property
    def aws_endpoint(self) -> str:
        """URL of every AWS API."""
        return f"http://127.0.0.1:{self.aws_port}"

    @property
    def registry_name(self) -> str:
        """Host name of the registry, as ECR names it; resolves to 127.0.0.1 inside the lab's instances."""
        return f"{self.account}.dkr.ecr.{self.region}.amazonaws.com"

    @property
    def registry_host(self) -> str:
        """Host and port of the registry, as it stands in image names."""
        return f"{self.registry_name}:{self.registry_port}"

    @property
    def data_channel_url(self) -> str:
        """Base of every session's StreamUrl."""
        return f"ws://127.0.0.1:{self.data_channel_port}"
