#!/usr/bin/env bash
# kill -9, again and again, at random moments; what was acked is there (P1), dense (P2), unchanged (P3),
# and one cut for an engine elsewhere (P10). Both ways of writing the WAL. FIRN_KILLS: how many in all
# (200); FIRN_SEED: which moments (1). At the end `firn verify` looks at what is left.
#
# FIRN_TEST_STORE: the URI of a store to use instead of a scratch directory. Each run takes a prefix of its own there (a
# plug-in's goes to the end of its URI), and leaves what it wrote.
set -euo pipefail

kills=${FIRN_KILLS-200}
seed=${FIRN_SEED-1}
scratch=$(mktemp -d "${TMPDIR:-/tmp}/firn-kill9.XXXXXX")
keep=1
trap '((keep)) || rm -rf "$scratch"' EXIT

# store_uri NAME: a store of ours; the name goes behind the path, before the query.
store_uri() {
	local base=${FIRN_TEST_STORE-file://$scratch} query='' glue=/
	if [[ $base == plugin:* ]]; then
		echo "$base-kill9-$$-$1"
		return
	fi
	[[ $base != *\?* ]] || query=?${base#*\?}
	base=${base%%\?*}
	[[ $base != *[/:] ]] || glue=
	echo "$base$glue${FIRN_TEST_STORE:+firn-kill9-$(date +%s)-$$-}$1$query"
}

for io in pwrite uring; do
	store=$(store_uri "$io-store")
	"$FIRN_BUILD_DIR/tests/crash-kill9" "$scratch/$io" $(((kills + 1) / 2)) "$seed" "$io" "$store" |
		tee "$scratch/out"
	dir=$(tail -n 1 "$scratch/out")
	"$FIRN_BIN_DIR/firn" verify --dir "$dir" --store "$store" --volume rooms
done
keep=0
