/* PUT and DELETE. */
#include "backends/libs3/libs3_store.h"
#include <openssl/evp.h>
#include <stdio.h>

enum { MD5_LEN = 16 };

static int body_md5(const struct firn_store_request *req, unsigned char hash[MD5_LEN])
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	int ok = md && EVP_DigestInit_ex(md, EVP_md5(), NULL) == 1;

	for (uint32_t i = 0; ok && i < req->n_iov; i++)
		ok = EVP_DigestUpdate(md, req->iov[i].iov_base, req->iov[i].iov_len) == 1;
	ok = ok && EVP_DigestFinal_ex(md, hash, NULL) == 1;
	EVP_MD_CTX_free(md);
	return ok ? 0 : -1;
}

/* libs3 2.0 looks for the answer's headers before the body has gone out, and so finds no ETag. Of an
 * object that was put whole it is the MD5, which the server has just compared. */
static void etag_of_md5(struct libs3_call *c, const unsigned char hash[MD5_LEN])
{
	for (int i = 0; i < MD5_LEN; i++)
		(void)snprintf(c->etag + 2 * i, 3, "%02x", hash[i]);
}

static int on_wanted(int room, char *buffer, void *data)
{
	return (int)call_give(data, buffer, (size_t)room);
}

void libs3_put(struct libs3_call *c)
{
	const S3PutObjectHandler handler = { call_handler, on_wanted };
	S3PutProperties properties = { .expires = -1 };
	unsigned char hash[MD5_LEN], md5[32];

	if (c->req->condition != FIRN_STORE_ALWAYS) {
		answer_fail(c, FIRN_STORE_PERMANENT, FIRN_EUNSUPPORTED,
		            "libs3 has no conditional PUT");
		return;
	}
	if (body_md5(c->req, hash)) {
		answer_fail(c, FIRN_STORE_PERMANENT, FIRN_ENOMEM, "no memory for a checksum");
		return;
	}
	/* The server compares the body with it. */
	(void)EVP_EncodeBlock(md5, hash, sizeof hash);
	properties.md5 = (const char *)md5;
#if LIBS3_IS_4
	S3_put_object(&c->bucket, c->key, c->req->len, &properties, NULL, c->timeout_ms, &handler,
	              c);
#else
	S3_put_object(&c->bucket, c->key, c->req->len, &properties, NULL, &handler, c);
#endif
	if (answer_status(c))
		return;
	if (!c->etag[0])
		etag_of_md5(c, hash);
	call_version(c);
}

void libs3_delete(struct libs3_call *c)
{
#if LIBS3_IS_4
	S3_delete_object(&c->bucket, c->key, NULL, c->timeout_ms, &call_handler, c);
#else
	S3_delete_object(&c->bucket, c->key, NULL, &call_handler, c);
#endif
	(void)answer_status(c);
}
