#include <firn/store.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

struct object {
	struct object *next; /* in the order of the keys */
	char *key;
	unsigned char *data;
	size_t len;
	unsigned long version;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards what follows */
static struct object *first;
static unsigned long last_version;

/* The key's object, or the place where it belongs. */
static struct object **find(const char *key)
{
	struct object **at = &first;

	while (*at && strcmp((*at)->key, key) < 0)
		at = &(*at)->next;
	return at;
}

static int is_there(struct object *const *at, const char *key)
{
	return *at && !strcmp((*at)->key, key);
}

static void tell_version(const struct object *o, struct firn_store_version *v)
{
	v->len = (uint32_t)snprintf(v->text, sizeof v->text, "shelf-%lu", o->version);
}

static int has_version(const struct object *o, const struct firn_store_version *v)
{
	struct firn_store_version mine;

	tell_version(o, &mine);
	return mine.len == v->len && !memcmp(mine.text, v->text, v->len);
}

static void no(struct firn_store_request *req, int32_t code, const char *why)
{
	firn_store_set_error(req, FIRN_STORE_PERMANENT, code, 0, why);
}

static struct object *make(struct object **at, const char *key)
{
	struct object *o = calloc(1, sizeof *o);

	if (o && !(o->key = strdup(key))) {
		free(o);
		return NULL;
	}
	if (o) {
		o->next = *at;
		*at = o;
	}
	return o;
}

static void do_put(struct firn_store_request *req)
{
	struct object **at = find(req->key), *o = is_there(at, req->key) ? *at : NULL;
	unsigned char *data, *to;

	/* The check and the write are one step: the lock is held. */
	if (req->condition == FIRN_STORE_IF_ABSENT && o) {
		no(req, FIRN_ECONFLICT, "the key exists");
		return;
	}
	if (req->condition == FIRN_STORE_IF_MATCH && (!o || !has_version(o, req->match))) {
		no(req, o ? FIRN_ECONFLICT : FIRN_ENOENT, "not the version asked for");
		return;
	}
	to = data = malloc((size_t)req->len + 1);
	if (!data || (!o && !(o = make(at, req->key)))) {
		free(data);
		no(req, FIRN_ENOMEM, "no memory");
		return;
	}
	for (uint32_t i = 0; i < req->n_iov; i++) {
		if (req->iov[i].iov_len)
			memcpy(to, req->iov[i].iov_base, req->iov[i].iov_len);
		to += req->iov[i].iov_len;
	}
	free(o->data);
	o->data = data;
	o->len = (size_t)req->len;
	o->version = ++last_version; /* never the same twice, also after a DELETE */
	tell_version(o, &req->version);
}

static void do_get(struct firn_store_request *req) /* and STAT */
{
	struct object **at = find(req->key), *o = *at;

	if (!is_there(at, req->key)) {
		no(req, FIRN_ENOENT, "no such key");
		return;
	}
	req->size = o->len;
	tell_version(o, &req->version);
	if (req->op == FIRN_STORE_STAT || req->pos >= o->len)
		return;
	for (uint32_t i = 0; i < req->n_iov && req->pos + req->got < o->len; i++) {
		size_t left = o->len - (size_t)(req->pos + req->got);
		size_t n = req->iov[i].iov_len < left ? req->iov[i].iov_len : left;

		if (n)
			memcpy(req->iov[i].iov_base, o->data + req->pos + req->got, n);
		req->got += n;
	}
}

static void do_delete(const char *key)
{
	struct object **at = find(key), *o = *at;

	if (!is_there(at, key))
		return; /* an absent key: success */
	*at = o->next;
	free(o->key);
	free(o->data);
	free(o);
}

static void do_list(struct firn_store_request *req)
{
	size_t len = strlen(req->prefix);

	for (const struct object *o = *find(req->prefix); o; o = o->next) {
		if (strncmp(o->key, req->prefix, len))
			break;
		if (strcmp(o->key, req->start_after) > 0 &&
		    firn_store_page_add(req->page, o->key, strlen(o->key), o->len, 0))
			break; /* the page is full and says so */
	}
}

static void shelf_submit(void *handle, struct firn_store_request *req)
{
	(void)handle;
	pthread_mutex_lock(&lock);
	if (req->op == FIRN_STORE_PUT)
		do_put(req);
	else if (req->op == FIRN_STORE_GET || req->op == FIRN_STORE_STAT)
		do_get(req);
	else if (req->op == FIRN_STORE_LIST)
		do_list(req);
	else if (req->op == FIRN_STORE_DELETE)
		do_delete(req->key);
	else
		no(req, FIRN_EUNSUPPORTED, "the shelf has no such request");
	pthread_mutex_unlock(&lock);
	firn_store_complete(req);
}

static int shelf_open(const struct firn_store_config *config, void **handle, struct firn_error *err)
{
	if (config->n_param) { /* a typing error must not become a default */
		if (err)
			(void)snprintf(err->text, sizeof err->text, "no parameter `%s`",
			               config->param[0].name);
		return FIRN_EINVAL;
	}
	*handle = &first;
	return FIRN_OK;
}

static void shelf_close(void *handle)
{
	(void)handle; /* the objects stay for the next one who opens */
}

static void shelf_info(void *handle, struct firn_store_info *info)
{
	(void)handle;
	info->caps = FIRN_STORE_CAN_PUT_IF_ABSENT | FIRN_STORE_CAN_PUT_IF_MATCH |
	             FIRN_STORE_CAN_LIST | FIRN_STORE_CAN_RANGE | FIRN_STORE_CAN_NESTED_KEYS;
}

static void shelf_cancel(void *handle, struct firn_store_request *req)
{
	(void)handle; /* all are done before anyone can think better of it */
	(void)req;
}

const struct firn_store_plugin *firn_store_entry(void)
{
	static const struct firn_store_plugin plugin = {
		.struct_size = (uint32_t)sizeof plugin,
		.abi_major = FIRN_STORE_ABI_MAJOR,
		.abi_minor = FIRN_STORE_ABI_MINOR,
		.name = "shelf",
		.open = shelf_open,
		.close = shelf_close,
		.info = shelf_info,
		.submit = shelf_submit,
		.cancel = shelf_cancel,
	};

	return &plugin;
}
