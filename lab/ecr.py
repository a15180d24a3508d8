# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lab's ECR, put together: the API in front of moto, the registry, their tokens and the lab's faults."""

from __future__ import annotations

import socket
from pathlib import Path

from . import ecr_backend
from .ecr_api import EcrApi
from .faults import FaultControl, Faults
from .registry.service import Registry
from .settings import Settings
from .tokens import Tokens
from .wsgi import WsgiApplication


class Ecr:
    """ECR of one lab. Make it before moto's server starts, since it closes gaps of moto's; one for a process.

    :ivar faults: the lab's switches, for other parts to ask
    :ivar ca_file: certificate of the authority that the registry's certificate is by

    :arg sock: bound to 127.0.0.1 and ``settings.registry_port``; belongs to the registry from now on
    """

    def __init__(self, settings: Settings, sock: socket.socket) -> None:
        self._settings = settings
        self._tokens = Tokens()
        self.faults = Faults()
        self._registry = Registry(settings, sock, self._tokens, self.faults)
        self.ca_file: Path = self._registry.ca_file
        self._apis: list[EcrApi] = []
        ecr_backend.close_gaps(self._registry.blobs)

    def in_front_of(self, application: WsgiApplication) -> WsgiApplication:
        """The lab's AWS APIs with ECR's own part, and the control of the faults, in front."""
        api = EcrApi(application, self._settings, self._tokens, self.faults, self._registry.layer_urls)
        self._apis.append(api)
        return FaultControl(api, self.faults)

    def start(self) -> None:
        """Begin to serve the registry."""
        self._registry.start()

    def stop(self) -> None:
        """End the registry, and whatever hangs in the API."""
        for api in self._apis:
            api.stopping.set()
        self._registry.stop()
