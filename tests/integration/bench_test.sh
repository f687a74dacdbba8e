#!/usr/bin/env bash
# The benchmark runs small, prints JSON, and sets every figure of firn's beside a baseline of the same run.
set -euo pipefail
scratch=$(mktemp -d "${TMPDIR:-/tmp}/firn-bench.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
for suite in append read upload; do
	"$FIRN_BIN_DIR/firn-bench" "$suite" --small --json --dir "$scratch" >"$scratch/$suite.json"
	grep -q '"raw-\|"memcpy' "$scratch/$suite.json" || { echo "$suite: no baseline" >&2; exit 1; }
	[[ -z $(ls -d "$scratch"/firn-bench-* 2>/dev/null) ]] || { echo "$suite: left files behind" >&2; exit 1; }
	echo "ok: firn-bench $suite --small --json"
done
"$FIRN_BIN_DIR/firn-bench" takeover --small --json --dir "$scratch" >"$scratch/takeover.json"
jq -e '[.results[].name] == ["bare", "clean-10", "killed-10", "slots-10"] and
	all(.results[1:][]; .cas_ms > 0 and .first_ack_ms > .attach_ms and .puts >= 1)' "$scratch/takeover.json" >/dev/null
[[ -z $(ls -d "$scratch"/firn-bench-* 2>/dev/null) ]] || { echo "takeover: left files behind" >&2; exit 1; }
echo "ok: firn-bench takeover --small --json"
"$FIRN_BIN_DIR/firn-bench" day --small --json --dir "$scratch" >"$scratch/day.json"
jq -e '.results | length == 8 and (.[5].lines == .[7].lines) and
	.[5].blocks_a_room > 0 and .[7].commits - .[6].commits == 0' "$scratch/day.json" >/dev/null
[[ -z $(ls -d "$scratch"/firn-bench-* 2>/dev/null) ]] || { echo "day: left files behind" >&2; exit 1; }
echo "ok: firn-bench day --small --json"
