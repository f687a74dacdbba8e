#!/usr/bin/env bash
# libs3: on MinIO passes every check of what it claims, also over an unreliable network. It has no
# compare-and-swap, so volumes are refused there unless the URI says exclusive=trust-me. Keys are in no
# output. Where it was not built it is missed by name.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
program=$FIRN_BIN_DIR/firn-conformance
fail() {
	echo "FAIL: $*" >&2
	exit 1
}

if [[ ! -e $FIRN_BUILD_DIR/lib/firn/libs3.so ]]; then
	status=0
	out=$("$program" 'libs3://b?endpoint=http://127.0.0.1:1' 2>&1) || status=$?
	((status == 2)) && [[ $out == *'libs3: stores need firn/libs3.so'* ]] || fail "not built: $out"
	exit 0
fi
if [[ -z ${FIRN_S3_TEST_INSIDE-} ]]; then
	FIRN_S3_TEST_INSIDE=1 exec "$here/../support/s3_server.sh" minio bash "${BASH_SOURCE[0]}"
fi

unset http_proxy # libs3's libcurl asks the environment
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
uri=lib${FIRN_TEST_S3_URI}
# Ten thousand keys, one request after the other in each thread, cost more than they tell.
"$program" --without many "$uri"
faults=seed=6,jitter_ms=2,throttle=2,reset=2,dropped=2,lost=3,truncate=2
for group in put get list delete; do
	"$program" --group "$group" "fault:$faults:$uri" >"$scratch/out" || fail "$(cat "$scratch/out")"
done

# ---- what is refused, and how

# refused TEXT URI [NAME=VALUE...]: it is not opened, and says why.
refused() {
	local status=0 out
	out=$(env "${@:3}" "$program" --group stat "$2" 2>&1) || status=$?
	((status != 0)) && [[ $out == *"$1"* ]] || fail "$2: expected '$1', got: $out"
	[[ $out != *"$AWS_SECRET_ACCESS_KEY"* ]] || fail "the secret key is shown: $out"
}
refused 'endpoint is missing' libs3://b
refused 'no parameter `signed`' "$uri&signed=1"
refused 'nothing behind it' 'libs3://b?endpoint=http://127.0.0.1:1/x'
refused 'does not take these credentials' "$uri" AWS_ACCESS_KEY_ID=nobody-at-all
refused "secret key is not the access key's" "$uri" AWS_SECRET_ACCESS_KEY=another-secret-than-that

# ---- volumes

volume=(--dir "$scratch/wal" --wal-size 64M --volume v)
status=0
out=$("$FIRN_BIN_DIR/firn" volume create "${volume[@]}" --store "$uri" 2>&1) || status=$?
((status != 0)) && [[ $out == *exclusive=trust-me* ]] || fail "attached without compare-and-swap: $out"
volume+=(--store "$uri&exclusive=trust-me")
"$FIRN_BIN_DIR/firn" volume create "${volume[@]}" >"$scratch/out"
for word in one two; do
	"$FIRN_BIN_DIR/firn" append "${volume[@]}" --stream s --drain <<<"$word"
done
rm -rf "$scratch/wal" # all of it is in the bucket
out=$("$FIRN_BIN_DIR/firn" read "${volume[@]}" --stream s)
[[ $out == *one*two* ]] || fail "read back: $out"
