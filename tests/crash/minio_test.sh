#!/usr/bin/env bash
# The store's server dies, the engine's process dies and comes back meanwhile, twice; the server comes back: nothing acked
# is lost, all drains, memory keeps to its budget, the dead server is hardly asked. A real MinIO. (P1, P7, P8)
# FIRN_TEST_SERVER=versitygw: the other one. FIRN_SEED: other writes (1).
set -euo pipefail

server=$FIRN_SOURCE_DIR/tests/support/s3_server.sh
if [[ ${1-} != inside ]]; then
	exec "$server" --mortal "${FIRN_TEST_SERVER-minio}" bash "$0" inside
fi
scratch=$(mktemp -d "${TMPDIR:-/tmp}/firn-outage.XXXXXX")
keep=1
trap '((keep)) && echo "kept: $scratch" || rm -rf "$scratch"' EXIT
store="${FIRN_TEST_S3_URI/\?/\/outage\?}&deadline_ms=1000"
"$FIRN_BUILD_DIR/tests/crash-outage" "$scratch" "${FIRN_SEED-1}" "$store" "$server --kill" "$server --revive"
"$FIRN_BIN_DIR/firn" verify --dir "$scratch/engine-2" --store "$store" --volume rooms
keep=0
