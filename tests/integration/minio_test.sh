#!/usr/bin/env bash
# The engine on MinIO: what it promises holds on a store that is no directory. A part of the integration tests and of the kill
# loop (P1, P2, P3, P10), which all take their store from FIRN_TEST_STORE; all of them:
#	FIRN_TEST_STORE=minio tools/test -L 'integration|crash'
set -euo pipefail

if [[ ${1-} != inside ]]; then
	exec "$FIRN_SOURCE_DIR/tests/support/s3_server.sh" minio bash "$0" inside
fi
export FIRN_TEST_STORE=$FIRN_TEST_S3_URI
for name in survive reattach read notice; do
	echo "== $name"
	"$FIRN_BUILD_DIR/tests/integration-${name}_test"
done
for suite in upload read; do
	[[ -x $FIRN_BIN_DIR/firn-bench ]] || break # not made with sanitizers; bench_test sees that it is made else
	# Not -q, which would be gone before all is written.
	"$FIRN_BIN_DIR/firn-bench" "$suite" --small --json --store "$FIRN_TEST_STORE" | grep '"bare-' >/dev/null
	echo "ok: firn-bench $suite --small --store"
done
echo "== kill -9"
FIRN_KILLS=${FIRN_KILLS-12} bash "$FIRN_SOURCE_DIR/tests/crash/kill9_test.sh"
