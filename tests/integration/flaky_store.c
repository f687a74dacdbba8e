/* A store plug-in in memory that loses answers, throttles and goes away when told (flaky_store.h). Built
 * by store_fault_test.c as a shared object that is never unloaded, so that its objects outlive engines;
 * the copy in the tests' own library is not used. */
#include "tests/integration/flaky_store.h"
#include <firn/store.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

struct object {
	struct object *next;
	char key[FIRN_STORE_KEY_MAX + 1];
	uint8_t *data;
	size_t len;
	unsigned long version;
};

static struct {
	pthread_mutex_t lock;
	struct object *first; /* by key */
	unsigned long last_version;
	struct object late; /* a PUT on its way */
	unsigned long late_match;
	struct firn_store_request *held; /* by backend[0] */
} store = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void let_go(void);

static struct flaky control = { .let_go = let_go };

__attribute__((visibility("default"))) struct flaky *flaky_control(void)
{
	return &control;
}

static bool take(atomic_int *n)
{
	int now = atomic_load(n);
	while (now > 0)
		if (atomic_compare_exchange_weak(n, &now, now - 1))
			return true;
	return false;
}

static struct object **place(const char *key)
{
	struct object **at = &store.first;
	while (*at && strcmp((*at)->key, key) < 0)
		at = &(*at)->next;
	return at;
}

static struct object *find(const char *key)
{
	struct object *o = *place(key);
	return o && !strcmp(o->key, key) ? o : NULL;
}

static uint8_t *joined(const struct firn_store_request *req)
{
	uint8_t *data = malloc((size_t)req->len + 1), *to = data;
	for (uint32_t i = 0; data && i < req->n_iov; i++) {
		if (req->iov[i].iov_len)
			memcpy(to, req->iov[i].iov_base, req->iov[i].iov_len);
		to += req->iov[i].iov_len;
	}
	return data;
}

static void put_bytes(const char *key, uint8_t *data, size_t len)
{
	struct object *o = find(key), **at = place(key);
	if (!o) {
		o = calloc(1, sizeof *o);
		if (!o)
			abort();
		(void)snprintf(o->key, sizeof o->key, "%s", key);
		o->next = *at;
		*at = o;
	}
	free(o->data);
	o->data = data;
	o->len = len;
	o->version = ++store.last_version;
}

static unsigned long match_of(const struct firn_store_request *req)
{
	char text[32] = { 0 };
	if (req->condition == FIRN_STORE_IF_MATCH && req->match->len < sizeof text)
		memcpy(text, req->match->text, req->match->len);
	return strtoul(text, NULL, 10);
}

static void version_of(const struct object *o, struct firn_store_version *v)
{
	v->len = (uint32_t)snprintf(v->text, sizeof v->text, "%lu", o->version);
}

static void refuse(struct firn_store_request *req, int code)
{
	firn_store_set_error(req, FIRN_STORE_PERMANENT, code, 0, "refused");
}

static bool is_manifest(const char *key)
{
	size_t len = strlen(key);
	return len > 9 && !strcmp(key + len - 9, "/manifest") && strncmp(key, ".firn", 5) != 0;
}

static bool is_segment(const char *key)
{
	return strstr(key, "/seg/") != NULL;
}

/* The PUT that was on its way arrives; its condition is judged now. */
static void late_arrives(const char *key)
{
	if (!store.late.data || strcmp(store.late.key, key) != 0)
		return;
	struct object *o = find(key);
	if ((o ? o->version : 0) == store.late_match)
		put_bytes(key, store.late.data, store.late.len);
	else
		free(store.late.data);
	store.late.data = NULL;
}

static void do_put(struct firn_store_request *req)
{
	late_arrives(req->key);
	struct object *o = find(req->key);
	atomic_fetch_add(&control.n_put, 1);
	atomic_fetch_add(&control.n_manifest, is_manifest(req->key));
	atomic_fetch_add(&control.n_segment, is_segment(req->key));
	if (req->condition == FIRN_STORE_IF_ABSENT && o) {
		refuse(req, FIRN_ECONFLICT);
		return;
	}
	if (req->condition == FIRN_STORE_IF_MATCH && (!o || o->version != match_of(req))) {
		refuse(req, o ? FIRN_ECONFLICT : FIRN_ENOENT);
		return;
	}
	bool doubt = is_manifest(req->key) && take(&control.cas);
	int how = doubt ? atomic_load(&control.cas_how) : FLAKY_LOST;
	uint8_t *data = how == FLAKY_DROPPED ? NULL : joined(req);
	if (how == FLAKY_LATE) {
		(void)snprintf(store.late.key, sizeof store.late.key, "%s", req->key);
		store.late.data = data;
		store.late.len = (size_t)req->len;
		store.late_match = o ? o->version : 0;
	} else if (data) {
		put_bytes(req->key, data, (size_t)req->len);
		version_of(find(req->key), &req->version);
	}
	if (doubt)
		firn_store_set_error(req, FIRN_STORE_AMBIGUOUS, FIRN_ESTORE, 504,
		                     "the answer was lost");
}

static void do_get(struct firn_store_request *req)
{
	struct object *o = find(req->key);
	if (!o) {
		refuse(req, FIRN_ENOENT);
		return;
	}
	req->size = o->len;
	version_of(o, &req->version);
	uint64_t pos = req->pos, end = pos + req->len < o->len ? pos + req->len : o->len;
	for (uint32_t i = 0; req->op == FIRN_STORE_GET && i < req->n_iov && pos < end; i++) {
		size_t n = req->iov[i].iov_len < end - pos ? req->iov[i].iov_len
		                                           : (size_t)(end - pos);
		memcpy(req->iov[i].iov_base, o->data + pos, n);
		req->got += n;
		pos += n;
	}
}

static void do_list(struct firn_store_request *req)
{
	size_t n = strlen(req->prefix);
	for (struct object *o = store.first; o; o = o->next)
		if (!strncmp(o->key, req->prefix, n) && strcmp(o->key, req->start_after) > 0 &&
		    firn_store_page_add(req->page, o->key, strlen(o->key), o->len, 0))
			return;
}

static void do_delete(struct firn_store_request *req)
{
	struct object **at = place(req->key), *o = find(req->key);
	if (!o)
		return;
	*at = o->next;
	free(o->data);
	free(o);
}

static void perform(struct firn_store_request *req)
{
	switch (req->op) {
	case FIRN_STORE_PUT:
		do_put(req);
		break;
	case FIRN_STORE_GET:
	case FIRN_STORE_STAT:
		do_get(req);
		break;
	case FIRN_STORE_LIST:
		do_list(req);
		break;
	case FIRN_STORE_DELETE:
		do_delete(req);
		break;
	default:
		refuse(req, FIRN_EUNSUPPORTED);
	}
}

/* As a server that has taken the request and says nothing. */
static bool held(struct firn_store_request *req)
{
	bool put = req->op == FIRN_STORE_PUT;
	bool counts = !atomic_load(&control.hold_segments) || (put && is_segment(req->key));
	bool reads = req->op == FIRN_STORE_GET && is_segment(req->key);
	if (!(put && is_manifest(req->key) && take(&control.hold_manifests)) &&
	    !(reads && take(&control.hold_reads)) && !(counts && take(&control.hold)))
		return false;
	req->backend[0] = store.held;
	store.held = req;
	atomic_fetch_add(&control.n_held, 1);
	return true;
}

static void let_go(void)
{
	pthread_mutex_lock(&store.lock);
	struct firn_store_request *first = store.held;
	store.held = NULL;
	atomic_store(&control.n_held, 0);
	for (struct firn_store_request *req = first; req; req = req->backend[0])
		perform(req);
	pthread_mutex_unlock(&store.lock);
	while (first) {
		struct firn_store_request *req = first;
		first = req->backend[0];
		firn_store_complete(req);
	}
}

static void flaky_submit(void *handle, struct firn_store_request *req)
{
	(void)handle;
	pthread_mutex_lock(&store.lock);
	if (held(req)) {
		pthread_mutex_unlock(&store.lock);
		return;
	}
	atomic_fetch_add(&control.n_request, 1);
	int how = atomic_load(&control.fail_how);
	if (atomic_load(&control.away)) {
		firn_store_set_error(req, FIRN_STORE_RETRY, FIRN_ESTORE, 503, "away");
	} else if (take(&control.throttled)) {
		firn_store_set_error(req, FIRN_STORE_THROTTLED, FIRN_ESTORE, 429, "too many");
		req->error->retry_after_ms = 5;
	} else if (take(&control.fail_at) && !atomic_load(&control.fail_at)) {
		atomic_fetch_add(&control.n_failed, 1);
		if (how == FIRN_STORE_AMBIGUOUS)
			perform(req);
		firn_store_set_error(req, (uint32_t)how, FIRN_ESTORE, 500, "told to fail");
	} else {
		perform(req);
	}
	pthread_mutex_unlock(&store.lock);
	firn_store_complete(req);
}

static int flaky_open(const struct firn_store_config *config, void **handle, struct firn_error *err)
{
	(void)config, (void)err;
	*handle = &store;
	return FIRN_OK;
}

static void flaky_close(void *handle)
{
	(void)handle;
}

static void flaky_info(void *handle, struct firn_store_info *info)
{
	(void)handle;
	info->caps = FIRN_STORE_CAN_PUT_IF_ABSENT | FIRN_STORE_CAN_PUT_IF_MATCH |
	             FIRN_STORE_CAN_LIST | FIRN_STORE_CAN_RANGE | FIRN_STORE_CAN_NESTED_KEYS;
}

static void flaky_cancel(void *handle, struct firn_store_request *req)
{
	(void)handle, (void)req;
}

static const struct firn_store_plugin plugin = { sizeof plugin,
	                                         FIRN_STORE_ABI_MAJOR,
	                                         FIRN_STORE_ABI_MINOR,
	                                         0,
	                                         "flaky",
	                                         flaky_open,
	                                         flaky_close,
	                                         flaky_info,
	                                         flaky_submit,
	                                         flaky_cancel,
	                                         NULL };

__attribute__((visibility("default"))) const struct firn_store_plugin *firn_store_entry(void)
{
	return &plugin;
}
