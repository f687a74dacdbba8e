/* GET of a range, and STAT (HEAD). */
#include "backends/s3/s3_store.h"
#include <stdio.h>

/* A range at or beyond the end is an error to S3 (416) and an empty answer to us; a server that does
 * not say the object's size with it is asked again, by HEAD. */
enum { ASK_SIZE = 1 };

void get_ask(struct s3_call *c)
{
	const struct firn_store_request *req = c->req;
	uint64_t last = req->pos + req->len - 1;
	char range[64];

	if (req->op == FIRN_STORE_STAT || c->step == ASK_SIZE || req->len == 0) {
		c->method = "HEAD";
		return;
	}
	c->method = "GET";
	if (last < req->pos || last > INT64_MAX)
		last = INT64_MAX;
	(void)snprintf(range, sizeof range, "bytes=%llu-%llu", (unsigned long long)req->pos,
	               (unsigned long long)last);
	call_header(c, "range", range);
}

static void get_facts(struct s3_call *c)
{
	c->req->mtime_ms = c->head.last_modified > 0 ? c->head.last_modified * 1000 : 0;
	call_version(c);
}

/* Is what arrived what was asked for? */
static const char *check_range(const struct s3_call *c)
{
	const struct firn_store_request *req = c->req;
	const struct s3_head *h = &c->head;
	uint64_t left = h->total > req->pos ? h->total - req->pos : 0;

	if (!h->has_range || !h->has_total)
		return "a partial answer without Content-Range";
	if (h->range_from != req->pos)
		return "the server sent another range than the one asked for";
	if (c->body_got != (left < req->len ? left : req->len))
		return "the server sent fewer bytes than the range has";
	return NULL;
}

static int get_body(struct s3_call *c)
{
	struct firn_store_request *req = c->req;
	const char *wrong = NULL;

	if (c->status == 206) {
		wrong = check_range(c);
		req->size = c->head.total;
	} else {
		req->size = c->head.length;
		if (req->pos)
			wrong = "the server ignores ranges";
		else if (c->body_got != (req->size < req->len ? req->size : req->len))
			wrong = "the server sent fewer bytes than the object has";
	}
	if (wrong) {
		answer_nonsense(c, wrong);
		return 1;
	}
	req->got = c->body_got;
	get_facts(c);
	return 1;
}

int get_answer(struct s3_call *c)
{
	if (!strcmp(c->method, "GET"))
		return get_body(c);
	c->req->size = c->head.length;
	get_facts(c);
	if (c->step == ASK_SIZE && c->req->size > c->req->pos)
		answer_fail(c, FIRN_STORE_RETRY, FIRN_ESTORE, "the object grew while it was read");
	return 1;
}

int get_past_the_end(struct s3_call *c)
{
	c->step = ASK_SIZE;
	return 0;
}
