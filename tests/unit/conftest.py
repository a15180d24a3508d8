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
    "lab/test_state.py",
    "plugins/lookup/",
    "plugins/module_utils/login/test_ecr_api.py",
    "plugins/module_utils/probe/test_program.py",
    "plugins/modules/test_access_probe.py",
    "plugins/modules/test_access_policies_info.py",
    "test_artefact.py",
    "test_documentation.py",
    "test_role_arguments.py",
)


def _is_slow(path: Path) -> bool:
    """Whether ``path`` is one of the files above."""
    here = Path(__file__).parent
    return path.is_relative_to(here) and path.relative_to(here).as_posix().startswith(SLOW)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not even import them where no slow test is asked for: that alone takes seconds."""
    return True if config.option.markexpr == "not slow" and _is_slow(collection_path) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of the files above."""
    for item in items:
        if _is_slow(item.path):
            item.add_marker(pytest.mark.slow)
