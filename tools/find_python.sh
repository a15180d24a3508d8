#!/bin/sh
# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
#
# Print the first Python >= 3.12 that can make a virtual environment; exit 1 with one sentence where there is none.
# A name on PATH proves nothing (pyenv's shims answer to versions that are not there), so each candidate is run.
set -u

fits() {
    "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 12))' >/dev/null 2>&1 </dev/null
}

for candidate in python3.14 python3.13 python3.12 python3 "${PYENV_ROOT:-${HOME:-}/.pyenv}"/versions/*/bin/python3; do
    path=$(command -v "$candidate") || continue
    if fits "$path"; then
        printf '%s\n' "$path"
        exit 0
    fi
done

echo "No Python 3.12 or newer with its venv module was found, neither on PATH nor under pyenv:" \
    "install one, for example with 'apt-get install python3.12-venv' or 'pyenv install 3.12', and try again." >&2
exit 1
