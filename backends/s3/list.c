/* LIST: ListObjectsV2, one page of the server's for one of ours. A page that came out empty though
 * more follow is continued here, by its token.
 *
 * The host goes on with start_after, but not every server can: MinIO, asked for what follows
 * `a-/a/x`, passes over `a-/a0/y` and says that nothing is left out. Its tokens are right. So the
 * tokens of the last pages are kept, and who asks for what follows one of them is served by it;
 * whoever asks for any other place is listed to from the prefix on, and what lies before is left out.
 * Where start_after=yes that is the server's work. */
#include "backends/s3/s3_store.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { SERVER_MAX = 1000 };

/* Bytes of a prefix that the server is asked for. MinIO takes a last component of `.` or `..` for a
 * path, and refuses; `..x` is a key all the same, so what is around it is listed and left out. */
static size_t asked_len(const char *prefix)
{
	const char *slash = strrchr(prefix, '/'), *last = slash ? slash + 1 : prefix;

	return strcmp(last, ".") && strcmp(last, "..") ? strlen(prefix) : (size_t)(last - prefix);
}

/* The token for what follows start_after, if the page that ended there is one of the last. */
static void find_mark(struct s3_call *c)
{
	const struct firn_store_request *req = c->req;
	struct s3_store *s = c->lane->store;

	for (uint32_t i = 0; i < S3_MARKS; i++)
		if (s->mark[i].token[0] && !strcmp(s->mark[i].prefix, req->prefix) &&
		    !strcmp(s->mark[i].after, req->start_after)) {
			(void)strcpy(c->token, s->mark[i].token);
			c->used_mark = 1;
		}
}

static void set_mark(struct s3_call *c)
{
	struct s3_store *s = c->lane->store;
	const char *last = c->last + strlen(s->config.prefix);
	struct s3_mark *m = &s->mark[s->n_marked++ % S3_MARKS];

	if (strlen(last) > FIRN_STORE_KEY_MAX || strlen(c->req->prefix) > FIRN_STORE_KEY_MAX)
		return;
	(void)strcpy(m->prefix, c->req->prefix);
	(void)strcpy(m->after, last);
	(void)strcpy(m->token, c->token);
}

/* A token may have grown too old for the server. */
void list_failed(struct s3_call *c)
{
	if (c->used_mark && c->req->outcome == FIRN_STORE_PERMANENT) {
		memset(c->lane->store->mark, 0, sizeof c->lane->store->mark);
		c->req->outcome = FIRN_STORE_RETRY;
		c->req->code = FIRN_ESTORE;
	}
}

void list_ask(struct s3_call *c)
{
	const struct firn_store_request *req = c->req;
	const char *base = c->lane->store->config.prefix;
	char number[16], text[S3_KEY_ROOM];
	uint32_t room = req->page->max - req->page->n;

	c->method = "GET";
	if (!c->token[0])
		find_mark(c);
	if (c->token[0])
		call_query(c, "continuation-token", c->token);
	call_query(c, "list-type", "2");
	(void)snprintf(number, sizeof number, "%u", room < SERVER_MAX ? room : SERVER_MAX);
	call_query(c, "max-keys", number);
	(void)snprintf(text, sizeof text, "%s%.*s", base, (int)asked_len(req->prefix), req->prefix);
	call_query(c, "prefix", text);
	if (!c->token[0] && c->lane->store->config.trust_start_after && req->start_after[0] &&
	    strcmp(req->start_after, req->prefix) >= 0) {
		(void)snprintf(text, sizeof text, "%s%s", base, req->start_after);
		call_query(c, "start-after", text);
	}
	c->token[0] = 0;
}

/* "2026-01-31T23:59:59.123Z" */
static int64_t mtime_of(const char *text)
{
	struct tm tm;
	const char *rest;
	int64_t ms = 0;

	memset(&tm, 0, sizeof tm);
	rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	if (!rest)
		return 0;
	if (rest[0] == '.')
		ms = (int64_t)(strtod(rest, NULL) * 1000.0);
	return (int64_t)timegm(&tm) * 1000 + ms;
}

/* A key is there. Keys out of order or of others would be skipped or served twice. */
static void list_add(struct s3_call *c)
{
	const struct firn_store_request *req = c->req;
	size_t base = strlen(c->lane->store->config.prefix);
	size_t asked = asked_len(req->prefix);
	int ours = !strncmp(c->name, c->lane->store->config.prefix, base) &&
	           !strncmp(c->name + base, req->prefix, asked);

	if (ours && !c->name[base])
		return; /* "prefix/" itself: a folder that someone's console has made */
	if (ours &&
	    strncmp(c->name + base + asked, req->prefix + asked, strlen(req->prefix + asked))) {
		/* Beyond the prefix that was cut; the rest is, too. */
		c->is_past = strcmp(c->name + base, req->prefix) > 0;
		return;
	}
	if (!ours || strcmp(c->name, c->last) <= 0 || !c->has_size) {
		c->bad_answer = 1;
		return;
	}
	(void)strcpy(c->last, c->name);
	if (strcmp(c->name + base, req->start_after) <= 0)
		return;
	if (strlen(c->name + base) <= FIRN_STORE_KEY_MAX && !req->page->more)
		(void)firn_store_page_add(req->page, c->name + base, strlen(c->name + base),
		                          c->item_size, c->item_mtime_ms);
}

void list_element(struct s3_call *c, const char *parent, const char *name, const char *text)
{
	if (!strcmp(parent, "Contents")) {
		if (!strcmp(name, "Key")) {
			if (strlen(text) < sizeof c->name)
				(void)strcpy(c->name, text);
			else
				c->bad_answer = 1;
		} else if (!strcmp(name, "Size")) {
			c->item_size = strtoull(text, NULL, 10);
			c->has_size = 1;
		} else if (!strcmp(name, "LastModified")) {
			c->item_mtime_ms = mtime_of(text);
		}
	} else if (!strcmp(name, "Contents")) {
		list_add(c);
		c->name[0] = 0;
		c->has_size = 0;
		c->item_mtime_ms = 0;
	} else if (!strcmp(name, "IsTruncated")) {
		c->is_truncated = !strcmp(text, "true");
	} else if (!strcmp(name, "NextContinuationToken") && strlen(text) < sizeof c->token) {
		(void)strcpy(c->token, text);
	}
}

int list_answer(struct s3_call *c)
{
	struct firn_store_page *page = c->req->page;

	if (!c->xml || strcmp(xml_root(c->xml), "ListBucketResult")) {
		answer_nonsense(c, "the server's answer is not a listing");
		return 1;
	}
	if (!c->is_truncated || c->is_past)
		return 1;
	if (page->n == 0 && !page->more && c->token[0])
		return 0;
	/* The token belongs to the last key that the server gave: it must be the last we gave. */
	if (!page->more && c->token[0])
		set_mark(c);
	page->more = 1;
	return 1;
}
