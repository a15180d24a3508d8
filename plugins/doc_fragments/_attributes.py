# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every module says of itself under C(attributes)."""

from __future__ import annotations


class ModuleDocFragment:
    """Every module uses the standard fragment; the others say more of some."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in check mode and say what it would do without doing it.
  diff_mode:
    description: Says, in diff mode, what it changed or would change.
  idempotent:
    description:
      - When run twice in a row with the same arguments, outside check mode, the second run reports no change.
"""

    READ_ONLY = r"""
options: {}
attributes:
  check_mode:
    support: full
    details:
      - This module changes nothing.
  diff_mode:
    support: N/A
    details:
      - This module changes nothing.
  idempotent:
    support: full
    details:
      - This module changes nothing.
"""

    ACTION_GROUP = r"""
options: {}
attributes:
  action_group:
    description: The groups of C(module_defaults) that set defaults for this module.
    support: full
    membership:
      - policyproof.ecr.access
"""
