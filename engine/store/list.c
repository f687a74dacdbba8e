/* LIST: page after page through one buffer. A store that gives keys out of order, twice, or of
 * another prefix is not believed: recovery and garbage collection build on the order. */
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/store/internal.h"
#include "engine/store/key.h"

enum { PAGE_BYTES = 128 << 10, PAGE_KEYS = 1000 };

typedef int (*list_each)(void *arg, const char *key, uint64_t size);

/* A plug-in wrote it: nothing in it is believed unseen. */
static int item_is_sound(const uint8_t *p, size_t left, struct firn_store_item *item)
{
	if (left < sizeof *item)
		return 0;
	memcpy(item, p, sizeof *item);
	return item->key_len <= FIRN_STORE_KEY_MAX && item->next <= left && item->next % 8 == 0 &&
	       item->next > sizeof *item + item->key_len && p[sizeof *item + item->key_len] == 0;
}

/* Hands one page on; `last` is the greatest key so far. */
static int list_page(const struct firn_store_page *page, const char *prefix, char *last,
                     list_each each, void *arg, struct firn_error *err)
{
	const uint8_t *p = page->data;

	for (uint32_t i = 0; i < page->n; i++) {
		size_t left = (size_t)(page->data + page->used - p);
		struct firn_store_item item;
		const char *key = (const char *)p + sizeof item;

		if (!item_is_sound(p, left, &item))
			return fail(err, FIRN_ESTORE, 0, "store",
			            "list %.60s: entry %u of the store's page is not well-formed",
			            prefix, i);
		p += item.next;
		if (strcmp(key, last) <= 0 || strncmp(key, prefix, strlen(prefix)))
			return fail(err, FIRN_ESTORE, 0, "store",
			            "list %.60s: the store gave %.60s, which does not belong there",
			            prefix, key);
		memcpy(last, key, item.key_len + 1);
		int rc = each(arg, key, item.size);

		if (rc)
			return rc;
	}
	return FIRN_OK;
}

/* `last` has room for any key. */
static int list_walk(struct store *s, const char *prefix, uint8_t *room, char *last, list_each each,
                     void *arg, struct firn_error *err)
{
	int rc = FIRN_OK;

	for (int more = 1; more && rc == FIRN_OK;) {
		struct firn_store_page page = { .struct_size = (uint32_t)sizeof page,
			                        .max = PAGE_KEYS,
			                        .data = room,
			                        .cap = PAGE_BYTES };
		struct firn_store_request ask = {
			.op = FIRN_STORE_LIST, .prefix = prefix, .start_after = last, .page = &page
		};
		struct firn_store_request answer;

		rc = store_call(s, &ask, 0, &answer, err);
		if (rc != FIRN_OK)
			break;
		more = page.more != 0;
		if (page.used > page.cap || page.n > page.max)
			return fail(err, FIRN_ESTORE, 0, "store",
			            "list %.70s: a page that is fuller than full", prefix);
		if (more && page.n == 0)
			return fail(err, FIRN_ESTORE, 0, "store",
			            "list %.70s: an empty page that says there is more", prefix);
		rc = list_page(&page, prefix, last, each, arg, err);
	}
	return rc;
}

int store_list(struct store *s, const char *prefix, const char *after, list_each each, void *arg,
               struct firn_error *err)
{
	const char *wrong = key_check_prefix(prefix);
	size_t after_len = strnlen(after, FIRN_STORE_KEY_MAX + 1);

	if (!wrong && after_len > FIRN_STORE_KEY_MAX)
		wrong = "the key to start after is longer than 1024 bytes";
	if (wrong)
		return fail(err, FIRN_EINVAL, 0, "store", "list refused before asking %.60s: %s",
		            s->uri.shown, wrong);
	if (!(s->info.caps & FIRN_STORE_CAN_LIST))
		return fail(err, FIRN_EUNSUPPORTED, 0, "store", "%s cannot list keys",
		            s->plugin.name);
	uint8_t *room = mem_alloc(s->env, PAGE_BYTES + FIRN_STORE_KEY_MAX + 8);

	if (!room)
		return fail(err, FIRN_ENOMEM, 0, "store", "no memory for a page of keys");
	char *last = (char *)room + PAGE_BYTES;

	memcpy(last, after, after_len + 1);
	int rc = list_walk(s, prefix, room, last, each, arg, err);

	mem_free(s->env, room);
	return rc;
}
