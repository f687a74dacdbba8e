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
