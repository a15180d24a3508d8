#!/bin/sh
# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
#
# check.sh STAMP COMMAND...: run a check. Where it passes, touch STAMP and say how long it took, and what ansible-test left
# out. Where it ends with 77 it could not be run here: say why, and leave no STAMP. Where it fails, print what it said,
# leave no STAMP, and fail. What it said is in STAMP.log each time.
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
    sed -n 's/^WARNING: \(Skipping .*\|Required program .*\)/'"$name"': \1/p' "$stamp.log" | sort -u
    exit
fi
rm -f "$stamp"
if [ "$status" -eq 77 ]; then
    echo "$name: not run: $(tail -n 1 "$stamp.log")"
    exit 0
fi
cat "$stamp.log" >&2
echo "$name: failed with exit status $status after $took s" >&2
exit "$status"
