#!/usr/bin/env bash
# s3: on MinIO passes every check; what is special about its URI is tried with a few.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if [[ -z ${FIRN_S3_TEST_INSIDE-} ]]; then
	FIRN_S3_TEST_INSIDE=1 exec "$here/../support/s3_server.sh" minio bash "${BASH_SOURCE[0]}"
fi

"$FIRN_BIN_DIR/firn-conformance" "$FIRN_TEST_S3_URI&multipart_conditions=yes"
# A body that the signature does not cover is checked by its CRC; without multipart conditions and
# with one connection the store keeps its word, too.
for group in put multipart condition; do
	"$FIRN_BIN_DIR/firn-conformance" --group "$group" "$FIRN_TEST_S3_URI&payload=unsigned&connections=1"
done
# Over a network that loses answers, throttles and cuts bodies each request becomes the same.
faults=seed=7,jitter_ms=2,throttle=2,retry_after_ms=5,reset=2,dropped=2,lost=3,truncate=2
for group in put get list delete multipart condition; do
	"$FIRN_BIN_DIR/firn-conformance" --group "$group" \
		"fault:$faults:$FIRN_TEST_S3_URI&multipart_conditions=yes"
done
# A server that takes conditions and does not keep them is found out.
for ignored in absent match; do
	status=0
	out=$("$FIRN_BIN_DIR/firn-conformance" --group condition \
		"fault:ignore=$ignored:$FIRN_TEST_S3_URI") || status=$?
	if ((status != 1)) || ! grep -q "FAILED condition: put-if-$ignored" <<<"$out"; then
		echo "FAIL: ignore=$ignored was not found out: $out" >&2
		exit 1
	fi
done
