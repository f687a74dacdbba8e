#!/usr/bin/env bash
# The engine on mem:, where a test needs no second process.
set -euo pipefail

for name in write write_state read upload; do
	echo "== $name"
	FIRN_TEST_STORE=mem: "$FIRN_BUILD_DIR/tests/integration-${name}_test"
done
