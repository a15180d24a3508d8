# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a running lab says of itself, for the inventory of the lab."""

from __future__ import annotations

DOCUMENTATION = r"""
name: lab
author: policyproof contributors (@policyproof)
short_description: Look up where the local lab listens
version_added: 0.1.0
description:
  - Reads the file in which a running lab says where it listens and as whom to deploy.
  - The lab keeps its state in C($POLICYPROOF_LAB_DIR), or in C(.lab) at the root of this collection.
options:
  _terms:
    description:
      - What to look up, for example V(aws_endpoint), V(access_key), V(secret_key), V(region),
        V(account) or V(registry_host).
      - V(state) is the state directory, whether the lab is up or not.
    required: true
    type: list
    elements: str
  default:
    description:
      - What to return when the lab is not up. Without it, that is an error.
    type: str
  vacant:
    description:
      - For V(aws_endpoint) while the lab is not up, return an endpoint within this process that lists no instance.
      - With it, the dynamic inventory of a lab that is not up is empty instead of broken.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Where the lab answers AWS API calls
  ansible.builtin.debug:
    msg: "{{ lookup('policyproof.ecr.lab', 'aws_endpoint', default='the lab is not up') }}"
"""

RETURN = r"""
_raw:
  description: One value for each term.
  type: list
  elements: str
  sample: ["http://127.0.0.1:43817"]
"""

import json
import os
import socket
import threading
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

NO_INSTANCES = (
    b'<?xml version="1.0" encoding="UTF-8"?>'
    b'<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">'
    b"<requestId>00000000-0000-0000-0000-000000000000</requestId><reservationSet/></DescribeInstancesResponse>"
)


class _VacantEc2(BaseHTTPRequestHandler):
    """Answers DescribeInstances as an account without instances does."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Content-Type", "text/xml")
        self.send_header("Content-Length", str(len(NO_INSTANCES)))
        self.end_headers()
        self.wfile.write(NO_INSTANCES)

    def log_message(self, format: str, *args: object) -> None:
        """Keep the terminal to Ansible."""


@cache
def vacant_endpoint() -> str:
    """Start, once a process, the endpoint that lists no instance; return its URL. It ends with the process."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _VacantEc2)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


def state_directory() -> Path:
    """The lab's state directory; the same rule as in C(roles/lab)."""
    named = os.environ.get("POLICYPROOF_LAB_DIR")
    return Path(named).resolve() if named else Path(__file__).resolve().parents[2] / ".lab"


def running_lab() -> dict[str, str] | None:
    """What the lab wrote about itself, or None where nobody listens any more."""
    try:
        description = json.loads((state_directory() / "lab.json").read_text(encoding="utf-8"))
        where = urlsplit(description["aws_endpoint"])
        socket.create_connection((where.hostname, where.port), timeout=2).close()
    except (OSError, ValueError, KeyError):
        return None
    return description


class LookupModule(LookupBase):
    """Values of C(lab.json)."""

    def run(self, terms, variables=None, **kwargs):
        """Return one value a term. Raises AnsibleLookupError for an unknown term, or where the lab is not up."""
        self.set_options(var_options=variables, direct=kwargs)
        if terms == ["state"]:
            return [str(state_directory())]
        lab = running_lab()
        return [self._value(lab, term) for term in terms]

    def _value(self, lab, term):
        if term == "state":
            return str(state_directory())
        if lab is not None:
            if term not in lab:
                raise AnsibleLookupError(f"The lab says nothing of '{term}'; it knows {', '.join(sorted(lab))}.")
            return lab[term]
        if term == "aws_endpoint" and self.get_option("vacant"):
            return vacant_endpoint()
        if self.get_option("default") is not None:
            return self.get_option("default")
        raise AnsibleLookupError(
            f"No lab is up in {state_directory()}: start one with 'make lab', or with the role policyproof.ecr.lab."
        )
