/* A store plug-in for tests, written against the public header alone. It keeps a few objects in an
 * array, and behaves as its parameters say:
 *
 *	plugin:/path/odd_store.so?lie=NAME          breaks a rule: ignores a condition (absent,
 *	                                            match, create, write, none), tells a wrong size or
 *	                                            version, reads ranges it does not claim
 *	                         ?say=NAME&times=N  the first N requests end with that outcome;
 *	                                            what is said to be ambiguous has been done
 *	                         ?mode=poll         completes in poll() only
 *	                         ?mode=thread       completes late, on a thread of its own
 *	                         ?mode=twice        completes every request twice
 *	                         ?mode=never        completes no request
 *	                         ?mode=late&ms=N    completes N ms late, whatever is cancelled
 *	                         ?mode=held         completes when odd_hold(handle, 0) says so
 *	                         ?mode=nonsense     answers that contradict themselves
 *	                         ?open=null         opens without a handle */
#define _POSIX_C_SOURCE 200809L /* nanosleep */
#include <firn/store.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { N_OBJECTS = 64, N_WAITING = 64 };

struct object {
	char key[FIRN_STORE_KEY_MAX + 1];
	char data[256];
	size_t len;
	unsigned version; /* 0: free */
};

struct odd {
	const struct firn_store_host *host;
	pthread_mutex_t lock;
	struct object object[N_OBJECTS];
	struct firn_store_request *waiting[N_WAITING];
	unsigned n_waiting, last_version, n_requests;
	unsigned times, say; /* the first `times` requests end with outcome `say` */
	unsigned ms;
	char lie[16], mode[16];
	pthread_cond_t changed;
	int held;
	struct late
	        *late; /* joined by close: no thread may run in here when the code is unloaded */
};

struct late {
	struct late *next;
	pthread_t thread;
};

void odd_hold(void *handle, int held);

/* Requests that are never answered are remembered here, so that no leak checker takes them for one. */
static struct firn_store_request *unanswered[256];

static struct object *find(struct odd *o, const char *key)
{
	for (int i = 0; i < N_OBJECTS; i++)
		if (o->object[i].version && !strcmp(o->object[i].key, key))
			return &o->object[i];
	return NULL;
}

static void version_of(const struct object *b, struct firn_store_version *v)
{
	v->len = (uint32_t)snprintf(v->text, sizeof v->text, "v%u", b->version);
}

static int same(const struct object *b, const struct firn_store_version *v)
{
	struct firn_store_version mine;

	version_of(b, &mine);
	return mine.len == v->len && !memcmp(mine.text, v->text, v->len);
}

static int lies(const struct odd *o, const char *what)
{
	return !strcmp(o->lie, what);
}

static void refuse(struct firn_store_request *req, int32_t code, const char *text)
{
	firn_store_set_error(req, FIRN_STORE_PERMANENT, code, 0, text);
}

static void do_put(struct odd *o, struct firn_store_request *req)
{
	struct object *b = find(o, req->key);

	if (req->condition == FIRN_STORE_IF_ABSENT && b && !lies(o, "absent")) {
		refuse(req, FIRN_ECONFLICT, "there");
		/* 412 in words, and written nevertheless */
		if (!lies(o, "write"))
			return;
	}
	if (req->condition == FIRN_STORE_IF_MATCH && !b && !lies(o, "create")) {
		refuse(req, FIRN_ENOENT, "absent");
		return;
	}
	if (req->condition == FIRN_STORE_IF_MATCH && b && !same(b, req->match) &&
	    !lies(o, "match")) {
		refuse(req, FIRN_ECONFLICT, "other version");
		return;
	}
	if (req->condition != FIRN_STORE_ALWAYS && lies(o, "none")) {
		refuse(req, FIRN_EUNSUPPORTED, "no conditions");
		return;
	}
	for (int i = 0; !b && i < N_OBJECTS; i++)
		if (!o->object[i].version)
			b = &o->object[i];
	if (!b || req->len > sizeof b->data || req->n_iov > 1) {
		refuse(req, FIRN_ETOOBIG, "too big for a test");
		return;
	}
	(void)snprintf(b->key, sizeof b->key, "%s", req->key);
	b->len = (size_t)req->len;
	if (b->len)
		memcpy(b->data, req->iov[0].iov_base, b->len);
	b->version = ++o->last_version;
	version_of(b, &req->version);
}

static void do_get(struct odd *o, struct firn_store_request *req)
{
	struct object *b = find(o, req->key);

	if (!b) {
		refuse(req, FIRN_ENOENT, "absent");
		return;
	}
	req->size = lies(o, "size") ? req->len : b->len;
	version_of(b, &req->version);
	if (lies(o, "version"))
		req->version.text[0] = 'w';
	if (req->pos && !lies(o, "range")) {
		refuse(req, FIRN_EUNSUPPORTED, "no ranges");
		return;
	}
	if (req->op == FIRN_STORE_GET && req->pos < b->len) {
		req->got = b->len - req->pos < req->len ? b->len - req->pos : req->len;
		memcpy(req->iov[0].iov_base, b->data + req->pos, (size_t)req->got);
	}
}

static void do_list(struct odd *o, struct firn_store_request *req)
{
	if (lies(o, "page")) { /* an entry that points behind the page */
		(void)firn_store_page_add(req->page, "a", 1, 0, 0);
		((struct firn_store_item *)(void *)req->page->data)->next = 1u << 30;
		req->page->n = 7;
		return;
	}
	if (lies(o, "key")) { /* a key without an end */
		(void)firn_store_page_add(req->page, "a", 1, 0, 0);
		memset(req->page->data + sizeof(struct firn_store_item), 'a', 8);
		return;
	}
	/* out of order, whatever was asked */
	(void)firn_store_page_add(req->page, "b", 1, 0, 0);
	(void)firn_store_page_add(req->page, "a", 1, 0, 0);
}

static void do_it(struct odd *o, struct firn_store_request *req)
{
	if (req->op == FIRN_STORE_PUT) {
		do_put(o, req);
	} else if (req->op == FIRN_STORE_GET || req->op == FIRN_STORE_STAT) {
		do_get(o, req);
	} else if (req->op == FIRN_STORE_LIST) {
		do_list(o, req);
	} else if (req->op == FIRN_STORE_DELETE) {
		struct object *b = find(o, req->key);

		if (b)
			b->version = 0;
	} else {
		refuse(req, FIRN_EUNSUPPORTED, "not claimed");
	}
}

static void perform(struct odd *o, struct firn_store_request *req)
{
	pthread_mutex_lock(&o->lock);
	if (o->n_requests++ < o->times) {
		if (o->say == FIRN_STORE_AMBIGUOUS)
			do_it(o, req);
		firn_store_set_error(req, o->say, FIRN_ESTORE, 503, "not now");
		req->error->retry_after_ms = o->say == FIRN_STORE_THROTTLED ? 30 : 0;
	} else {
		do_it(o, req);
	}
	pthread_mutex_unlock(&o->lock);
	if (!strcmp(o->mode, "nonsense")) {
		req->outcome = 99;
		req->got = 1u << 30;
		req->version.len = 5000;
	}
}

static void *late_main(void *arg)
{
	struct firn_store_request *req = arg;
	struct odd *o = req->backend[0];

	if (o->ms) {
		struct timespec t = { o->ms / 1000, (long)(o->ms % 1000) * 1000000 };

		(void)nanosleep(&t, NULL);
	}
	pthread_mutex_lock(&o->lock);
	while (o->held)
		pthread_cond_wait(&o->changed, &o->lock);
	pthread_mutex_unlock(&o->lock);
	perform(o, req);
	firn_store_complete(req);
	return NULL;
}

static void begin_late(struct odd *o, struct firn_store_request *req)
{
	struct late *l = malloc(sizeof *l);

	req->backend[0] = o;
	if (!l)
		abort();
	pthread_mutex_lock(&o->lock);
	l->next = o->late;
	o->late = l;
	if (pthread_create(&l->thread, NULL, late_main, req))
		abort();
	pthread_mutex_unlock(&o->lock);
}

/* For the test, which finds it with dlsym(). */
void odd_hold(void *handle, int held)
{
	struct odd *o = handle;

	pthread_mutex_lock(&o->lock);
	o->held = held;
	pthread_cond_broadcast(&o->changed);
	pthread_mutex_unlock(&o->lock);
}

static void odd_submit(void *handle, struct firn_store_request *req)
{
	struct odd *o = handle;

	if (!strcmp(o->mode, "poll")) {
		pthread_mutex_lock(&o->lock);
		o->waiting[o->n_waiting++] = req;
		pthread_mutex_unlock(&o->lock);
	} else if (!strcmp(o->mode, "never")) {
		pthread_mutex_lock(&o->lock);
		unanswered[o->n_waiting++ % 256] = req;
		pthread_mutex_unlock(&o->lock);
	} else if (!strcmp(o->mode, "thread") || !strcmp(o->mode, "late") ||
	           !strcmp(o->mode, "held")) {
		begin_late(o, req);
	} else {
		perform(o, req);
		firn_store_complete(req);
		if (!strcmp(o->mode, "twice"))
			firn_store_complete(req);
	}
}

static void odd_poll(void *handle, uint32_t timeout_ms)
{
	struct odd *o = handle;
	struct firn_store_request *req = NULL;

	(void)timeout_ms;
	pthread_mutex_lock(&o->lock);
	if (o->n_waiting)
		req = o->waiting[--o->n_waiting];
	pthread_mutex_unlock(&o->lock);
	if (req) {
		perform(o, req);
		firn_store_complete(req);
	}
}

static void odd_cancel(void *handle, struct firn_store_request *req)
{
	(void)handle;
	(void)req;
}

static unsigned outcome_of(const char *name)
{
	return !strcmp(name, "retry")       ? FIRN_STORE_RETRY
	       : !strcmp(name, "throttled") ? FIRN_STORE_THROTTLED
	                                    : FIRN_STORE_AMBIGUOUS;
}

static int odd_open(const struct firn_store_config *c, void **handle, struct firn_error *err)
{
	struct odd *o = calloc(1, sizeof *o);

	if (!o)
		return FIRN_ENOMEM;
	o->host = c->host;
	(void)pthread_mutex_init(&o->lock, NULL);
	(void)pthread_cond_init(&o->changed, NULL);
	for (uint32_t i = 0; i < c->n_param; i++) {
		const char *name = c->param[i].name, *value = c->param[i].value;

		if (!strcmp(name, "lie")) {
			(void)snprintf(o->lie, sizeof o->lie, "%s", value);
		} else if (!strcmp(name, "mode")) {
			(void)snprintf(o->mode, sizeof o->mode, "%s", value);
		} else if (!strcmp(name, "say")) {
			o->say = outcome_of(value);
		} else if (!strcmp(name, "ms")) {
			o->ms = (unsigned)atoi(value);
		} else if (!strcmp(name, "times")) {
			o->times = (unsigned)atoi(value);
		} else {
			free(o);
			if (!strcmp(value, "null"))
				return FIRN_OK; /* and no handle */
			(void)snprintf(err->text, sizeof err->text, "unknown parameter `%s`", name);
			return FIRN_EINVAL;
		}
	}
	o->held = !strcmp(o->mode, "held");
	*handle = o;
	return FIRN_OK;
}

static void odd_close(void *handle)
{
	struct odd *o = handle;

	while (o->late) {
		struct late *l = o->late;

		o->late = l->next;
		(void)pthread_join(l->thread, NULL);
		free(l);
	}
	free(o);
}

static void odd_info(void *handle, struct firn_store_info *info)
{
	struct odd *o = handle;

	info->caps = FIRN_STORE_CAN_PUT_IF_ABSENT | FIRN_STORE_CAN_PUT_IF_MATCH |
	             FIRN_STORE_CAN_LIST;
	if (lies(o, "honest"))
		info->caps &= ~(uint64_t)FIRN_STORE_CAN_PUT_IF_MATCH;
	info->max_put_bytes = 200;
}

#ifndef ODD_ABI
#define ODD_ABI FIRN_STORE_ABI_MAJOR
#endif
#ifndef ODD_SIZE
#define ODD_SIZE sizeof(struct firn_store_plugin)
#endif

const struct firn_store_plugin *firn_store_entry(void)
{
	static const struct firn_store_plugin plugin = {
		ODD_SIZE,  ODD_ABI,  FIRN_STORE_ABI_MINOR, 0,          "odd",    odd_open,
		odd_close, odd_info, odd_submit,           odd_cancel, odd_poll,
	};

	return &plugin;
}
