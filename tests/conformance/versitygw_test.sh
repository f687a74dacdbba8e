#!/usr/bin/env bash
# s3: on versitygw passes every check: the back end is not tuned to one server.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if [[ -z ${FIRN_S3_TEST_INSIDE-} ]]; then
	FIRN_S3_TEST_INSIDE=1 exec "$here/../support/s3_server.sh" versitygw bash "${BASH_SOURCE[0]}"
fi

"$FIRN_BIN_DIR/firn-conformance" "$FIRN_TEST_S3_URI&multipart_conditions=yes"
faults=seed=8,jitter_ms=2,throttle=2,retry_after_ms=5,reset=2,dropped=2,lost=3,truncate=2
for group in get list condition; do
	"$FIRN_BIN_DIR/firn-conformance" --group "$group" \
		"fault:$faults:$FIRN_TEST_S3_URI&multipart_conditions=yes"
done
