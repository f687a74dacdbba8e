/* Which outcome a status of libs3 is. The host's next step hangs on it, so a write that may have
 * happened is AMBIGUOUS. libs3 tells the code of an error body, or what the HTTP status is nearest to;
 * the status itself it keeps.
 *
 *	no connection              RETRY: nothing was sent
 *	broken off, 5xx, unknown   write: AMBIGUOUS            read: RETRY
 *	SlowDown                   THROTTLED
 *	409                        RETRY
 *	404                        ENOENT (deleting: success)
 *	403 and the like           PERMANENT, explained */
#include "backends/libs3/libs3_store.h"
#include <stdio.h>

int answer_writes(const struct firn_store_request *req)
{
	return req->op == FIRN_STORE_PUT || req->op == FIRN_STORE_DELETE;
}

/* A server's words are shown, but nothing that could be a terminal's or a log's undoing. */
static void tame(char *text)
{
	for (char *p = text; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = ' ';
}

void answer_fail(struct libs3_call *c, uint32_t outcome, int code, const char *text)
{
	struct firn_store_request *req = c->req;
	char line[LIBS3_TEXT * 3]; /* the error takes what it has room for */
	const char *name = c->status ? S3_get_status_name(c->status) : "";

	(void)snprintf(line, sizeof line, "%s%s%s%s%s%s", text, name[0] ? " (" : "", name,
	               name[0] && c->message[0] ? ": " : "", name[0] ? c->message : "",
	               name[0] ? ")" : "");
	tame(line);
	cred_scrub(&c->store->cred, line);
	firn_store_set_error(req, outcome, outcome > FIRN_STORE_PERMANENT ? FIRN_ESTORE : code, 0,
	                     line);
	req->got = 0;
	req->version.len = 0;
	if (req->op == FIRN_STORE_LIST) /* no half pages */
		req->page->n = req->page->more = 0, req->page->used = 0;
}

void answer_nonsense(struct libs3_call *c, const char *text)
{
	answer_fail(c, answer_writes(c->req) ? FIRN_STORE_AMBIGUOUS : FIRN_STORE_RETRY, FIRN_ESTORE,
	            text);
}

static void answer_missing(struct libs3_call *c)
{
	if (c->req->op == FIRN_STORE_LIST)
		answer_fail(c, FIRN_STORE_PERMANENT, FIRN_ESTORE, "no such bucket");
	else if (c->req->op != FIRN_STORE_DELETE)
		answer_fail(c, FIRN_STORE_PERMANENT, FIRN_ENOENT, "no such key");
}

/* Others may lie in the file or at the endpoint by now. */
static void answer_keys(struct libs3_call *c)
{
	int others = cred_refused(&c->store->cred) &&
	             (c->status == S3StatusErrorExpiredToken ||
	              c->status == S3StatusErrorTokenRefreshRequired);

	answer_fail(c, others ? FIRN_STORE_RETRY : FIRN_STORE_PERMANENT, FIRN_ESTORE,
	            "the store does not take these credentials");
}

/* What never left this machine. Non-zero: answered. */
static int answer_unsent(struct libs3_call *c)
{
	switch (c->status) {
	case S3StatusOutOfMemory:
	case S3StatusFailedToInitializeRequest:
		answer_fail(c, FIRN_STORE_PERMANENT, FIRN_ENOMEM, "no memory for the request");
		return 1;
	case S3StatusNameLookupError:
	case S3StatusFailedToConnect:
		answer_fail(c, FIRN_STORE_RETRY, FIRN_ESTORE, "no connection");
		return 1;
	case S3StatusServerFailedVerification:
		answer_fail(c, FIRN_STORE_PERMANENT, FIRN_ESTORE, "the server's certificate");
		return 1;
	case S3StatusKeyTooLong:
	case S3StatusUriTooLong:
	case S3StatusQueryParamsTooLong:
		answer_fail(c, FIRN_STORE_PERMANENT, FIRN_EINVAL, "longer than libs3 takes");
		return 1;
	default:
		return 0;
	}
}

static void answer_error(struct libs3_call *c)
{
	switch (c->status) {
	case S3StatusErrorNoSuchKey:
	case S3StatusHttpErrorNotFound:
		answer_missing(c);
		break;
	case S3StatusErrorNoSuchBucket:
		answer_fail(c, FIRN_STORE_PERMANENT, FIRN_ESTORE, "no such bucket");
		break;
	case S3StatusErrorPreconditionFailed: /* of the second half of a GET */
	case S3StatusErrorInvalidRange:
		answer_fail(c, FIRN_STORE_RETRY, FIRN_ESTORE, "it was replaced while it was read");
		break;
	case S3StatusErrorOperationAborted:
	case S3StatusHttpErrorConflict:
		answer_fail(c, FIRN_STORE_RETRY, FIRN_ESTORE, "others change it at the same time");
		break;
	case S3StatusErrorSlowDown:
		answer_fail(c, FIRN_STORE_THROTTLED, FIRN_ESTORE, "too many requests");
		break;
	case S3StatusErrorBadDigest:
		answer_fail(c, FIRN_STORE_RETRY, FIRN_ESTORE, "the body arrived damaged");
		break;
	case S3StatusErrorEntityTooLarge:
		answer_fail(c, FIRN_STORE_PERMANENT, FIRN_ETOOBIG, "larger than the store takes");
		break;
	case S3StatusErrorNotImplemented:
		answer_fail(c, FIRN_STORE_PERMANENT, FIRN_EUNSUPPORTED, "the store cannot do that");
		break;
	case S3StatusErrorAccessDenied:
	case S3StatusHttpErrorForbidden:
		answer_fail(c, FIRN_STORE_PERMANENT,
		            answer_writes(c->req) ? FIRN_EREADONLY : FIRN_ESTORE,
		            "no right to do that");
		break;
	case S3StatusErrorSignatureDoesNotMatch:
		answer_fail(c, FIRN_STORE_PERMANENT, FIRN_ESTORE,
		            "the secret key is not the access key's, or the server has no "
		            "signatures of libs3's kind");
		break;
	case S3StatusErrorExpiredToken:
	case S3StatusErrorTokenRefreshRequired:
	case S3StatusErrorInvalidToken:
	case S3StatusErrorInvalidAccessKeyId:
		answer_keys(c);
		break;
	case S3StatusErrorRequestTimeTooSkewed:
		/* libs3 2.0 asks gmtime(), whose answer another thread may have overwritten: worth
		 * another try. A wrong clock stays wrong, and then this is what is read. */
		answer_fail(c, FIRN_STORE_RETRY, FIRN_ESTORE,
		            "this machine's clock differs from the store's: set it right");
		break;
	default:
		answer_nonsense(c, c->status == S3StatusConnectionFailed
		                           ? "the connection broke"
		                           : "the store is in trouble");
	}
}

int answer_status(struct libs3_call *c)
{
	if (c->status == S3StatusOK)
		return 0;
	if (!answer_unsent(c))
		answer_error(c);
	return 1;
}
