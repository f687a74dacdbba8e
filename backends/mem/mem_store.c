#include "backends/mem/mem_store.h"
#include "engine/store/builtin.h"
#include "engine/store/key.h"
#include <stdio.h>
#include <stdlib.h>

struct mem_registry mem_registry = { PTHREAD_MUTEX_INITIALIZER, NULL, 0 };

/* Where the key is, or would be. */
static size_t mem_find(const struct mem_bucket *b, const char *key, int *there)
{
	size_t low = 0, high = b->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (strcmp(b->object[mid].key, key) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	*there = low < b->n && !strcmp(b->object[low].key, key);
	return low;
}

void mem_version(uint64_t version, struct firn_store_version *v)
{
	v->len = (uint32_t)snprintf(v->text, sizeof v->text, "mem-%llx",
	                            (unsigned long long)version);
}

int mem_same_version(uint64_t version, const struct firn_store_version *v)
{
	struct firn_store_version mine;

	mem_version(version, &mine);
	return mine.len == v->len && !memcmp(mine.text, v->text, v->len);
}

void mem_error(struct firn_store_request *req, int code, const char *text)
{
	firn_store_set_error(req, FIRN_STORE_PERMANENT, code, 0, text);
}

static int mem_condition(struct firn_store_request *req, const struct mem_object *o)
{
	if (req->condition == FIRN_STORE_IF_ABSENT && o) {
		mem_error(req, FIRN_ECONFLICT, "the key exists");
		return 0;
	}
	if (req->condition == FIRN_STORE_IF_MATCH && !o) {
		mem_error(req, FIRN_ENOENT, "no such key");
		return 0;
	}
	if (req->condition == FIRN_STORE_IF_MATCH && !mem_same_version(o->version, req->match)) {
		mem_error(req, FIRN_ECONFLICT, "the object has another version");
		return 0;
	}
	return 1;
}

/* Makes room for a new object at `at`; NULL: no memory. Takes `key`. */
static struct mem_object *mem_insert(struct mem_bucket *b, size_t at, char *key)
{
	if (b->n == b->cap) {
		size_t cap = b->cap ? b->cap * 2 : 64;
		struct mem_object *more = realloc(b->object, cap * sizeof *more);

		if (!more)
			return NULL;
		b->object = more;
		b->cap = cap;
	}
	memmove(&b->object[at + 1], &b->object[at], (b->n - at) * sizeof b->object[0]);
	b->n++;
	memset(&b->object[at], 0, sizeof b->object[at]);
	b->object[at].key = key;
	return &b->object[at];
}

void mem_put_locked(struct mem_handle *h, struct firn_store_request *req, uint8_t *data, size_t len)
{
	struct mem_bucket *b = h->bucket;
	int there;
	size_t at = mem_find(b, req->key, &there);
	struct mem_object *o = there ? &b->object[at] : NULL;

	if (!mem_condition(req, o)) {
		free(data);
		return;
	}
	if (!o) {
		char *key = strdup(req->key);

		o = key ? mem_insert(b, at, key) : NULL;
		if (!o) {
			free(key);
			free(data);
			mem_error(req, FIRN_ENOMEM, "no memory for another key");
			return;
		}
	}
	free(o->data);
	o->data = data;
	o->len = len;
	o->version = ++mem_registry.last_version;
	o->mtime_ms = h->host->env->now_ms(h->host->env->ctx);
	mem_version(o->version, &req->version);
}

uint8_t *mem_gather(struct firn_store_request *req)
{
	uint8_t *data = malloc(req->len ? (size_t)req->len : 1);
	size_t at = 0;

	if (!data) {
		mem_error(req, FIRN_ENOMEM, "no memory for the object");
		return NULL;
	}
	for (uint32_t i = 0; i < req->n_iov; i++) {
		if (req->iov[i].iov_len)
			memcpy(data + at, req->iov[i].iov_base, req->iov[i].iov_len);
		at += req->iov[i].iov_len;
	}
	return data;
}

static void mem_put(struct mem_handle *h, struct firn_store_request *req)
{
	uint8_t *data = mem_gather(req);

	if (!data)
		return;
	pthread_mutex_lock(&mem_registry.lock);
	mem_put_locked(h, req, data, (size_t)req->len);
	pthread_mutex_unlock(&mem_registry.lock);
}

static void mem_copy_out(struct firn_store_request *req, const struct mem_object *o)
{
	size_t pos = req->pos < o->len ? (size_t)req->pos : o->len;

	for (uint32_t i = 0; i < req->n_iov && pos < o->len; i++) {
		size_t n = req->iov[i].iov_len;

		if (n > o->len - pos)
			n = o->len - pos;
		if (n)
			memcpy(req->iov[i].iov_base, o->data + pos, n);
		pos += n;
		req->got += n;
	}
}

static void mem_get(struct mem_handle *h, struct firn_store_request *req)
{
	int there;

	pthread_mutex_lock(&mem_registry.lock);
	size_t at = mem_find(h->bucket, req->key, &there);

	if (!there) {
		mem_error(req, FIRN_ENOENT, "no such key");
	} else {
		const struct mem_object *o = &h->bucket->object[at];

		if (req->op == FIRN_STORE_GET)
			mem_copy_out(req, o);
		req->size = o->len;
		req->mtime_ms = o->mtime_ms;
		mem_version(o->version, &req->version);
	}
	pthread_mutex_unlock(&mem_registry.lock);
}

static void mem_delete(struct mem_handle *h, struct firn_store_request *req)
{
	struct mem_bucket *b = h->bucket;
	int there;

	pthread_mutex_lock(&mem_registry.lock);
	size_t at = mem_find(b, req->key, &there);

	if (there) {
		free(b->object[at].key);
		free(b->object[at].data);
		b->n--;
		memmove(&b->object[at], &b->object[at + 1], (b->n - at) * sizeof b->object[0]);
	}
	pthread_mutex_unlock(&mem_registry.lock);
}

static void mem_list(struct mem_handle *h, struct firn_store_request *req)
{
	struct mem_bucket *b = h->bucket;
	size_t prefix_len = strlen(req->prefix);
	const char *from = strcmp(req->start_after, req->prefix) > 0 ? req->start_after
	                                                             : req->prefix;
	int there;

	pthread_mutex_lock(&mem_registry.lock);
	size_t at = mem_find(b, from, &there);

	if (there && !strcmp(from, req->start_after))
		at++; /* exclusive */
	for (; at < b->n && !strncmp(b->object[at].key, req->prefix, prefix_len); at++) {
		const struct mem_object *o = &b->object[at];

		if (firn_store_page_add(req->page, o->key, strlen(o->key), o->len, o->mtime_ms))
			break;
	}
	pthread_mutex_unlock(&mem_registry.lock);
}

static void mem_submit(void *handle, struct firn_store_request *req)
{
	struct mem_handle *h = handle;
	const char *wrong = req->op == FIRN_STORE_LIST ? key_check_prefix(req->prefix)
	                                               : key_check(req->key);

	if (wrong)
		mem_error(req, FIRN_EINVAL, wrong);
	else if (req->op == FIRN_STORE_PUT)
		mem_put(h, req);
	else if (req->op == FIRN_STORE_GET || req->op == FIRN_STORE_STAT)
		mem_get(h, req);
	else if (req->op == FIRN_STORE_DELETE)
		mem_delete(h, req);
	else if (req->op == FIRN_STORE_LIST)
		mem_list(h, req);
	else if (req->op >= FIRN_STORE_MULTIPART_BEGIN && req->op <= FIRN_STORE_MULTIPART_ABORT)
		mem_multipart(h, req);
	else
		mem_error(req, FIRN_EUNSUPPORTED, "mem: knows no such request");
	firn_store_complete(req);
}

static void mem_cancel(void *handle, struct firn_store_request *req)
{
	(void)handle; /* all are done before anyone can think better of it */
	(void)req;
}

static struct mem_bucket *mem_bucket_of(const char *name)
{
	struct mem_bucket *b;

	pthread_mutex_lock(&mem_registry.lock);
	for (b = mem_registry.first; b && strcmp(b->name, name); b = b->next)
		;
	if (!b) {
		b = calloc(1, sizeof *b);
		if (b)
			b->name = strdup(name);
		if (b && b->name) {
			b->next = mem_registry.first;
			mem_registry.first = b;
		} else {
			free(b);
			b = NULL;
		}
	}
	pthread_mutex_unlock(&mem_registry.lock);
	return b;
}

static int open_error(struct firn_error *err, int code, const char *text)
{
	if (err) {
		err->code = code;
		(void)snprintf(err->text, sizeof err->text, "%s", text);
	}
	return code;
}

static int mem_open(const struct firn_store_config *config, void **handle, struct firn_error *err)
{
	const struct firn_env *env = config->host->env;
	struct mem_handle *h;

	if (config->authority[0] || config->path[0] == '/')
		return open_error(err, FIRN_EINVAL, "write mem:NAME, without slashes in front");
	if (config->n_param)
		return open_error(err, FIRN_EINVAL, "mem: takes no parameters");
	h = env->alloc(env->ctx, sizeof *h, 16);
	if (!h)
		return open_error(err, FIRN_ENOMEM, "no memory");
	h->host = config->host;
	h->bucket = mem_bucket_of(config->path);
	if (!h->bucket) {
		env->release(env->ctx, h);
		return open_error(err, FIRN_ENOMEM, "no memory");
	}
	*handle = h;
	return FIRN_OK;
}

static void mem_close(void *handle)
{
	struct mem_handle *h = handle;
	const struct firn_env *env = h->host->env;

	env->release(env->ctx, h);
}

static void mem_info(void *handle, struct firn_store_info *info)
{
	(void)handle;
	info->caps = FIRN_STORE_CAN_PUT_IF_ABSENT | FIRN_STORE_CAN_PUT_IF_MATCH |
	             FIRN_STORE_CAN_LIST | FIRN_STORE_CAN_RANGE | FIRN_STORE_CAN_NESTED_KEYS |
	             FIRN_STORE_CAN_MULTIPART | FIRN_STORE_CAN_MULTIPART_CONDITIONS;
}

const struct firn_store_plugin *mem_store_entry(void)
{
	static const struct firn_store_plugin plugin = {
		.struct_size = (uint32_t)sizeof plugin,
		.abi_major = FIRN_STORE_ABI_MAJOR,
		.abi_minor = FIRN_STORE_ABI_MINOR,
		.name = "mem",
		.open = mem_open,
		.close = mem_close,
		.info = mem_info,
		.submit = mem_submit,
		.cancel = mem_cancel,
	};

	return &plugin;
}
