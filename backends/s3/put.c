/* PUT, and what it shares with multipart uploads: conditions and the checksum of a body. */
#include "backends/s3/s3_store.h"
#include <openssl/evp.h>
#include <stdio.h>

/* Is it one ETag in quotes, as all tokens of ours are? `*` would match anything, and a server that
 * looks past a missing quote would match a part. */
int put_is_etag(const struct firn_store_version *v)
{
	uint32_t n = v->len;

	if (n < 2 || v->text[0] != '"' || v->text[n - 1] != '"')
		return 0;
	for (uint32_t i = 1; i + 1 < n; i++)
		if (v->text[i] == '"' || v->text[i] == ',' || (unsigned char)v->text[i] <= ' ')
			return 0;
	return 1;
}

void put_conditions(struct s3_call *c)
{
	const struct firn_store_request *req = c->req;
	char etag[S3_ETAG_ROOM];

	if (req->condition == FIRN_STORE_IF_ABSENT)
		call_header(c, "if-none-match", "*");
	if (req->condition != FIRN_STORE_IF_MATCH)
		return;
	(void)snprintf(etag, sizeof etag, "%.*s", (int)req->match->len, req->match->text);
	call_header(c, "if-match", etag);
}

static uint32_t crc_of(const struct firn_store_request *req)
{
	uint32_t crc = 0;

	for (uint32_t i = 0; i < req->n_iov; i++)
		crc = crc32c(crc, req->iov[i].iov_base, req->iov[i].iov_len);
	return crc;
}

/* A part of an upload that was begun without an algorithm takes no x-amz-checksum. */
static void add_md5(struct s3_call *c)
{
	const struct firn_store_request *req = c->req;
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	unsigned char hash[16], text[32];
	int ok = md && EVP_DigestInit_ex(md, EVP_md5(), NULL) == 1;

	for (uint32_t i = 0; ok && i < req->n_iov; i++)
		ok = EVP_DigestUpdate(md, req->iov[i].iov_base, req->iov[i].iov_len) == 1;
	if (ok && EVP_DigestFinal_ex(md, hash, NULL) == 1) {
		(void)EVP_EncodeBlock(text, hash, sizeof hash);
		call_header(c, "content-md5", (char *)text);
	}
	EVP_MD_CTX_free(md);
}

/* The server verifies every body: by the hash that the signature covers, or by one of these. */
void put_body_checksum(struct s3_call *c)
{
	unsigned char text[16];

	if (c->lane->store->config.payload_signed)
		return;
	if (c->req->op != FIRN_STORE_PUT) {
		add_md5(c);
		return;
	}
	uint32_t crc = __builtin_bswap32(crc_of(c->req));

	(void)EVP_EncodeBlock(text, (unsigned char *)&crc, sizeof crc);
	call_header(c, "x-amz-checksum-crc32c", (char *)text);
}

void put_ask(struct s3_call *c)
{
	c->method = "PUT";
	c->body_is_iov = 1;
	c->body_len = c->req->len;
	/* An empty body needs no putting back, so nothing would keep libcurl from a second try. */
	c->sends_twice_badly = c->req->len == 0 && c->req->condition != FIRN_STORE_ALWAYS;
	put_conditions(c);
	put_body_checksum(c);
}

int put_answer(struct s3_call *c)
{
	call_version(c);
	if (c->req->version.len == 0)
		answer_nonsense(c, "the server answers without an ETag");
	return 1;
}
