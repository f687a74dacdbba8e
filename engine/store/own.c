/* A request that points to nothing but memory of its own.
 *
 * What a request points to is lent to the back end until it completes. A shared object of a stranger
 * may never complete, and then a caller that gives up must not have its buffers written to years
 * later. So requests to plug-ins are copied together with all that they point to, and a copy that is
 * never answered is lost alone. It costs a memcpy of the bytes, once. */
#include "engine/base/mem.h"
#include "engine/store/internal.h"

/* Hands out pieces of one block; without a block it only counts. */
struct piece {
	uint8_t *base;
	size_t used;
};

static void *take(struct piece *p, size_t len)
{
	void *at = p->base ? p->base + p->used : NULL;

	p->used += (len + 15) & ~(size_t)15;
	return at;
}

static const char *take_text(struct piece *p, const char *text)
{
	size_t len = text ? strlen(text) + 1 : 0;
	char *copy = take(p, len);

	if (copy && text)
		memcpy(copy, text, len);
	return text ? copy : NULL;
}

static void *take_copy(struct piece *p, const void *from, size_t len)
{
	void *copy = take(p, from ? len : 0);

	if (copy && from)
		memcpy(copy, from, len);
	return from ? copy : NULL;
}

static struct iovec *take_bytes(struct piece *p, const struct firn_store_request *ask)
{
	struct iovec *iov = take(p, sizeof *iov);
	uint8_t *bytes = take(p, (size_t)ask->len);

	if (!iov)
		return NULL;
	*iov = (struct iovec){ bytes, (size_t)ask->len };
	for (uint32_t i = 0; ask->op != FIRN_STORE_GET && i < ask->n_iov; i++) {
		if (ask->iov[i].iov_len)
			memcpy(bytes, ask->iov[i].iov_base, ask->iov[i].iov_len);
		bytes += ask->iov[i].iov_len;
	}
	return iov;
}

static struct firn_store_page *take_page(struct piece *p, const struct firn_store_page *page)
{
	struct firn_store_page *copy = take_copy(p, page, sizeof *page);
	uint8_t *data = take(p, page ? page->cap : 0);

	if (copy)
		copy->data = data;
	return copy;
}

/* With p->base it fills *req, without it counts what that takes. */
static void copy_all(struct piece *p, const struct firn_store_request *ask,
                     struct firn_store_request *req)
{
	req->key = take_text(p, ask->key);
	req->prefix = take_text(p, ask->prefix);
	req->start_after = take_text(p, ask->start_after);
	req->match = take_copy(p, ask->match, sizeof *ask->match);
	req->parts = take_copy(p, ask->parts, ask->n_parts * sizeof *ask->parts);
	req->upload = take_copy(p, ask->upload, FIRN_STORE_UPLOAD_MAX);
	req->page = take_page(p, ask->page);
	if (ask->n_iov) {
		req->iov = take_bytes(p, ask);
		req->n_iov = 1;
	}
}

int slot_own(struct store_slot *slot)
{
	struct firn_store_request *req = &slot->req;
	struct piece p = { NULL, 0 };

	slot->asked = *req;
	copy_all(&p, &slot->asked, req);
	p.base = mem_alloc(slot->store->env, p.used + 16);
	if (!p.base) {
		*req = slot->asked;
		return FIRN_ENOMEM;
	}
	slot->own = p.base;
	p.used = 0;
	copy_all(&p, &slot->asked, req);
	return FIRN_OK;
}

static void bytes_out(const struct firn_store_request *ask, const uint8_t *bytes, uint64_t got)
{
	for (uint32_t i = 0; got && i < ask->n_iov; i++) {
		size_t n = ask->iov[i].iov_len < got ? ask->iov[i].iov_len : (size_t)got;

		if (n)
			memcpy(ask->iov[i].iov_base, bytes, n);
		bytes += n;
		got -= n;
	}
}

void slot_disown(struct store_slot *slot)
{
	struct firn_store_request *req = &slot->req;
	const struct firn_store_request *ask = &slot->asked;

	if (!slot->own)
		return;
	if (ask->op == FIRN_STORE_GET && req->got <= req->len)
		bytes_out(ask, req->iov[0].iov_base, req->got);
	if (ask->page && req->page->used <= ask->page->cap) {
		ask->page->n = req->page->n;
		ask->page->more = req->page->more;
		ask->page->used = req->page->used;
		memcpy(ask->page->data, req->page->data, req->page->used);
	}
	if (ask->op == FIRN_STORE_MULTIPART_BEGIN)
		memcpy(ask->upload, req->upload, FIRN_STORE_UPLOAD_MAX);
	req->key = ask->key;
	req->prefix = ask->prefix;
	req->start_after = ask->start_after;
	req->match = ask->match;
	req->parts = ask->parts;
	req->upload = ask->upload;
	req->page = ask->page;
	req->iov = ask->iov;
	req->n_iov = ask->n_iov;
	slot_free_own(slot);
}

void slot_free_own(struct store_slot *slot)
{
	mem_free(slot->store->env, slot->own);
	slot->own = NULL;
}
