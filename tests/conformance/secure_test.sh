#!/usr/bin/env bash
# s3: over TLS on MinIO, with a private CA made here: path and virtual-host style, and keys with a session
# token. Another CA, none, or another host's certificate is an error that says so, and no byte of the
# object is sent.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
fail() {
	echo "FAIL: $*" >&2
	exit 1
}

if [[ -z ${FIRN_S3_TEST_INSIDE-} ]]; then
	scratch=$(mktemp -d)
	trap 'rm -rf "$scratch"' EXIT
	cd "$scratch"
	mkdir certs
	for ca in ca other; do
		openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=firn $ca" \
			-keyout "$ca.key" -out "$ca.crt" 2>openssl.log || fail "$(cat openssl.log)"
	done
	# Not the address: 127.0.0.1 is the wrong host.
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost \
		-keyout certs/private.key -out server.csr 2>openssl.log || fail "$(cat openssl.log)"
	openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -out certs/public.crt \
		-extfile <(echo 'subjectAltName=DNS:localhost,DNS:firn.localhost') 2>openssl.log ||
		fail "$(cat openssl.log)"
	status=0
	FIRN_S3_TEST_INSIDE=$scratch FIRN_TEST_S3_CERTS=$scratch/certs \
		"$here/../support/s3_server.sh" minio bash "$here/secure_test.sh" || status=$?
	exit "$status"
fi

scratch=$FIRN_S3_TEST_INSIDE
program=$FIRN_BIN_DIR/firn-conformance
uri=$FIRN_TEST_S3_URI

for style in path virtual; do
	for group in put get list multipart condition; do
		"$program" --group "$group" \
			"$uri&ca=$scratch/ca.crt&style=$style&multipart_conditions=yes" >"$scratch/out" ||
			fail "style=$style: $(cat "$scratch/out")"
	done
done

# refused URI: not one check passes, and the text names the certificate.
refused() {
	local status=0
	"$program" --group put "$1" >"$scratch/out" 2>&1 || status=$?
	((status == 1)) && grep -q "the server's certificate" "$scratch/out" &&
		! grep -qE '^put +[1-9]' "$scratch/out" || fail "$1: $(cat "$scratch/out")"
}
refused "$uri"
refused "$uri&ca=$scratch/other.crt"
refused "${uri/localhost/127.0.0.1}&ca=$scratch/ca.crt"

# ---- keys with a session token, as the server's own token service gives them

session=$(python3 - "${uri##*endpoint=}" "$scratch/ca.crt" <<'PYTHON'
import datetime, hashlib, hmac, os, ssl, sys, urllib.request, xml.etree.ElementTree as xml
url, ca = sys.argv[1:]
body = b"Action=AssumeRole&Version=2011-06-15&DurationSeconds=900"
date = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
scope = date[:8] + "/us-east-1/sts/aws4_request"
host = url.split("//")[1]
canonical = "POST\n/\n\nhost:%s\nx-amz-date:%s\n\nhost;x-amz-date\n%s" % (
    host, date, hashlib.sha256(body).hexdigest())
text = "AWS4-HMAC-SHA256\n%s\n%s\n%s" % (date, scope, hashlib.sha256(canonical.encode()).hexdigest())
key = ("AWS4" + os.environ["AWS_SECRET_ACCESS_KEY"]).encode()
for part in scope.split("/"):
    key = hmac.new(key, part.encode(), hashlib.sha256).digest()
auth = "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=host;x-amz-date, Signature=%s" % (
    os.environ["AWS_ACCESS_KEY_ID"], scope, hmac.new(key, text.encode(), hashlib.sha256).hexdigest())
request = urllib.request.Request(url + "/", body, {"X-Amz-Date": date, "Authorization": auth,
    "Content-Type": "application/x-www-form-urlencoded"})
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}),
    urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=ca)))
answer = xml.fromstring(opener.open(request).read())
for name in "AccessKeyId", "SecretAccessKey", "SessionToken":
    print(next(e.text for e in answer.iter() if e.tag.endswith(name)))
PYTHON
)
mapfile -t keys <<<"$session"
export AWS_ACCESS_KEY_ID=${keys[0]} AWS_SECRET_ACCESS_KEY=${keys[1]} AWS_SESSION_TOKEN=${keys[2]}
for group in put list multipart; do
	"$program" --group "$group" "$uri&ca=$scratch/ca.crt" >"$scratch/out" || fail "$(cat "$scratch/out")"
done
# Half of it is worth nothing, and what is wrong is not shown.
status=0
AWS_SESSION_TOKEN=${keys[2]::-8}AAAAAAAA "$program" --group stat "$uri&ca=$scratch/ca.crt" >"$scratch/out" 2>&1 ||
	status=$?
((status == 1)) && grep -q 'does not take these credentials' "$scratch/out" || fail "$(cat "$scratch/out")"
! grep -qF -e "${keys[1]}" -e "${keys[2]::40}" "$scratch/out" || fail "keys are shown: $(cat "$scratch/out")"
