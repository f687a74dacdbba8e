/* The HTTP of a call: what libcurl is told, and what it tells. */
#include "backends/s3/s3_store.h"
#include "backends/s3/sign.h"
#include "engine/base/error.h"
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

enum { CONNECT_MS = 10000, STALLED_S = 60, KEEP_IDLE_S = 25 };

/* RFC 3986: all but unreserved characters as %XX, as the signature wants it. */
size_t s3_encode(char *out, size_t cap, const char *text, int keep_slash)
{
	static const char digit[] = "0123456789ABCDEF";
	size_t n = 0;

	for (const unsigned char *p = (const unsigned char *)text; *p && n + 4 <= cap; p++) {
		int plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
		            (*p >= '0' && *p <= '9') || strchr("-._~", *p) ||
		            (keep_slash && *p == '/');

		if (plain) {
			out[n++] = (char)*p;
		} else {
			out[n++] = '%';
			out[n++] = digit[*p >> 4];
			out[n++] = digit[*p & 15];
		}
	}
	out[n] = 0;
	return n;
}

void call_query(struct s3_call *c, const char *name, const char *value)
{
	size_t n = strlen(c->query);

	n += (size_t)snprintf(c->query + n, sizeof c->query - n, "%s%s=", n ? "&" : "", name);
	(void)s3_encode(c->query + n, sizeof c->query - n, value, 0);
}

/* Kept sorted by name. A header that begins with x-amz-, and host, is signed. */
void call_header(struct s3_call *c, const char *name, const char *value)
{
	uint32_t at = c->n_header++;

	for (; at && strcmp(c->header[at - 1].name, name) > 0; at--)
		c->header[at] = c->header[at - 1];
	(void)snprintf(c->header[at].name, sizeof c->header[at].name, "%s", name);
	(void)snprintf(c->header[at].value, sizeof c->header[at].value, "%s", value);
}

/* ---- signing ---- */

/* SHA-256 of the body, in hex; the server compares it with what arrives. */
static int body_hash(const struct s3_call *c, char hex[SIGN_HEX])
{
	const struct firn_store_request *req = c->req;
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	unsigned char hash[32];
	int ok = md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1;

	if (c->body_is_iov)
		for (uint32_t i = 0; ok && i < req->n_iov; i++)
			ok = EVP_DigestUpdate(md, req->iov[i].iov_base, req->iov[i].iov_len) == 1;
	else if (c->body_len)
		ok = ok && EVP_DigestUpdate(md, c->text, (size_t)c->body_len) == 1;
	ok = ok && EVP_DigestFinal_ex(md, hash, NULL) == 1;
	EVP_MD_CTX_free(md);
	if (ok)
		sign_hex(hash, sizeof hash, hex);
	return ok ? 0 : -1;
}

/* The Authorization header in `out`, and the others that belong to it among the call's. */
static int sign(struct s3_call *c, const struct cred_keys *keys, char out[SIGN_ROOM])
{
	const struct firn_env *env = c->lane->store->host->env;
	const struct s3_config *config = &c->lane->store->config;
	struct sign_header signed_one[S3_HEADERS + 2];
	char date[20], hash[SIGN_HEX] = SIGN_UNSIGNED;
	uint32_t n = 0;
	int token_at_end = keys->token[0] != 0;

	sign_date(env->now_ms(env->ctx), date);
	if (!(c->body_is_iov && !config->payload_signed) && body_hash(c, hash))
		return -1;
	call_header(c, "x-amz-content-sha256", hash);
	call_header(c, "x-amz-date", date);
	signed_one[n++] = (struct sign_header){ "host", config->host };
	for (uint32_t i = 0; i < c->n_header; i++) {
		if (strncmp(c->header[i].name, "x-amz-", 6))
			continue;
		signed_one[n++] = (struct sign_header){ c->header[i].name, c->header[i].value };
	}
	/* A token is longer than a header of ours, and by its name the last that there is. */
	if (token_at_end)
		signed_one[n++] = (struct sign_header){ "x-amz-security-token", keys->token };
	const char *path = c->url + strlen(config->base_url);
	char only_path[S3_URL_ROOM];

	(void)snprintf(only_path, sizeof only_path, "%.*s", (int)strcspn(path, "?"), path);
	return sign_authorization(&(struct sign_request){ .method = c->method,
	                                                  .path = only_path,
	                                                  .query = c->query,
	                                                  .header = signed_one,
	                                                  .n_header = n,
	                                                  .payload = hash,
	                                                  .date = date,
	                                                  .region = config->region,
	                                                  .access_key = keys->access_key,
	                                                  .secret_key = keys->secret_key },
	                          out);
}

static int add_line(struct s3_call *c, const char *name, const char *value)
{
	char line[CRED_TOKEN_ROOM + 64];
	struct curl_slist *more;

	(void)snprintf(line, sizeof line, value[0] ? "%s: %s" : "%s:%s", name, value);
	more = curl_slist_append(c->slist, line);
	OPENSSL_cleanse(line, sizeof line);
	if (!more)
		return -1;
	c->slist = more;
	return 0;
}

static int add_headers(struct s3_call *c, const struct cred_keys *keys, const char *authorization)
{
	int rc = add_line(c, "Authorization", authorization);

	for (uint32_t i = 0; !rc && i < c->n_header; i++)
		rc = add_line(c, c->header[i].name, c->header[i].value);
	if (!rc && keys->token[0])
		rc = add_line(c, "x-amz-security-token", keys->token);
	/* What libcurl would add by itself. */
	if (!rc)
		rc = add_line(c, "Expect", "");
	if (!rc)
		rc = add_line(c, "Content-Type", c->text ? "application/xml" : "");
	return rc;
}

/* ---- what libcurl calls ---- */

static size_t on_read(char *out, size_t one, size_t n, void *arg)
{
	struct s3_call *c = arg;
	const struct firn_store_request *req = c->req;
	size_t room = one * n, done = 0;

	while (done < room && c->iov_at < req->n_iov) {
		const struct iovec *v = &req->iov[c->iov_at];
		size_t k = v->iov_len - (size_t)c->iov_pos;

		if (k > room - done)
			k = room - done;
		if (k)
			memcpy(out + done, (char *)v->iov_base + c->iov_pos, k);
		done += k;
		c->iov_pos += k;
		if (c->iov_pos == v->iov_len) {
			c->iov_at++;
			c->iov_pos = 0;
		}
	}
	c->sent += done;
	return done;
}

/* To put a body back and send it once more is what libcurl would do on a connection that turns out
 * to be dead. The back end never retries: a conditional PUT that had happened would then meet
 * itself, and be told that it lost. */
static int on_seek(void *arg, curl_off_t offset, int origin)
{
	struct s3_call *c = arg;

	(void)offset;
	(void)origin;
	return c->sent == 0 ? CURL_SEEKFUNC_OK : CURL_SEEKFUNC_FAIL;
}

static size_t take_body(struct s3_call *c, const char *data, size_t len)
{
	struct firn_store_request *req = c->req;
	size_t done = 0;

	while (done < len && c->iov_at < req->n_iov) {
		const struct iovec *v = &req->iov[c->iov_at];
		size_t k = v->iov_len - (size_t)c->iov_pos;

		if (k > len - done)
			k = len - done;
		if (k)
			memcpy((char *)v->iov_base + c->iov_pos, data + done, k);
		done += k;
		c->iov_pos += k;
		if (c->iov_pos == v->iov_len) {
			c->iov_at++;
			c->iov_pos = 0;
		}
	}
	c->body_got += done;
	return done;
}

static void on_element(void *arg, const char *parent, const char *name, const char *text)
{
	struct s3_call *c = arg;

	if (!strcmp(parent, "Error")) {
		if (!strcmp(name, "Code"))
			(void)snprintf(c->head.server_code, sizeof c->head.server_code, "%s", text);
		else if (!strcmp(name, "Message"))
			(void)snprintf(c->head.message, sizeof c->head.message, "%s", text);
		else if (!strcmp(name, "ActualObjectSize")) {
			c->head.total = strtoull(text, NULL, 10);
			c->head.has_total = 1;
		}
	} else if (c->req->op == FIRN_STORE_LIST) {
		list_element(c, parent, name, text);
	} else if (c->req->op == FIRN_STORE_MULTIPART_BEGIN && !strcmp(name, "UploadId")) {
		if (strlen(text) < FIRN_STORE_UPLOAD_MAX)
			(void)strcpy(c->token, text);
	} else if (c->req->op == FIRN_STORE_MULTIPART_COMMIT && !strcmp(name, "ETag")) {
		(void)snprintf(c->head.etag, sizeof c->head.etag, "%s", text);
	}
}

static size_t on_write(char *data, size_t one, size_t n, void *arg)
{
	struct s3_call *c = arg;
	size_t len = one * n;

	(void)curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &c->status);
	if (c->req->op == FIRN_STORE_GET && c->status / 100 == 2 && c->step == 0)
		return take_body(c, data, len);
	if (!c->xml)
		c->xml = xml_new(c->lane->store->host->env, on_element, c);
	/* An error may be a page of a proxy's: not read further, but no failure of transport. */
	if (c->xml && xml_feed(c->xml, data, len) && c->status / 100 == 2)
		c->bad_answer = 1;
	return len;
}

/* "bytes 5-9/20" or "bytes *" "/20" */
static void on_content_range(struct s3_head *h, const char *value)
{
	const char *slash = strchr(value, '/');

	if (strncasecmp(value, "bytes ", 6) || !slash)
		return;
	if (value[6] != '*') {
		h->range_from = strtoull(value + 6, NULL, 10);
		h->has_range = 1;
	}
	if (slash[1] >= '0' && slash[1] <= '9') {
		h->total = strtoull(slash + 1, NULL, 10);
		h->has_total = 1;
	}
}

static void retry_after(struct s3_head *h, const char *value)
{
	char *end;
	unsigned long s = strtoul(value, &end, 10);
	int64_t at;

	if (end == value) { /* a date */
		at = curl_getdate(value, NULL);
		s = at > 0 && h->date > 0 && at > h->date ? (unsigned long)(at - h->date) : 0;
	}
	h->retry_after_ms = (uint32_t)(s < 3600 ? s : 3600) * 1000u;
}

static size_t on_header(char *data, size_t one, size_t n, void *arg)
{
	struct s3_call *c = arg;
	struct s3_head *h = &c->head;
	char line[1024];
	size_t len = one * n < sizeof line ? one * n : sizeof line - 1;
	char *value;

	memcpy(line, data, len);
	line[len] = 0;
	line[strcspn(line, "\r\n")] = 0;
	if (!strncmp(line, "HTTP/", 5)) { /* a new answer, as after a 100 */
		memset(h, 0, sizeof *h);
		h->date = h->last_modified = -1;
		return one * n;
	}
	value = strchr(line, ':');
	if (!value)
		return one * n;
	*value++ = 0;
	value += strspn(value, " \t");
	if (!strcasecmp(line, "ETag") && strlen(value) < sizeof h->etag)
		(void)strcpy(h->etag, value);
	else if (!strcasecmp(line, "Content-Length"))
		h->length = strtoull(value, NULL, 10);
	else if (!strcasecmp(line, "Content-Range"))
		on_content_range(h, value);
	else if (!strcasecmp(line, "Last-Modified"))
		h->last_modified = curl_getdate(value, NULL);
	else if (!strcasecmp(line, "Date"))
		h->date = curl_getdate(value, NULL);
	else if (!strcasecmp(line, "Retry-After"))
		retry_after(h, value);
	return one * n;
}

/* ---- a transfer ---- */

static void set_transport(struct s3_call *c)
{
	const struct s3_config *config = &c->lane->store->config;
	uint64_t ms = c->req->timeout_us / 1000;
	CURL *e = c->easy;

	(void)curl_easy_setopt(e, CURLOPT_URL, c->url);
	(void)curl_easy_setopt(e, CURLOPT_PATH_AS_IS, 1L);
	(void)curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
	(void)curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	(void)curl_easy_setopt(e, CURLOPT_PROXY, config->proxy);
	if (config->ca[0])
		(void)curl_easy_setopt(e, CURLOPT_CAINFO, config->ca);
	(void)curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
	(void)curl_easy_setopt(e, CURLOPT_LOW_SPEED_LIMIT, 1L);
	(void)curl_easy_setopt(e, CURLOPT_LOW_SPEED_TIME, (long)STALLED_S);
	(void)curl_easy_setopt(e, CURLOPT_MAXAGE_CONN, (long)KEEP_IDLE_S);
	(void)curl_easy_setopt(e, CURLOPT_UPLOAD_BUFFERSIZE, 1L << 20);
	(void)curl_easy_setopt(e, CURLOPT_BUFFERSIZE, 256L << 10);
	if (ms && ms < 86400000u)
		(void)curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)ms + 1);
	if (c->sends_twice_badly)
		(void)curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, 1L);
	(void)curl_easy_setopt(e, CURLOPT_ERRORBUFFER, c->curl_text);
	(void)curl_easy_setopt(e, CURLOPT_PRIVATE, c);
	(void)curl_easy_setopt(e, CURLOPT_HTTPHEADER, c->slist);
	(void)curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_write);
	(void)curl_easy_setopt(e, CURLOPT_WRITEDATA, c);
	(void)curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
	(void)curl_easy_setopt(e, CURLOPT_HEADERDATA, c);
}

static void set_method(struct s3_call *c)
{
	CURL *e = c->easy;

	if (!strcmp(c->method, "HEAD")) {
		(void)curl_easy_setopt(e, CURLOPT_NOBODY, 1L);
	} else if (!strcmp(c->method, "PUT")) {
		(void)curl_easy_setopt(e, CURLOPT_UPLOAD, 1L);
		(void)curl_easy_setopt(e, CURLOPT_INFILESIZE_LARGE, (curl_off_t)c->body_len);
		(void)curl_easy_setopt(e, CURLOPT_READFUNCTION, on_read);
		(void)curl_easy_setopt(e, CURLOPT_READDATA, c);
		(void)curl_easy_setopt(e, CURLOPT_SEEKFUNCTION, on_seek);
		(void)curl_easy_setopt(e, CURLOPT_SEEKDATA, c);
	} else if (!strcmp(c->method, "POST")) {
		(void)curl_easy_setopt(e, CURLOPT_POST, 1L);
		(void)curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)c->body_len);
		(void)curl_easy_setopt(e, CURLOPT_POSTFIELDS, c->text ? c->text : "");
	} else if (!strcmp(c->method, "DELETE")) {
		(void)curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, "DELETE");
	}
}

static void make_url(struct s3_call *c)
{
	const struct s3_config *config = &c->lane->store->config;
	int n = snprintf(c->url, sizeof c->url, "%s%s/", config->base_url, config->base_path);

	n += (int)s3_encode(c->url + n, sizeof c->url - (size_t)n - sizeof c->query, c->key, 1);
	if (c->query[0])
		(void)snprintf(c->url + n, sizeof c->url - (size_t)n, "?%s", c->query);
}

int http_prepare(struct s3_call *c)
{
	struct cred *cred = &c->lane->store->cred;
	struct firn_error err = { .struct_size = (uint32_t)sizeof err };
	char authorization[SIGN_ROOM];
	struct cred_keys keys;
	int rc = cred_get(cred, &keys, &err);

	if (rc != FIRN_OK) {
		firn_store_set_error(c->req,
		                     err.flags & FIRN_ERR_RETRY ? FIRN_STORE_RETRY
		                                                : FIRN_STORE_PERMANENT,
		                     rc == FIRN_ENOMEM ? rc : FIRN_ESTORE, err.sys, err.text);
		return 1;
	}
	make_url(c);
	rc = sign(c, &keys, authorization) || add_headers(c, &keys, authorization);
	OPENSSL_cleanse(&keys, sizeof keys);
	if (rc) {
		firn_store_set_error(c->req, FIRN_STORE_PERMANENT, FIRN_ENOMEM, 0,
		                     "no memory to sign the request");
		return 1;
	}
	set_transport(c);
	set_method(c);
	return 0;
}
