# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lab's parts, put together. Importing this imports moto: its environment must be set by then."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import ExitStack

from . import moto_fixes
from .aws import AwsServer, Health, create_deployer, moto_application
from .ecr import Ecr
from .instances.host import InstanceHost
from .session_manager.server import DataChannelServer
from .settings import Settings


def assemble(settings: Settings, sockets: Mapping[str, socket.socket], lab: str, parts: ExitStack) -> dict[str, str]:
    """Start every part; ``parts`` ends them in the opposite order. Returns what the lab has to say of them.

    :param sockets: aws, registry and data_channel, bound as the settings say
    :param lab: what tells this lab from any other
    """
    moto_fixes.apply(settings)
    ecr = Ecr(settings, sockets["registry"])
    instances = InstanceHost(settings, ecr.ca_file)
    instances.attach()
    parts.callback(instances.close)
    sessions = DataChannelServer(settings, sockets["data_channel"], instances)
    sessions.start()
    parts.callback(sessions.stop)
    ecr.start()
    parts.callback(ecr.stop)
    deployer = create_deployer(settings)
    aws = AwsServer(settings, sockets["aws"], Health(ecr.in_front_of(moto_application()), lab))
    aws.start()
    parts.callback(aws.stop)
    return {"ca_file": str(ecr.ca_file), **deployer}
