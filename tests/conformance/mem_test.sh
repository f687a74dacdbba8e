#!/usr/bin/env bash
# The store in memory passes every check (P4: of eight swaps at once one wins); the program's own promises: names, JSON, exit codes.
set -euo pipefail

program=$FIRN_BIN_DIR/firn-conformance
fail() {
	echo "FAIL: $*" >&2
	exit 1
}

"$program" mem:conformance

n=$("$program" --list | wc -l)
((n >= 120)) || fail "only $n checks"
[[ $("$program" --list | sort | uniq -d) == '' ]] || fail "two checks of a group have one name"
json=$("$program" --json --group condition mem:json)
jq -e '.failed == 0 and .ok == (.checks | length) and .claims["put-if-match"]' <<<"$json" >/dev/null ||
	fail "--json: $json"

status=0
"$program" nosuch:x 2>/dev/null || status=$?
((status == 2)) || fail "a store that cannot be opened: expected exit code 2, got $status"
status=0
"$program" --group nosuch mem:x 2>/dev/null || status=$?
((status == 2)) || fail "no such group: expected exit code 2, got $status"
"$program" --help | grep -q '^Examples:' || fail "--help has no examples"
