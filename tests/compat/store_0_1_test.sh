#!/usr/bin/env bash
# A plug-in built from the headers of release 0.1 works with this library.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$FIRN_SOURCE_DIR/tests/compat/store_0_1"

sha256sum --check --quiet SHA256SUMS
"${CC:-cc}" -std=gnu11 -Wall -Wextra -fPIC -shared -I. shelf.c -o "$scratch/shelf.so" -pthread

# It keeps its objects in the process, so what is about other processes is not for it.
status=0
"$FIRN_BIN_DIR/firn-conformance" "plugin:$scratch/shelf.so" >"$scratch/out" || status=$?
cat "$scratch/out"
if ((status != 1)) || grep FAILED "$scratch/out" | grep -v 'FAILED durable:'; then
	echo "FAIL: expected all groups but 'durable' to pass" >&2
	exit 1
fi
