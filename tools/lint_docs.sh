#!/bin/sh
# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
#
# lint_docs.sh ANTSIBULL_DOCS ARTEFACT: check the documentation of the artefact, unpacked. Not of the checkout:
# antsibull-docs copies what git knows, and git ignores the amazon.aws of the environment.
set -eu

rm -rf build/docs
mkdir -p build/docs
tar -xzf "$2" -C build/docs
GIT_DIR=/dev/null "$1" lint-collection-docs --plugin-docs --skip-rstcheck build/docs
