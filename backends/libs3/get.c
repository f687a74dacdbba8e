/* GET of a range, and STAT. libs3 tells of a partial answer how long it is and not of how much, so a GET
 * is two requests: HEAD for size and version, then the range of that version. */
#include "backends/libs3/libs3_store.h"

static int head(struct libs3_call *c)
{
#if LIBS3_IS_4
	S3_head_object(&c->bucket, c->key, NULL, c->timeout_ms, &call_handler, c);
#else
	S3_head_object(&c->bucket, c->key, NULL, &call_handler, c);
#endif
	if (answer_status(c))
		return -1;
	call_facts(c);
	return 0;
}

void libs3_stat(struct libs3_call *c)
{
	(void)head(c);
}

static S3Status on_body(int len, const char *buffer, void *data)
{
	return call_take(data, buffer, (size_t)len) == (size_t)len ? S3StatusOK
	                                                           : S3StatusAbortedByCallback;
}

/* `want` bytes of the version that head() saw. */
static void range(struct libs3_call *c, uint64_t want)
{
	const S3GetObjectHandler handler = { call_handler, on_body };
	struct firn_store_request *req = c->req;
	char etag[LIBS3_ETAG_ROOM];
	S3GetConditions same = { -1, -1, etag, NULL };

	(void)strcpy(etag, c->etag);
	call_again(c);
#if LIBS3_IS_4
	S3_get_object(&c->bucket, c->key, &same, req->pos, want, NULL, c->timeout_ms, &handler, c);
#else
	S3_get_object(&c->bucket, c->key, &same, req->pos, want, NULL, &handler, c);
#endif
	if (answer_status(c))
		return;
	/* libs3 takes a body that was cut for a whole one, and so would an ignored condition be. */
	if (c->body != want || strcmp(c->etag, etag))
		answer_nonsense(c, "the server sent another body than the one asked for");
	else
		req->got = want;
}

void libs3_get(struct libs3_call *c)
{
	struct firn_store_request *req = c->req;

	if (head(c))
		return;
	uint64_t left = req->size > req->pos ? req->size - req->pos : 0;
	uint64_t want = req->len < left ? req->len : left;

	if (want)
		range(c, want);
}
