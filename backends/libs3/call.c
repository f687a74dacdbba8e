/* A request of libs3: keys and bucket go in, callbacks bring head and body. */
#include "backends/libs3/libs3_store.h"
#include <openssl/crypto.h>
#include <stdio.h>

/* "" = none. libs3 4 stays within it; 2.0 only notices that nothing moves for 15 s. */
static int timeout_of(const struct firn_store_request *req)
{
	uint64_t ms = req->timeout_us / 1000u + (req->timeout_us != 0);

	return ms < 86400000u ? (int)ms : 0;
}

static int call_keys(struct libs3_call *c)
{
	struct firn_error err = { .struct_size = (uint32_t)sizeof err };
	int rc = cred_get(&c->store->cred, &c->keys, &err);

	if (rc != FIRN_OK)
		firn_store_set_error(c->req,
		                     err.flags & FIRN_ERR_RETRY ? FIRN_STORE_RETRY
		                                                : FIRN_STORE_PERMANENT,
		                     rc == FIRN_ENOMEM ? rc : FIRN_ESTORE, err.sys, err.text);
	else if (!LIBS3_IS_4 && c->keys.token[0])
		firn_store_set_error(c->req, FIRN_STORE_PERMANENT, FIRN_ESTORE, 0,
		                     "these credentials have a session token, and libs3 2.0 cannot "
		                     "send one; s3: can");
	else
		return 0;
	return 1;
}

int call_begin(struct libs3_call *c, struct libs3_store *s, struct firn_store_request *req)
{
	const struct libs3_config *config = &s->config;

	memset(c, 0, sizeof *c);
	c->store = s;
	c->req = req;
	c->timeout_ms = timeout_of(req);
	call_again(c);
	if (req->op != FIRN_STORE_LIST)
		(void)snprintf(c->key, sizeof c->key, "%s%s", config->prefix, req->key);
	if (call_keys(c))
		return 1;
	c->bucket.hostName = config->host;
	c->bucket.bucketName = config->bucket;
	c->bucket.protocol = config->is_https ? S3ProtocolHTTPS : S3ProtocolHTTP;
	c->bucket.uriStyle = config->is_virtual ? S3UriStyleVirtualHost : S3UriStylePath;
	c->bucket.accessKeyId = c->keys.access_key;
	c->bucket.secretAccessKey = c->keys.secret_key;
#if LIBS3_IS_4
	c->bucket.securityToken = c->keys.token[0] ? c->keys.token : NULL;
	c->bucket.authRegion = config->region;
#endif
	return 0;
}

void call_end(struct libs3_call *c)
{
	OPENSSL_cleanse(&c->keys, sizeof c->keys);
}

void call_again(struct libs3_call *c)
{
	c->status = S3StatusOK;
	c->etag[0] = c->message[0] = 0;
	c->length = 0;
	c->last_modified = -1;
	c->iov_at = 0;
	c->iov_pos = c->body = 0;
}

/* ---- what libs3 calls ---- */

static S3Status on_properties(const S3ResponseProperties *p, void *data)
{
	struct libs3_call *c = data;

	if (p->eTag && strlen(p->eTag) < sizeof c->etag)
		(void)strcpy(c->etag, p->eTag);
	c->length = p->contentLength;
	c->last_modified = p->lastModified;
	return S3StatusOK;
}

static void on_complete(S3Status status, const S3ErrorDetails *details, void *data)
{
	struct libs3_call *c = data;

	c->status = status;
	if (details && details->message)
		(void)snprintf(c->message, sizeof c->message, "%s", details->message);
}

const S3ResponseHandler call_handler = { on_properties, on_complete };

/* The next piece of the request's memory, of at most `len` bytes; NULL: there is no more. */
static char *next_piece(struct libs3_call *c, size_t len, size_t *n)
{
	const struct firn_store_request *req = c->req;

	while (c->iov_at < req->n_iov && c->iov_pos == req->iov[c->iov_at].iov_len) {
		c->iov_at++;
		c->iov_pos = 0;
	}
	if (c->iov_at == req->n_iov)
		return NULL;
	const struct iovec *v = &req->iov[c->iov_at];
	char *at = (char *)v->iov_base + c->iov_pos;

	*n = v->iov_len - (size_t)c->iov_pos;
	if (*n > len)
		*n = len;
	c->iov_pos += *n;
	c->body += *n;
	return at;
}

size_t call_take(struct libs3_call *c, const char *data, size_t len)
{
	size_t done = 0, n = 0;

	while (done < len) {
		char *to = next_piece(c, len - done, &n);

		if (!to)
			break;
		memcpy(to, data + done, n);
		done += n;
	}
	return done;
}

size_t call_give(struct libs3_call *c, char *data, size_t len)
{
	size_t done = 0, n = 0;

	while (done < len) {
		const char *from = next_piece(c, len - done, &n);

		if (!from)
			break;
		memcpy(data + done, from, n);
		done += n;
	}
	return done;
}

/* ---- what an answer's head says ---- */

/* The ETag, quotes and all; some servers leave them out. */
void call_version(struct libs3_call *c)
{
	struct firn_store_version *v = &c->req->version;
	int bare = c->etag[0] && c->etag[0] != '"' && strncmp(c->etag, "W/", 2);
	int n = snprintf(v->text, sizeof v->text, bare ? "\"%s\"" : "%s", c->etag);

	v->len = n > 0 && n < (int)sizeof v->text ? (uint32_t)n : 0;
}

void call_facts(struct libs3_call *c)
{
	c->req->size = c->length;
	c->req->mtime_ms = c->last_modified > 0 ? c->last_modified * 1000 : 0;
	call_version(c);
}
