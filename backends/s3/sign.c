/* canonical request -> string to sign -> signature. The hashes are OpenSSL's. */
#include "backends/s3/sign.h"
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { HASH = 32 };

void sign_hex(const unsigned char *bytes, size_t n, char *out)
{
	static const char digit[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		out[2 * i] = digit[bytes[i] >> 4];
		out[2 * i + 1] = digit[bytes[i] & 15];
	}
	out[2 * n] = 0;
}

void sign_date(int64_t unix_ms, char out[20])
{
	time_t t = (time_t)(unix_ms / 1000);
	struct tm tm;

	(void)gmtime_r(&t, &tm);
	(void)strftime(out, 20, "%Y%m%dT%H%M%SZ", &tm);
}

static int add(EVP_MD_CTX *md, const char *text, const char *end)
{
	return EVP_DigestUpdate(md, text, strlen(text)) == 1 &&
	       EVP_DigestUpdate(md, end, strlen(end)) == 1;
}

/* "host;x-amz-date": the names that are signed. */
static int signed_names(const struct sign_request *r, char *out, size_t cap)
{
	size_t n = 0;

	for (uint32_t i = 0; i < r->n_header; i++) {
		int k = snprintf(out + n, cap - n, "%s%s", i ? ";" : "", r->header[i].name);

		n += (size_t)k;
		if (n >= cap)
			return -1;
	}
	return 0;
}

static int hash_canonical(const struct sign_request *r, const char *names, char hex[SIGN_HEX])
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	unsigned char hash[HASH];
	int ok = md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1;

	ok = ok && add(md, r->method, "\n") && add(md, r->path, "\n") && add(md, r->query, "\n");
	for (uint32_t i = 0; i < r->n_header; i++)
		ok = ok && add(md, r->header[i].name, ":") && add(md, r->header[i].value, "\n");
	ok = ok && add(md, "", "\n") && add(md, names, "\n") && add(md, r->payload, "") &&
	     EVP_DigestFinal_ex(md, hash, NULL) == 1;
	EVP_MD_CTX_free(md);
	if (ok)
		sign_hex(hash, HASH, hex);
	return ok ? 0 : -1;
}

static int hmac(const void *key, size_t key_len, const char *text, unsigned char out[HASH])
{
	unsigned int n = HASH;

	return HMAC(EVP_sha256(), key, (int)key_len, (const unsigned char *)text, strlen(text), out,
	            &n)
	               ? 0
	               : -1;
}

/* The key of one day, region and service. */
static int signing_key(const struct sign_request *r, unsigned char key[HASH])
{
	char first[256], day[9];
	int n = snprintf(first, sizeof first, "AWS4%s", r->secret_key);
	int rc = n < 0 || n >= (int)sizeof first ? -1 : 0;

	(void)snprintf(day, sizeof day, "%.8s", r->date);
	if (!rc)
		rc = hmac(first, (size_t)n, day, key);
	if (!rc)
		rc = hmac(key, HASH, r->region, key);
	if (!rc)
		rc = hmac(key, HASH, "s3", key);
	if (!rc)
		rc = hmac(key, HASH, "aws4_request", key);
	OPENSSL_cleanse(first, sizeof first);
	return rc;
}

int sign_authorization(const struct sign_request *r, char out[SIGN_ROOM])
{
	char names[512], hex[SIGN_HEX], scope[128], text[512];
	unsigned char key[HASH], mac[HASH];
	int n, rc = -1;

	if (signed_names(r, names, sizeof names) || hash_canonical(r, names, hex))
		return -1;
	n = snprintf(scope, sizeof scope, "%.8s/%s/s3/aws4_request", r->date, r->region);
	if (n >= (int)sizeof scope)
		return -1;
	n = snprintf(text, sizeof text, "AWS4-HMAC-SHA256\n%s\n%s\n%s", r->date, scope, hex);
	if (n >= (int)sizeof text)
		return -1;
	if (!signing_key(r, key) && !hmac(key, HASH, text, mac)) {
		sign_hex(mac, HASH, hex);
		n = snprintf(out, SIGN_ROOM,
		             "AWS4-HMAC-SHA256 Credential=%s/%s,SignedHeaders=%s,Signature=%s",
		             r->access_key, scope, names, hex);
		rc = n < SIGN_ROOM ? 0 : -1;
	}
	OPENSSL_cleanse(key, sizeof key);
	return rc;
}
