#!/bin/sh
# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
#
# Strict types of module_utils and the lab, under the names they are imported by: seen through build/mypy, this
# checkout is ansible_collections.policyproof.ecr.
set -eu
cd "$(dirname "$0")/.."
root=build/mypy/ansible_collections/policyproof
mkdir -p $root
ln -sfn ../../../.. $root/ecr
cd build/mypy
MYPYPATH=. ../../.venv/bin/mypy --config-file ../../pyproject.toml --no-error-summary \
    ansible_collections/policyproof/ecr/plugins/module_utils ansible_collections/policyproof/ecr/lab
