#!/usr/bin/env bash
# The simulation: fixed seeds and a few new ones keep P1, P2, P3, P4, P5, P6, P7, P8 and P10; the same seed is the same run.
set -euo pipefail
sim=$FIRN_BIN_DIR/firn-sim
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

for seed in 3 10 21; do
	"$sim" --seed "$seed" --trace >"$scratch/one"
	"$sim" --seed "$seed" --trace >"$scratch/two"
	cmp "$scratch/one" "$scratch/two"
done
"$sim" --seeds 1..40
"$sim" --nodes 5 --seeds 1..10
"$sim" --fresh 5
