#include "tools/firn/names.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/base/sum.h"
#include "engine/os/env.h"
#include <string.h>

enum { PAGE = 256 };

struct wanted {
	const void *name;
	size_t len;
};

static int same_name(const void *value, const void *key)
{
	const struct stream_name *s = value;
	const struct wanted *w = key;
	return s->len == w->len && !memcmp(s->name, w->name, w->len);
}

void names_init(struct names *n, struct firn_engine *engine, struct firn_volume *volume,
                const struct firn_stream_config *config)
{
	map_init(&n->map, env_default());
	n->engine = engine;
	n->volume = volume;
	n->config = config;
}

void names_fini(struct names *n)
{
	uint32_t at = 0;
	void *value;
	while ((value = map_next(&n->map, &at)))
		mem_free(n->map.env, value);
	map_fini(&n->map);
}

int stream_make(struct firn_engine *engine, struct firn_volume *volume, const char *name,
                uint32_t len, bool open, uint64_t at, const struct firn_stream_config *config,
                uint64_t *id, struct firn_error *err)
{
	struct firn_event ev;
	struct firn_write w = FIRN_WRITE_INIT;
	struct firn_op op = { .kind = FIRN_OP_CREATE, .flags = open ? FIRN_CREATE_OPEN : 0 };
	op.u.stream = (struct firn_op_stream){ name, len, 0, config, at };
	w.volume = volume;
	w.op = &op;
	w.n_op = 1;
	int rc = firn_engine_call(engine, &w.req, &ev, err);
	firn_release(ev.result);
	if (!rc)
		*id = ev.stream;
	return rc;
}

const struct stream_name *names_get(struct names *n, const void *name, size_t len,
                                    struct firn_error *err)
{
	uint64_t hash = sum64(name, len);
	struct stream_name *s = map_get(&n->map, hash, same_name, &(struct wanted){ name, len });
	if (s)
		return s;
	if (!len || len > 255 || memchr(name, 0, len)) {
		fail(err, FIRN_EINVAL, 0, "firn", "a stream's name has 1 to 255 bytes, no NUL");
		return NULL;
	}
	s = mem_zalloc(n->map.env, sizeof *s);
	if (!s || map_put(&n->map, hash, s)) {
		mem_free(n->map.env, s);
		fail(err, FIRN_ENOMEM, 0, "firn", "no memory for a stream's name");
		return NULL;
	}
	s->len = (uint32_t)len;
	memcpy(s->name, name, len);
	if (!firn_stream_find(n->volume, s->name, len, &s->id) ||
	    !stream_make(n->engine, n->volume, s->name, s->len, true, 0, n->config, &s->id, err))
		return s;
	map_remove(&n->map, hash, same_name, &(struct wanted){ name, len });
	mem_free(n->map.env, s);
	return NULL;
}

int stream_each(const struct firn_volume *volume, const char *prefix,
                int (*each)(void *arg, const struct firn_stream_info *info), void *arg)
{
	struct firn_stream_info *page = mem_zalloc(env_default(), PAGE * sizeof *page);
	char after[256] = "";
	int n, rc = page ? 0 : FIRN_ENOMEM;
	while (!rc) {
		n = firn_stream_list(volume, prefix, after, page, sizeof *page, PAGE);
		for (int i = 0; i < n && !rc; i++)
			rc = each(arg, &page[i]);
		if (n < PAGE) {
			rc = n < 0 ? n : rc;
			break;
		}
		memcpy(after, page[n - 1].name, sizeof after);
	}
	mem_free(env_default(), page);
	return rc;
}
