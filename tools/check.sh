#!/bin/sh
# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
#
# check.sh STAMP COMMAND...: run a check. Where it passes, touch STAMP and say how long it took; where it fails, print what
# it said, remove STAMP and fail. What it said is in STAMP.log either way.
set -u

stamp=$1
shift
name=$(basename "$stamp")
mkdir -p "$(dirname "$stamp")"
began=$(date +%s)
"$@" >"$stamp.log" 2>&1 </dev/null
status=$?
took=$(($(date +%s) - began))
if [ "$status" -eq 0 ]; then
    touch "$stamp"
    echo "$name: passed in $took s"
else
    rm -f "$stamp"
    cat "$stamp.log" >&2
    echo "$name: failed with exit status $status after $took s" >&2
fi
exit "$status"
