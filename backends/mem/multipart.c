/* Uploads in parts: kept beside the objects until they are committed or aborted. */
#include "backends/mem/mem_store.h"
#include <stdio.h>
#include <stdlib.h>

/* The place of the upload in its list; NULL there: no such upload of this key. */
static struct mem_upload **find_upload(struct mem_handle *h, const struct firn_store_request *req)
{
	struct mem_upload **at = &h->bucket->upload;
	char name[32];

	for (; *at; at = &(*at)->next) {
		(void)snprintf(name, sizeof name, "mem-%llx", (unsigned long long)(*at)->id);
		if (!strcmp(name, req->upload) && !strcmp((*at)->key, req->key))
			break;
	}
	return at;
}

static void drop_upload(struct mem_upload **at)
{
	struct mem_upload *u = *at;

	*at = u->next;
	for (size_t i = 0; i < u->n; i++)
		free(u->part[i].data);
	free(u->part);
	free(u->key);
	free(u);
}

static void begin_locked(struct mem_handle *h, struct firn_store_request *req)
{
	struct mem_upload *u = calloc(1, sizeof *u);

	if (!u || !(u->key = strdup(req->key))) {
		free(u);
		mem_error(req, FIRN_ENOMEM, "no memory for an upload");
		return;
	}
	u->id = ++mem_registry.last_version;
	u->next = h->bucket->upload;
	h->bucket->upload = u;
	(void)snprintf(req->upload, FIRN_STORE_UPLOAD_MAX, "mem-%llx", (unsigned long long)u->id);
}

static struct mem_part *find_part(const struct mem_upload *u, uint32_t number)
{
	for (size_t i = 0; i < u->n; i++)
		if (u->part[i].number == number)
			return &u->part[i];
	return NULL;
}

/* The part of that number, made if it is new; NULL: no memory. */
static struct mem_part *room_for_part(struct mem_upload *u, uint32_t number)
{
	struct mem_part *p = find_part(u, number);

	if (p)
		return p;
	if (u->n == u->cap) {
		size_t cap = u->cap ? u->cap * 2 : 16;
		struct mem_part *more = realloc(u->part, cap * sizeof *more);

		if (!more)
			return NULL;
		u->part = more;
		u->cap = cap;
	}
	p = &u->part[u->n++];
	memset(p, 0, sizeof *p);
	p->number = number;
	return p;
}

static void put_locked(struct mem_upload *u, struct firn_store_request *req, uint8_t *data)
{
	struct mem_part *p = req->part ? room_for_part(u, req->part) : NULL;

	if (!p) {
		free(data);
		mem_error(req, req->part ? FIRN_ENOMEM : FIRN_EINVAL, "parts count from 1");
		return;
	}
	free(p->data);
	p->data = data;
	p->len = (size_t)req->len;
	p->version = ++mem_registry.last_version;
	mem_version(p->version, &req->version);
}

/* The bytes of the parts named, joined; NULL: the request says why not. */
static uint8_t *join(const struct mem_upload *u, struct firn_store_request *req, size_t *len)
{
	uint8_t *data, *to;

	*len = 0;
	for (uint32_t i = 0; i < req->n_parts; i++) {
		const struct mem_part *p = find_part(u, req->parts[i].part);

		if (!p || !mem_same_version(p->version, &req->parts[i].version) ||
		    (i && req->parts[i].part <= req->parts[i - 1].part)) {
			mem_error(req, FIRN_EINVAL, "a part that was not put, or not in order");
			return NULL;
		}
		*len += p->len;
	}
	to = data = req->n_parts ? malloc(*len + 1) : NULL;
	if (!data)
		mem_error(req, req->n_parts ? FIRN_ENOMEM : FIRN_EINVAL, "no parts, or no memory");
	for (uint32_t i = 0; data && i < req->n_parts; i++) {
		const struct mem_part *p = find_part(u, req->parts[i].part);

		if (p->len)
			memcpy(to, p->data, p->len);
		to += p->len;
	}
	return data;
}

/* A commit whose condition fails leaves the upload as it was. */
static void commit_locked(struct mem_handle *h, struct mem_upload **at,
                          struct firn_store_request *req)
{
	size_t len;
	uint8_t *data = join(*at, req, &len);

	if (data)
		mem_put_locked(h, req, data, len);
	if (req->outcome == FIRN_STORE_DONE)
		drop_upload(at);
}

void mem_multipart(struct mem_handle *h, struct firn_store_request *req)
{
	uint8_t *data = NULL;

	if (req->op == FIRN_STORE_MULTIPART_PUT) {
		data = mem_gather(req);
		if (!data)
			return;
	}
	pthread_mutex_lock(&mem_registry.lock);
	struct mem_upload **at = req->op == FIRN_STORE_MULTIPART_BEGIN ? NULL : find_upload(h, req);

	if (!at) {
		begin_locked(h, req);
	} else if (!*at) {
		free(data);
		if (req->op != FIRN_STORE_MULTIPART_ABORT) /* else it is success */
			mem_error(req, FIRN_ENOENT, "no such upload");
	} else if (req->op == FIRN_STORE_MULTIPART_PUT) {
		put_locked(*at, req, data);
	} else if (req->op == FIRN_STORE_MULTIPART_COMMIT) {
		commit_locked(h, at, req);
	} else {
		drop_upload(at);
	}
	pthread_mutex_unlock(&mem_registry.lock);
}
