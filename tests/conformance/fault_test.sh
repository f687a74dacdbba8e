#!/usr/bin/env bash
# The same checks over stores that lose answers, throttle, reset and cut bodies: what a request finally
# became is the same. And a store that ignores its conditions is found out.
set -euo pipefail

program=$FIRN_BIN_DIR/firn-conformance
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
faults=jitter_ms=2,throttle=2,retry_after_ms=5,reset=2,dropped=2,lost=3,truncate=2

for seed in 1 2 3; do
	"$program" "fault:seed=$seed,$faults:mem:x"
done
# Without the 10 000 keys: they say nothing new here and cost the disk much.
for group in put get range stat list delete condition large empty concurrency cancel durable; do
	"$program" --group "$group" "fault:seed=4,$faults:file://$scratch/store" >"$scratch/out" ||
		{ cat "$scratch/out" && exit 1; }
done
for ignored in absent match; do
	status=0
	out=$("$program" --group condition "fault:ignore=$ignored:mem:x") || status=$?
	grep -q "FAILED condition: put-if-$ignored" <<<"$out" && ((status == 1)) || {
		echo "FAIL: ignore=$ignored was not found out: $out" >&2
		exit 1
	}
done
