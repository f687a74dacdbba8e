#!/usr/bin/env bash
# kill -9, again and again, at random moments; what was acked is there (P1), dense (P2), unchanged (P3),
# and one cut for an engine elsewhere (P10). Both ways of writing the WAL. FIRN_KILLS: how many in all
# (200); FIRN_SEED: which moments (1). At the end `firn verify` looks at what is left.
set -euo pipefail

kills=${FIRN_KILLS-200}
seed=${FIRN_SEED-1}
scratch=$(mktemp -d "${TMPDIR:-/tmp}/firn-kill9.XXXXXX")
keep=1
trap '((keep)) || rm -rf "$scratch"' EXIT

for io in pwrite uring; do
	"$FIRN_BUILD_DIR/tests/crash-kill9" "$scratch/$io" $(((kills + 1) / 2)) "$seed" "$io" |
		tee "$scratch/out"
	dir=$(tail -n 1 "$scratch/out")
	"$FIRN_BIN_DIR/firn" verify --dir "$dir" --store "file://$scratch/$io/store" --volume rooms
done
keep=0
