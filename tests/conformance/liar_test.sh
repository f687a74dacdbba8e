#!/usr/bin/env bash
# Stores that break a rule fail the check that is about that rule, and the program says so with exit
# code 1: a suite that passes everybody proves nothing.
set -euo pipefail

program=$FIRN_BIN_DIR/firn-conformance
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
so=$scratch/odd.so
"${CC:-cc}" -std=c11 -fPIC -shared -I"$FIRN_SOURCE_DIR/include" -o "$so" \
	"$FIRN_SOURCE_DIR/tests/conformance/plugin/odd_store.c" -lpthread

# must_fail PARAMS GROUP CHECK: that check fails, and the exit code is 1.
must_fail() {
	local json status=0
	json=$("$program" --json --group "$2" "plugin:$so$1") || status=$?
	jq -e --arg check "$3" '.checks[] | select(.check == $check and .result == "failed")' \
		<<<"$json" >/dev/null || {
		echo "FAIL: $1 was not found out by '$2: $3': $json" >&2
		exit 1
	}
	if ((status != 1)); then
		echo "FAIL: $1: expected exit code 1, got $status" >&2
		exit 1
	fi
	echo "ok: $1 is found out by '$2: $3'"
}

must_fail '?lie=absent' condition 'put-if-absent stores once and then conflicts'
must_fail '?lie=absent' condition 'of eight put-if-absent at once one wins'
must_fail '?lie=match' condition 'put-if-match of a replaced version conflicts'
must_fail '?lie=create' condition 'put-if-match never creates a key'
must_fail '?lie=write' condition 'put-if-absent stores once and then conflicts'
must_fail '?lie=none' condition 'put-if-absent stores once and then conflicts'
must_fail '?lie=match' claim "the engine's probe agrees with the claims"
must_fail '?lie=size' get 'a buffer may be smaller than the object'
must_fail '?lie=version' stat 'size and version are those of the PUT'
must_fail '?lie=range' claim 'ranges are claimed or refused'
must_fail '' list 'keys are in the byte order of whole keys'
must_fail '?mode=twice' error 'every request so far was completed once'
must_fail '?mode=nonsense' put 'an object comes back as it was put'
