#!/usr/bin/env bash
# Three processes take one volume over from one another: after a clean detach, a kill -9 with the WAL at hand, and, with the
# log in a store, from a killed, a stopped and a living writer, who is fenced. Readers look on. What each process asked, was
# told and read is judged by a checker that knows nothing of the engine. (P1, P2, P3, P4, P5, P10)
#
# FIRN_TAKEOVERS: how many (25); FIRN_SEED: which (1). FIRN_TEST_STORE: the URI of a store instead of a scratch
# directory; what was written there stays.
#
#	FIRN_TEST_STORE=minio FIRN_TAKEOVERS=3000 tools/test -R crash/takeover
set -euo pipefail

takeovers=${FIRN_TAKEOVERS-25}
scratch=$(mktemp -d "${TMPDIR:-/tmp}/firn-takeover.XXXXXX")
keep=1
trap '((keep)) && echo "kept: $scratch" || rm -rf "$scratch"' EXIT

# store_uri NAME: a store of ours; the name goes behind the path, before the query.
store_uri() {
	local base=${FIRN_TEST_STORE-file://$scratch} query='' glue=/
	[[ $base != *\?* ]] || query=?${base#*\?}
	base=${base%%\?*}
	[[ $base != *[/:] ]] || glue=
	echo "$base$glue${FIRN_TEST_STORE:+firn-takeover-$(date +%s)-$$-}$1$query"
}

store=$(store_uri store)
"$FIRN_BUILD_DIR/tests/crash-takeover" "$scratch" "$store" "$(store_uri log)" "$takeovers" "${FIRN_SEED-1}"
python3 "$FIRN_SOURCE_DIR/tests/crash/history_check.py" --takeovers "$takeovers" "$scratch/events"
"$FIRN_BIN_DIR/firn" verify --store "$store" --volume rooms
keep=0
