# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which tests take longer than a person wants to wait for after each change: ``make test-unit`` leaves them out."""

from __future__ import annotations

from pathlib import Path

import pytest

# Those that start processes, serve sockets or wait for time-outs. 'make test' runs them too.
SLOW = (
    "lab/instances/",
    "lab/registry/",
    "lab/session_manager/test_websocket_client.py",
    "lab/test_moto_fixes.py",
    "plugins/lookup/",
    "plugins/module_utils/login/test_ecr_api.py",
    "plugins/modules/test_access_probe.py",
    "plugins/modules/test_access_policies_info.py",
    "test_artefact.py",
    "test_documentation.py",
    "test_role_arguments.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of the files above."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here) and item.path.relative_to(here).as_posix().startswith(SLOW):
            item.add_marker(pytest.mark.slow)
