/* Streams as users see them: find, list, info, marks, and the blocking shorthands of write.h. */
#include "engine/api/cq.h"
#include "engine/api/engine.h"
#include "engine/api/handle.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include <stdlib.h>
#include <string.h>

/* The volume, locked, or why not. */
static int enter(const struct firn_volume *h, struct volume **out)
{
	struct volume *v = volume_enter(h);
	if (!h)
		return FIRN_EINVAL;
	if (!v)
		return FIRN_ESHUTDOWN;
	pthread_mutex_lock(&v->lock);
	*out = v;
	return 0;
}

static void leave(const struct firn_volume *h, struct volume *v)
{
	pthread_mutex_unlock(&v->lock);
	volume_leave(h);
}

static int enter_stream(const struct firn_volume *h, uint64_t id, struct volume **v,
                        struct stream **s)
{
	int rc = enter(h, v);
	if (rc)
		return rc;
	*s = volume_stream_live(*v, id);
	if (*s)
		return 0;
	leave(h, *v);
	return FIRN_ENOENT;
}

int firn_stream_find(const struct firn_volume *volume, const char *name, size_t len,
                     uint64_t *stream)
{
	struct volume *v;
	if (!name || len < 1 || len > 255 || !stream)
		return FIRN_EINVAL;
	int rc = enter(volume, &v);
	if (rc)
		return rc;
	const struct stream *s = volume_stream_named(v, name, len);
	rc = s && !s->creating ? 0 : FIRN_ENOENT;
	if (!rc)
		*stream = s->id;
	leave(volume, v);
	return rc;
}

static void fill_info(const struct stream *s, struct firn_stream_info *i)
{
	memset(i, 0, sizeof *i);
	i->struct_size = sizeof *i;
	uint32_t held = s->config ? s->config->flags & (FIRN_HOLD_VISIBLE | FIRN_HOLD_STABLE) : 0;
	i->flags = held ? FIRN_STREAM_HELD : 0;
	i->stream = s->id;
	for (uint32_t m = FIRN_MARK_VISIBLE; m <= FIRN_MARK_LOCAL; m++)
		i->mark[m] = stream_mark(s, m);
	i->bytes = s->bytes;
	i->stored_bytes = s->stored_bytes < s->bytes ? s->stored_bytes : s->bytes;
	i->n_producers = dedup_n_producers(s->dedup);
	i->first_ms = s->first_ms;
	i->last_ms = s->last_ms;
	memcpy(i->name, s->name, s->name_len);
}

int firn_stream_info(const struct firn_volume *volume, uint64_t stream,
                     struct firn_stream_info *out)
{
	struct volume *v;
	struct stream *s;
	struct firn_stream_info i;
	if (!out || out->struct_size < sizeof i)
		return FIRN_EINVAL;
	int rc = enter_stream(volume, stream, &v, &s);
	if (rc)
		return rc;
	fill_info(s, &i);
	leave(volume, v);
	i.struct_size = out->struct_size;
	memcpy(out, &i, sizeof i);
	return 0;
}

static int by_name(const void *a, const void *b)
{
	const struct stream *x = *(const struct stream *const *)a,
	                    *y = *(const struct stream *const *)b;
	uint32_t n = x->name_len < y->name_len ? x->name_len : y->name_len;
	int c = memcmp(x->name, y->name, n);
	return c ? c : x->name_len < y->name_len ? -1 : x->name_len > y->name_len;
}

/* Names that match, sorted; the caller frees. */
static struct stream **matching(struct volume *v, const char *prefix, const char *after,
                                uint32_t *n)
{
	struct stream **all = mem_alloc(v->engine->env, (v->names.n + 1u) * sizeof *all), *s;
	size_t len = prefix ? strlen(prefix) : 0;
	*n = 0;
	for (uint32_t at = 0; all && (s = map_next(&v->names, &at)) != NULL;) {
		struct stream key = { .name = (char *)(uintptr_t)(after ? after : ""),
			              .name_len = after ? (uint32_t)strlen(after) : 0 };
		const struct stream *a = s, *b = &key;
		if (s->creating || s->name_len < len || (len && memcmp(s->name, prefix, len)) ||
		    (after && by_name(&a, &b) <= 0))
			continue;
		all[(*n)++] = s;
	}
	if (all && *n)
		qsort(all, *n, sizeof(struct stream *), by_name);
	return all;
}

int firn_stream_list(const struct firn_volume *volume, const char *prefix, const char *after,
                     struct firn_stream_info *out, uint32_t info_size, uint32_t max)
{
	struct volume *v;
	uint32_t n = 0;
	if ((!out && max) || info_size < sizeof *out)
		return FIRN_EINVAL;
	int rc = enter(volume, &v);
	if (rc)
		return rc;
	struct stream **all = matching(v, prefix, after, &n);
	n = n < max ? n : max;
	for (uint32_t i = 0; all && i < n; i++) {
		struct firn_stream_info info;
		fill_info(all[i], &info);
		char *to = (char *)out + (size_t)i * info_size;
		memset(to, 0, info_size);
		memcpy(to, &info, sizeof info);
	}
	mem_free(v->engine->env, all);
	leave(volume, v);
	return all ? (int)n : FIRN_ENOMEM;
}

int firn_stream_config_get(const struct firn_volume *volume, uint64_t stream,
                           struct firn_stream_config *out)
{
	struct volume *v;
	struct stream *s;
	if (!out || out->struct_size < sizeof *out)
		return FIRN_EINVAL;
	int rc = enter_stream(volume, stream, &v, &s);
	if (rc)
		return rc;
	uint32_t size = out->struct_size;
	memset(out, 0, sizeof *out);
	if (s->config)
		*out = *s->config;
	out->struct_size = size;
	leave(volume, v);
	return 0;
}

int firn_stream_mark(const struct firn_volume *volume, uint64_t stream, uint32_t mark,
                     uint64_t *offset)
{
	struct volume *v;
	struct stream *s;
	if (mark > FIRN_MARK_LOCAL || !offset)
		return FIRN_EINVAL;
	int rc = enter_stream(volume, stream, &v, &s);
	if (rc)
		return rc;
	*offset = stream_mark(s, mark);
	leave(volume, v);
	return 0;
}

static int raise_mark(struct volume *v, struct stream *s, uint32_t mark, uint64_t offset)
{
	uint32_t held = s->config ? s->config->flags : 0;
	bool visible = mark == FIRN_MARK_VISIBLE;
	if (v->state == FIRN_STATE_FENCED)
		return FIRN_EFENCED;
	if (v->detaching)
		return FIRN_ESHUTDOWN;
	if (v->read_only)
		return FIRN_EREADONLY;
	if (!(held & (visible ? FIRN_HOLD_VISIBLE : FIRN_HOLD_STABLE)))
		return FIRN_EINVAL;
	if (offset > (visible ? s->durable : s->visible))
		return FIRN_ERANGE;
	uint64_t *at = visible ? &s->visible : &s->stable;
	if (offset > *at) {
		*at = offset;
		stream_follow(s);
		read_notify(v, s);
	}
	return 0;
}

int firn_stream_mark_set(struct firn_volume *volume, uint64_t stream, uint32_t mark,
                         uint64_t offset)
{
	struct volume *v;
	struct stream *s;
	if (mark != FIRN_MARK_VISIBLE && mark != FIRN_MARK_STABLE)
		return FIRN_EINVAL;
	int rc = enter_stream(volume, stream, &v, &s);
	if (rc)
		return rc;
	rc = raise_mark(v, s, mark, offset);
	leave(volume, v);
	return rc;
}

int firn_producer_list(const struct firn_volume *volume, uint64_t stream, uint64_t after_id,
                       struct firn_producer *out, uint32_t out_size, uint32_t max)
{
	struct volume *v;
	struct stream *s;
	if ((!out && max) || out_size < sizeof *out)
		return FIRN_EINVAL;
	int rc = enter_stream(volume, stream, &v, &s);
	if (rc)
		return rc;
	rc = (int)dedup_list(s->dedup, after_id, out, out_size, max);
	leave(volume, v);
	return rc;
}

/* ---- shorthands ---- */

int firn_stream_append_async(struct firn_volume *volume, uint64_t stream, const void *data,
                             size_t len, uint32_t n_offsets, int64_t timestamp_ms,
                             struct firn_cq *cq, uint64_t user_data)
{
	struct iovec iov = { (void *)(uintptr_t)data, len };
	struct firn_op op = { .kind = FIRN_OP_APPEND, .stream = stream };
	struct firn_write w = FIRN_WRITE_INIT;
	if (!volume || (!data && len))
		return FIRN_EINVAL;
	op.u.append.iov = &iov;
	op.u.append.n_iov = len ? 1 : 0;
	op.u.append.n_offsets = n_offsets;
	op.u.append.timestamp_ms = timestamp_ms;
	w.req.cq = cq;
	w.req.user_data = user_data;
	w.volume = volume;
	w.op = &op;
	w.n_op = 1;
	const struct firn_req *req = &w.req;
	struct firn_error err = { .struct_size = sizeof err };
	int n = firn_engine_submit((struct firn_engine *)(void *)volume->engine, &req, 1, &err);
	return n == 1 ? 0 : n < 0 ? n : err.code;
}

static int call_one(struct firn_volume *volume, struct firn_op *op, struct firn_event *ev,
                    struct firn_error *err)
{
	struct firn_write w = FIRN_WRITE_INIT;
	w.volume = volume;
	w.op = op;
	w.n_op = 1;
	int rc = firn_engine_call((struct firn_engine *)(void *)volume->engine, &w.req, ev, err);
	firn_release(ev->result);
	return rc;
}

int firn_stream_append(struct firn_volume *volume, uint64_t stream, const void *data, size_t len,
                       uint32_t n_offsets, int64_t timestamp_ms, uint64_t *base,
                       struct firn_error *err)
{
	struct iovec iov = { (void *)(uintptr_t)data, len };
	struct firn_op op = { .kind = FIRN_OP_APPEND, .stream = stream };
	struct firn_event ev;
	if (!volume || (!data && len))
		return fail(err, FIRN_EINVAL, 0, "append", "volume or data");
	op.u.append.iov = &iov;
	op.u.append.n_iov = len ? 1 : 0;
	op.u.append.n_offsets = n_offsets;
	op.u.append.timestamp_ms = timestamp_ms;
	int rc = call_one(volume, &op, &ev, err);
	if (!rc && base)
		*base = ev.offset;
	return rc;
}

int firn_stream_open(struct firn_volume *volume, const char *name, uint64_t *stream,
                     struct firn_error *err)
{
	if (!volume || !name || !stream || !name[0] || strlen(name) > 255)
		return fail(err, FIRN_EINVAL, 0, "stream",
		            "volume, name (1 to 255 bytes) or stream");
	int rc = firn_stream_find(volume, name, strlen(name), stream);
	if (rc != FIRN_ENOENT)
		return rc ? fail(err, rc, 0, "stream", "%s", name) : 0;
	struct firn_op op = { .kind = FIRN_OP_CREATE, .flags = FIRN_CREATE_OPEN };
	struct firn_event ev;
	op.u.stream.name = name;
	op.u.stream.name_len = (uint32_t)strlen(name);
	rc = call_one(volume, &op, &ev, err);
	if (!rc)
		*stream = ev.stream;
	return rc;
}

/* ---- key-value ---- */

int firn_kv_get(const struct firn_volume *volume, uint64_t stream, const void *key, size_t key_len,
                void *buf, size_t cap, size_t *len, uint64_t *rev)
{
	struct volume *v;
	if (!key || key_len < 1 || key_len > 255 || (cap && !buf))
		return FIRN_EINVAL;
	int rc = enter(volume, &v);
	if (rc)
		return rc;
	const struct kv_value *value = kv_get_durable(v->kv, stream, key, (uint32_t)key_len);
	rc = !value ? FIRN_ENOENT : value->len > cap ? FIRN_ETOOBIG : 0;
	if (value && len)
		*len = value->len;
	if (value && rev)
		*rev = value->rev;
	if (!rc && value->len)
		memcpy(buf, value->data, value->len);
	leave(volume, v);
	return rc;
}

enum { PAGE_BYTES = 1 << 20 };

struct scan { /* two passes: count, then fill */
	uint32_t max, n, more;
	size_t bytes;
	struct firn_kv *out;
	uint8_t *text;
};

static int scan_one(void *arg, uint64_t stream, const uint8_t *key, uint32_t key_len,
                    const struct kv_value *value)
{
	struct scan *s = arg;
	if (s->n == s->max || (s->n && s->bytes >= PAGE_BYTES)) {
		s->more = 1;
		return 1;
	}
	if (s->out) {
		memcpy(s->text, key, key_len);
		if (value->len)
			memcpy(s->text + key_len, value->data, value->len);
		s->out[s->n] = (struct firn_kv){ stream,  value->rev, s->text, s->text + key_len,
			                         key_len, value->len };
		s->text += key_len + value->len;
	}
	s->n++;
	s->bytes += (size_t)key_len + value->len;
	return 0;
}

static int scan_page(struct volume *v, uint64_t stream, const void *from, size_t from_len,
                     const void *to, size_t to_len, uint32_t max, const struct firn_kv_page **page)
{
	struct scan s = { .max = max ? max : 1024 };
	(void)kv_scan(v->kv, stream, from, (uint32_t)from_len, to, (uint32_t)to_len, scan_one, &s);
	struct firn_kv_page *p = result_new(v->engine->account,
	                                    sizeof *p + s.n * sizeof *s.out + s.bytes, NULL,
	                                    s.bytes);
	if (!p)
		return FIRN_ENOMEM;
	*p = (struct firn_kv_page){ sizeof *p, s.n, sizeof *s.out, s.more,
		                    (struct firn_kv *)(p + 1) };
	s = (struct scan){ .max = s.max, .out = (struct firn_kv *)(p + 1) };
	s.text = (uint8_t *)(s.out + p->n);
	(void)kv_scan(v->kv, stream, from, (uint32_t)from_len, to, (uint32_t)to_len, scan_one, &s);
	*page = p;
	return 0;
}

int firn_kv_scan(const struct firn_volume *volume, uint64_t stream, const void *from,
                 size_t from_len, const void *to, size_t to_len, uint32_t max,
                 const struct firn_kv_page **page)
{
	struct volume *v;
	if (!page || from_len > 255 || to_len > 255 || (from_len && !from) || (to_len && !to))
		return FIRN_EINVAL;
	*page = NULL;
	int rc = enter(volume, &v);
	if (rc)
		return rc;
	if (stream != FIRN_STREAM_VOLUME && stream != FIRN_STREAM_ALL &&
	    !volume_stream_live(v, stream))
		rc = FIRN_ENOENT;
	else
		rc = scan_page(v, stream, from, from_len, to, to_len, max, page);
	leave(volume, v);
	return rc;
}
