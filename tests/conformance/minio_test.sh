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
