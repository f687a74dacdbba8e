#!/usr/bin/env bash
# The demo, on files, on little input and with the binaries at hand; .ci/run has it on MinIO. (P1)
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir "$scratch/rooms"
LC_ALL=C awk -v seed=7 -v rooms=12 -v lines=3000 -v dir="$scratch/rooms" \
	-f "$FIRN_SOURCE_DIR/samples/chat.awk"

cd /
TMPDIR=$scratch "$FIRN_SOURCE_DIR/tools/demo" --input "$scratch/rooms" --store "file://$scratch/store" >"$scratch/out" || {
	cat "$scratch/out"
	exit 1
}
grep -q 'lost 0, twice 0' "$scratch/out"
[[ $(grep -c 'each once, in order: nothing lost, nothing twice' "$scratch/out") == 2 ]]
grep -q 'is fenced: another engine has taken the volume' "$scratch/out"
if compgen -G "$scratch/firn-demo.*" >/dev/null; then
	echo "the demo left its scratch directory behind" >&2
	exit 1
fi
