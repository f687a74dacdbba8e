/* P10: what is stored is a prefix of the volume's writes over all streams and keys. Looked at
 * twice: as the store has it (manifest, then layers and footers in the order of their rounds, each
 * one's rows over those before), and as an engine elsewhere shows it, which attaches read-only. */
#include "engine/layer/layer.h"
#include "engine/os/env.h"
#include "engine/store/store.h"
#include "tests/crash/kill9.h"
#include <stdio.h>
#include <string.h>

struct cut {
	struct model *m;
	uint64_t rev; /* the last write in it */
	struct {
		uint64_t start, end, kv_last, kv_trim;
	} room[ROOMS];
};

static uint32_t room_of(const struct model *m, uint64_t stream)
{
	for (uint32_t room = 0; room < ROOMS; room++)
		if (atomic_load(&m->room[room].stream) == stream)
			return room;
	die("the store has a stream %lu that nobody made", (unsigned long)stream);
}

static void take_stream(struct cut *c, const struct stream_state *s)
{
	uint32_t room = room_of(c->m, s->stream);
	c->room[room].start = s->start;
	c->room[room].end = s->next;
}

static void take_kv(struct cut *c, const struct kv_change *kv)
{
	uint64_t value = 0;
	uint32_t room = room_of(c->m, kv->stream);
	if (kv->deleted || kv->key_len != 4 || kv->value_len != sizeof value)
		die("room %u: the store has a key that nobody put", room);
	memcpy(&value, kv->value, sizeof value);
	if (!memcmp(kv->key, "last", 4))
		c->room[room].kv_last = value;
	else
		c->room[room].kv_trim = value;
}

static void take_footer(struct cut *c, const struct segment_footer *f)
{
	for (uint32_t i = 0; i < segment_n_streams(f); i++) {
		struct stream_state s;
		segment_stream_at(f, i, &s);
		take_stream(c, &s);
	}
	for (uint32_t i = 0; i < segment_n_kv(f); i++) {
		struct kv_change kv;
		segment_kv_at(f, i, &kv);
		take_kv(c, &kv);
	}
}

static int fetch_layer(void *arg, const struct manifest_layer *part, struct buf *object,
                       struct firn_error *err)
{
	char key[128] = "rooms/";
	layer_key(part->id, key + 6, sizeof key - 6);
	return store_get_all(arg, key, LAYER_BYTES_MAX, object, NULL, err);
}

/* One run; returns how many rows of the manifest it has. */
static uint32_t read_run(struct cut *c, struct store *store, const struct manifest *m, uint32_t i)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct layer_source *source;
	const struct layer_row *row = NULL;
	uint32_t n = layer_run_parts(m, i);
	if (layer_source_run(env_default(), m->volume_id, &m->layer[i], n, fetch_layer, store,
	                     &source, &err))
		die("layer: %s", err.text);
	do {
		if (layer_source_next(source, &row, &err))
			die("layer: %s", err.text);
		if (row && row->kind == LAYER_STREAM)
			take_stream(c, &row->u.stream);
		if (row && row->kind == LAYER_KV)
			take_kv(c, &row->u.kv);
	} while (row);
	layer_source_close(source);
	return n;
}

static void read_segment(struct cut *c, struct store *store, const struct manifest_segment *s)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct segment_footer *f;
	struct buf bytes;
	char key[128] = "rooms/";
	size_t need;
	segment_key(s->id, key + 6, sizeof key - 6);
	buf_init(&bytes, env_default());
	if (store_get_all(store, key, s->bytes, &bytes, NULL, &err) ||
	    segment_footer_open(env_default(), bytes.data, bytes.len, bytes.len, &f, &need, &err))
		die("%s: %s", key, err.text);
	take_footer(c, f);
	segment_footer_close(f);
	buf_fini(&bytes);
}

static void read_store(struct cut *c)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct manifest m;
	struct store *store;
	struct buf bytes;
	buf_init(&bytes, env_default());
	manifest_init(&m);
	if (store_open(env_default(), c->m->store, &store, &err) ||
	    store_get_all(store, "rooms/manifest", MANIFEST_MAX_BYTES, &bytes, NULL, &err) ||
	    manifest_decode(env_default(), bytes.data, bytes.len, &m, &err))
		die("manifest: %s", err.text);
	for (uint32_t i = 0; i < m.n_layer;)
		i += read_run(c, store, &m, i);
	for (uint32_t i = 0; i < m.n_segment; i++)
		read_segment(c, store, &m.segment[i]);
	c->rev = m.rev_stored;
	buf_fini(&bytes);
	manifest_fini(&m, env_default());
	store_close(store);
}

static void read_elsewhere(struct cut *c)
{
	struct firn_volume_info info = { .struct_size = sizeof info };
	struct firn_engine *e = engine_open(c->m, c->m->elsewhere);
	struct firn_volume *v = attach(e, c->m, FIRN_ATTACH_READ_ONLY, NULL);
	if (firn_volume_info(v, &info))
		die("no figures of the volume elsewhere");
	c->rev = info.rev_stored;
	for (uint32_t room = 0; room < ROOMS; room++) {
		uint64_t stream = atomic_load(&c->m->room[room].stream), offset;
		if (firn_stream_mark(v, stream, FIRN_MARK_START, &offset) == FIRN_ENOENT)
			continue; /* not stored yet */
		c->room[room].start = mark(v, stream, FIRN_MARK_START);
		c->room[room].end = mark(v, stream, FIRN_MARK_VISIBLE);
		c->room[room].kv_last = kv(v, stream, "last");
		c->room[room].kv_trim = kv(v, stream, "trim");
	}
	detach(e, v, FIRN_DETACH_KEEP_WAL);
	engine_close(e);
}

/* What a room has below the cut is there, what it has above is not. Ids that were trimmed before
 * any check read them are not known: the key may name one of those. */
static void check_room_end(const struct cut *c, uint32_t room)
{
	const struct room *r = &c->m->room[room];
	uint64_t last = r->last_id, above = MAX_ID, end = c->room[room].end;
	for (; last; last--) {
		if (!r->base[last])
			continue;
		bool there = r->base[last] - 1 < end;
		bool below = r->rev[last] - 1 <= c->rev;
		if (there != below)
			die("not one cut: room %u ends at %lu, but id %lu (offset %lu) is write "
			    "%lu of %lu",
			    room, (unsigned long)end, (unsigned long)last,
			    (unsigned long)r->base[last] - 1, (unsigned long)r->rev[last] - 1,
			    (unsigned long)c->rev);
		if (below)
			break;
		above = last;
	}
	if (c->room[room].kv_last < last || c->room[room].kv_last >= above)
		die("not one cut: room %u ends with id %lu, its key says %lu", room,
		    (unsigned long)last, (unsigned long)c->room[room].kv_last);
	if (c->room[room].start != c->room[room].kv_trim)
		die("not one cut: room %u begins at %lu, its key says %lu", room,
		    (unsigned long)c->room[room].start, (unsigned long)c->room[room].kv_trim);
}

static void check_rooms(struct model *m, void (*look)(struct cut *c))
{
	static struct cut c;
	memset(&c, 0, sizeof c);
	c.m = m;
	look(&c);
	for (uint32_t room = 0; room < ROOMS; room++)
		check_room_end(&c, room);
}

void check_cut(struct model *m)
{
	check_rooms(m, read_store);
	check_rooms(m, read_elsewhere);
	atomic_fetch_add(&m->n_cut, 1);
}
