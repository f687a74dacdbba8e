#!/usr/bin/env bash
# The store in a directory passes every check (P4: of eight swaps at once one wins; P1: what was
# answered survives a kill -9) and leaves no file behind but its own: locks, and what
# killed writers were writing, which goes a day later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

"$FIRN_BIN_DIR/firn-conformance" "file://$scratch/a%20store"
left=$(find "$scratch" -type f ! -name '.firn~lock' ! -name '.firn~tmp-*')
if [[ -n $left ]]; then
	echo "FAIL: left behind: $left" >&2
	exit 1
fi
