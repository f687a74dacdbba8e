/* Which outcome it is. The host's next step hangs on it, so what is in doubt is said to be: a write
 * that broke after it was sent, or that got a 5xx, may have happened.
 *
 *	412                        condition not met         ECONFLICT
 *	404 NoSuchKey              not there                 ENOENT (deleting: success)
 *	409 ...Conflict, Aborted   others were at it         RETRY: it says nothing about a winner
 *	429, 503 SlowDown          too many requests         THROTTLED
 *	other 5xx, broken off      write: AMBIGUOUS          read: RETRY
 *	403 and the like           PERMANENT, explained */
#include "backends/s3/s3_store.h"
#include "engine/base/error.h"
#include <ctype.h>
#include <stdio.h>

/* The ETag, quotes and all; some servers leave them out. */
void call_version(struct s3_call *c)
{
	struct firn_store_version *v = &c->req->version;
	const char *etag = c->head.etag;
	int bare = etag[0] && etag[0] != '"' && strncmp(etag, "W/", 2);
	int n = snprintf(v->text, sizeof v->text, bare ? "\"%s\"" : "%s", etag);

	v->len = n > 0 && n < (int)sizeof v->text ? (uint32_t)n : 0;
}

/* A server's words are shown, but nothing that could be a terminal's or a log's undoing. */
static void tame(char *text)
{
	for (char *p = text; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = ' ';
}

void answer_fail(struct s3_call *c, uint32_t outcome, int code, const char *text)
{
	char line[S3_TEXT * 4]; /* the error takes what it has room for */
	const struct s3_head *h = &c->head;

	(void)snprintf(line, sizeof line, "%s%s%s%s%s%s", text, h->server_code[0] ? " (" : "",
	               h->server_code, h->server_code[0] && h->message[0] ? ": " : "",
	               h->server_code[0] ? h->message : "", h->server_code[0] ? ")" : "");
	tame(line);
	cred_scrub(&c->lane->store->cred, line);
	firn_store_set_error(c->req, outcome, outcome > FIRN_STORE_PERMANENT ? FIRN_ESTORE : code,
	                     (int32_t)c->status, line);
	if (outcome == FIRN_STORE_THROTTLED || outcome == FIRN_STORE_RETRY)
		c->req->error->retry_after_ms = h->retry_after_ms;
	c->req->got = 0;
	if (c->req->op == FIRN_STORE_LIST) { /* no half pages */
		c->req->page->n = c->req->page->more = 0;
		c->req->page->used = 0;
	}
}

void answer_nonsense(struct s3_call *c, const char *text)
{
	c->req->version.len = 0;
	answer_fail(c, call_writes(c) ? FIRN_STORE_AMBIGUOUS : FIRN_STORE_RETRY, FIRN_ESTORE, text);
}

/* ---- no answer ---- */

static int is_certificate(CURLcode result)
{
	return result == CURLE_PEER_FAILED_VERIFICATION || result == CURLE_SSL_CACERT_BADFILE ||
	       result == CURLE_SSL_CIPHER || result == CURLE_SSL_CERTPROBLEM;
}

void answer_curl(struct s3_call *c, CURLcode result)
{
	const char *why = c->curl_text[0] ? c->curl_text : curl_easy_strerror(result);
	curl_off_t sent_at = 0;
	char text[CURL_ERROR_SIZE + 64];
	uint32_t outcome = FIRN_STORE_RETRY;

	/* Zero until the connection stood and the request was about to go out. */
	(void)curl_easy_getinfo(c->easy, CURLINFO_PRETRANSFER_TIME_T, &sent_at);
	if (result == CURLE_OUT_OF_MEMORY && sent_at == 0) {
		answer_fail(c, FIRN_STORE_PERMANENT, FIRN_ENOMEM, "no memory for the transfer");
		return;
	}
	if (is_certificate(result))
		outcome = FIRN_STORE_PERMANENT;
	else if (sent_at > 0 && call_writes(c))
		outcome = FIRN_STORE_AMBIGUOUS;
	(void)snprintf(text, sizeof text, "%s: %s",
	               is_certificate(result)               ? "the server's certificate"
	               : sent_at == 0                       ? "no connection"
	               : result == CURLE_OPERATION_TIMEDOUT ? "no answer in time"
	                                                    : "the connection broke",
	               why);
	c->status = 0;
	answer_fail(c, outcome, FIRN_ESTORE, text);
}

/* ---- an answer with an error in it ---- */

/* What a code in a body means where the status does not say it: behind a 200, or a 400 of many. */
static long status_of_code(const char *code, long status)
{
	static const struct {
		const char *code;
		long status;
	} known[] = {
		{ "PreconditionFailed", 412 },
		{ "ConditionalRequestConflict", 409 },
		{ "OperationAborted", 409 },
		{ "ObjectParentIsFile", 501 },        /* versitygw: `a/b` beside `a` */
		{ "ExistingObjectIsDirectory", 501 }, /* and `a` beside `a/b` */
		{ "NotImplemented", 501 },
		{ "NoSuchKey", 404 },
		{ "NoSuchUpload", 404 },
		{ "NoSuchBucket", 404 },
		{ "AccessDenied", 403 },
		{ "SlowDown", 503 },
		{ "RequestLimitExceeded", 503 },
		{ "ServiceUnavailable", 503 },
		{ "InternalError", 500 },
		{ "RequestTimeout", 500 }, /* a 400: our body came too slowly */
		{ "EntityTooLarge", 413 },
		{ "BadDigest", 422 },
		{ "XAmzContentSHA256Mismatch", 422 },
		{ "XAmzContentChecksumMismatch", 422 },
		{ "InvalidDigest", 422 },
	};

	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
		if (!strcmp(code, known[i].code))
			return known[i].status;
	return status / 100 == 2 ? 500 : status;
}

static void answer_clock(struct s3_call *c)
{
	const struct firn_env *env = c->lane->store->host->env;
	int64_t now = env->now_ms(env->ctx) / 1000, off = now - c->head.date;
	char text[128];

	if (c->head.date > 0)
		(void)snprintf(text, sizeof text,
		               "this machine's clock is %lld s %s the store's: set it right",
		               (long long)(off < 0 ? -off : off), off < 0 ? "behind" : "before");
	else
		(void)snprintf(text, sizeof text, "this machine's clock differs from the store's");
	answer_fail(c, FIRN_STORE_PERMANENT, FIRN_ESTORE, text);
}

/* Keys that the server does not take. Others may lie in the file or at the endpoint by now. */
static int answer_keys(struct s3_call *c)
{
	/* The first three may be of keys that have ended; the third is what MinIO says then. */
	static const char *const codes[] = { "ExpiredToken", "TokenRefreshRequired",
		                             "InvalidTokenId", "InvalidToken",
		                             "InvalidAccessKeyId" };
	const char *code = c->head.server_code;

	for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
		if (strcmp(code, codes[i]))
			continue;
		int others = cred_refused(&c->lane->store->cred);

		answer_fail(c, others && i < 3 ? FIRN_STORE_RETRY : FIRN_STORE_PERMANENT,
		            FIRN_ESTORE, "the store does not take these credentials");
		return 1;
	}
	if (!strcmp(code, "SignatureDoesNotMatch")) {
		answer_fail(c, FIRN_STORE_PERMANENT, FIRN_ESTORE,
		            "the secret key is not the access key's, or a proxy changes requests");
		return 1;
	}
	return 0;
}

static void answer_missing(struct s3_call *c)
{
	uint32_t op = c->req->op;
	const char *code = c->head.server_code;

	if (!strcmp(code, "NoSuchBucket"))
		answer_fail(c, FIRN_STORE_PERMANENT, FIRN_ESTORE, "no such bucket");
	else if (op == FIRN_STORE_LIST ||
	         (code[0] && strcmp(code, "NoSuchKey") && strcmp(code, "NoSuchUpload")))
		answer_fail(c, FIRN_STORE_PERMANENT, FIRN_ESTORE, "the server answers 404");
	else if (op != FIRN_STORE_DELETE && op != FIRN_STORE_MULTIPART_ABORT)
		answer_fail(c, FIRN_STORE_PERMANENT, FIRN_ENOENT,
		            strcmp(code, "NoSuchUpload") ? "no such key" : "no such upload");
}

static void answer_busy(struct s3_call *c, long status)
{
	const char *code = c->head.server_code;
	int slow = status == 429 || (status == 503 && (!strcmp(code, "SlowDown") || !code[0] ||
	                                               !strcmp(code, "RequestLimitExceeded")));

	/* A bare 503 is a proxy's in front of the store, or a store that says no more; a write
	 * with a condition had better look. */
	if (slow && !code[0] && c->req->condition != FIRN_STORE_ALWAYS && call_writes(c))
		slow = 0;
	if (slow)
		answer_fail(c, FIRN_STORE_THROTTLED, FIRN_ESTORE, "too many requests");
	else
		answer_nonsense(c, "the store is in trouble");
}

void answer_status(struct s3_call *c)
{
	const char *code = c->head.server_code;
	long status = code[0] ? status_of_code(code, c->status) : c->status;
	char text[64];

	(void)snprintf(text, sizeof text, "the server answers %ld", status);
	if (!strcmp(code, "RequestTimeTooSkewed"))
		answer_clock(c);
	else if (answer_keys(c))
		return;
	else if (status == 412)
		answer_fail(c, FIRN_STORE_PERMANENT, FIRN_ECONFLICT, "the condition is not met");
	else if (status == 404)
		answer_missing(c);
	else if (status == 409)
		answer_fail(c, FIRN_STORE_RETRY, FIRN_ESTORE, "others change it at the same time");
	else if (status == 501)
		answer_fail(c, FIRN_STORE_PERMANENT, FIRN_EUNSUPPORTED, "the store cannot do that");
	else if (status == 429 || status / 100 == 5)
		answer_busy(c, status);
	else if (status == 401 || status == 403)
		answer_fail(c, FIRN_STORE_PERMANENT, call_writes(c) ? FIRN_EREADONLY : FIRN_ESTORE,
		            code[0] ? "no right to do that"
		                    : "no right to do that, or no such key");
	else if (status == 413)
		answer_fail(c, FIRN_STORE_PERMANENT, FIRN_ETOOBIG, "larger than the store takes");
	else if (status == 422)
		answer_fail(c, FIRN_STORE_RETRY, FIRN_ESTORE, "the body arrived damaged");
	else if (status / 100 == 3)
		answer_fail(c, FIRN_STORE_PERMANENT, FIRN_ESTORE,
		            "the bucket is elsewhere: look at endpoint, region and style");
	else
		answer_fail(c, FIRN_STORE_PERMANENT, status == 400 ? FIRN_EINVAL : FIRN_ESTORE,
		            text);
}
