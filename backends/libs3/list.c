/* LIST, by the first version of S3's listing: `marker` is the key after which it begins.
 *
 * Not every server can begin after any key (MinIO passes over some), but each goes on after its own
 * marker. So the markers behind the last pages are kept, and who asks for what follows one of these
 * pages is served by it; whoever asks for any other place is listed to from the prefix on, and what lies
 * before is left out. Where start_after=yes that is the server's work. */
#include "backends/libs3/libs3_store.h"
#include <stdio.h>

enum { SERVER_MAX = 1000 };

struct listing {
	struct libs3_call *call;
	char token[LIBS3_TOKEN_ROOM]; /* what the server wants to be asked next */
	char last[LIBS3_TOKEN_ROOM];  /* the last key that it gave */
	size_t asked;                 /* bytes of the prefix that it was asked for */
	uint32_t n, is_truncated, is_wrong, is_past;
};

static S3Status on_properties(const S3ResponseProperties *p, void *data)
{
	return call_handler.propertiesCallback(p, ((struct listing *)data)->call);
}

static void on_complete(S3Status status, const S3ErrorDetails *details, void *data)
{
	call_handler.completeCallback(status, details, ((struct listing *)data)->call);
}

/* MinIO takes a last component of `.` or `..` for a path, and refuses; `..x` is a key all the same, so
 * what is around it is listed and left out. */
static size_t asked_len(const char *prefix)
{
	const char *slash = strrchr(prefix, '/'), *last = slash ? slash + 1 : prefix;

	return strcmp(last, ".") && strcmp(last, "..") ? strlen(prefix) : (size_t)(last - prefix);
}

/* A key is there. Keys out of order or of others would be skipped or served twice. */
static void add(struct listing *l, const S3ListBucketContent *item)
{
	struct firn_store_request *req = l->call->req;
	const char *base = l->call->store->config.prefix, *key;
	int ours = !strncmp(item->key, base, strlen(base));

	key = ours ? item->key + strlen(base) : "";
	if (!ours || strncmp(key, req->prefix, l->asked) || strlen(item->key) >= sizeof l->last ||
	    strcmp(item->key, l->last) <= 0) {
		l->is_wrong = 1;
		return;
	}
	(void)strcpy(l->last, item->key);
	if (!key[0])
		return; /* "prefix/" itself: a folder that someone's console has made */
	if (strncmp(key + l->asked, req->prefix + l->asked, strlen(req->prefix + l->asked))) {
		l->is_past = strcmp(key, req->prefix) > 0;
		return;
	}
	if (strcmp(key, req->start_after) > 0 && strlen(key) <= FIRN_STORE_KEY_MAX &&
	    !req->page->more)
		(void)firn_store_page_add(req->page, key, strlen(key), item->size,
		                          item->lastModified > 0 ? item->lastModified * 1000 : 0);
}

static S3Status on_keys(int is_truncated, const char *next, int n, const S3ListBucketContent *item,
                        int n_prefixes, const char **prefixes, void *data)
{
	struct listing *l = data;

	(void)n_prefixes;
	(void)prefixes;
	l->is_truncated |= is_truncated != 0;
	if (next)
		(void)snprintf(l->token, sizeof l->token, "%s", next);
	for (int i = 0; i < n; i++)
		add(l, &item[i]);
	l->n += (uint32_t)n;
	return S3StatusOK;
}

/* ---- marks ---- */

static void find_mark(struct listing *l)
{
	const struct firn_store_request *req = l->call->req;
	struct libs3_store *s = l->call->store;

	pthread_mutex_lock(&s->marks_lock);
	for (int i = 0; i < LIBS3_MARKS; i++)
		if (s->mark[i].token[0] && !strcmp(s->mark[i].prefix, req->prefix) &&
		    !strcmp(s->mark[i].after, req->start_after))
			(void)strcpy(l->token, s->mark[i].token);
	pthread_mutex_unlock(&s->marks_lock);
}

/* The token belongs to the last key that the server gave: it is the last that we gave. */
static void set_mark(struct listing *l)
{
	const struct firn_store_request *req = l->call->req;
	struct libs3_store *s = l->call->store;
	const char *after = l->last + strlen(s->config.prefix);

	if (strlen(after) > FIRN_STORE_KEY_MAX || strlen(req->prefix) > FIRN_STORE_KEY_MAX)
		return;
	pthread_mutex_lock(&s->marks_lock);
	struct libs3_mark *m = &s->mark[s->n_marked++ % LIBS3_MARKS];

	(void)strcpy(m->prefix, req->prefix);
	(void)strcpy(m->after, after);
	(void)strcpy(m->token, l->token);
	pthread_mutex_unlock(&s->marks_lock);
}

/* ---- asking ---- */

static void begin(struct listing *l)
{
	const struct firn_store_request *req = l->call->req;
	const struct libs3_config *config = &l->call->store->config;

	find_mark(l);
	if (!l->token[0] && config->trust_start_after && req->start_after[0] &&
	    strcmp(req->start_after, req->prefix) >= 0 &&
	    strlen(config->prefix) + strlen(req->start_after) < sizeof l->token)
		(void)strcat(strcpy(l->token, config->prefix), req->start_after);
}

/* One page of the server's. 0: there are more keys behind it; 1: there are none, or it failed. */
static int ask(struct listing *l, uint32_t max)
{
	const S3ListBucketHandler handler = { { on_properties, on_complete }, on_keys };
	struct libs3_call *c = l->call;
	const char *prefix = c->req->prefix;
	char all[LIBS3_KEY_ROOM], from[LIBS3_TOKEN_ROOM];
	const char *marker = l->token[0] ? from : NULL;

	(void)snprintf(all, sizeof all, "%s%.*s", c->store->config.prefix, (int)l->asked, prefix);
	(void)strcpy(from, l->token);
	l->token[0] = 0;
	l->n = l->is_truncated = 0;
	call_again(c);
#if LIBS3_IS_4
	S3_list_bucket(&c->bucket, all[0] ? all : NULL, marker, NULL, (int)max, NULL, c->timeout_ms,
	               &handler, l);
#else
	S3_list_bucket(&c->bucket, all[0] ? all : NULL, marker, NULL, (int)max, NULL, &handler, l);
#endif
	if (answer_status(c))
		return 1;
	if (l->is_wrong) {
		answer_nonsense(c, "the server's listing is out of order");
		return 1;
	}
	if (!l->token[0])
		(void)strcpy(l->token, l->last);
	/* libs3 cuts a marker that is longer than a key may be; MinIO's are. */
	if (strlen(l->token) == LIBS3_KEY_MAX && strcmp(l->token, l->last)) {
		answer_fail(c, FIRN_STORE_PERMANENT, FIRN_EINVAL,
		            "the keys here are too long for libs3 to list on");
		return 1;
	}
	/* A server that says nothing of more has given all if it gave fewer than it might. */
	return l->n == 0 || l->is_past || (!l->is_truncated && l->n < max);
}

void libs3_list(struct libs3_call *c)
{
	struct firn_store_page *page = c->req->page;
	struct listing l = { .call = c, .asked = asked_len(c->req->prefix) };

	begin(&l);
	while (!page->more) {
		uint32_t room = page->max - page->n;

		if (ask(&l, room && room < SERVER_MAX ? room : room ? SERVER_MAX : 1))
			return;
		/* The page is full to the key, and something follows. */
		if (!page->more && page->n == page->max) {
			set_mark(&l);
			page->more = l.is_truncated && !c->req->prefix[l.asked];
		}
	}
}
