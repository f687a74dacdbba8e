#include "engine/base/buf.h"
#include "engine/base/le.h"
#include "engine/base/mem.h"
#include <string.h>

void buf_init(struct buf *b, const struct firn_env *env)
{
	memset(b, 0, sizeof *b);
	b->env = env;
}

void buf_fini(struct buf *b)
{
	mem_free(b->env, b->data);
	b->data = NULL;
	b->len = b->cap = 0;
}

void *buf_add(struct buf *b, size_t len)
{
	void *data = b->data;
	if (b->failed || mem_grow(b->env, &data, &b->cap, b->len, b->len + len, 1)) {
		b->failed = 1;
		return NULL;
	}
	b->data = data;
	void *at = b->len ? b->data + b->len : b->data;
	b->len += len;
	return at;
}

void buf_put(struct buf *b, const void *data, size_t len)
{
	void *at = buf_add(b, len);
	if (at && len)
		memcpy(at, data, len);
}

void buf_zero(struct buf *b, size_t len)
{
	void *at = buf_add(b, len);
	if (at)
		memset(at, 0, len);
}

void buf_align(struct buf *b, size_t align)
{
	buf_zero(b, (size_t)align_up(b->len, align) - b->len);
}

void buf_put_u8(struct buf *b, uint8_t v)
{
	buf_put(b, &v, 1);
}

void buf_put_u16(struct buf *b, uint16_t v)
{
	void *at = buf_add(b, 2);
	if (at)
		le16_put(at, v);
}

void buf_put_u32(struct buf *b, uint32_t v)
{
	void *at = buf_add(b, 4);
	if (at)
		le32_put(at, v);
}

void buf_put_u64(struct buf *b, uint64_t v)
{
	void *at = buf_add(b, 8);
	if (at)
		le64_put(at, v);
}

const uint8_t *cur_take(struct cur *c, size_t len)
{
	if (c->failed || (size_t)(c->end - c->p) < len) {
		c->failed = 1;
		return NULL;
	}
	const uint8_t *at = c->p;
	c->p += len;
	return at;
}

uint8_t cur_u8(struct cur *c)
{
	const uint8_t *p = cur_take(c, 1);
	return p ? *p : 0;
}

uint16_t cur_u16(struct cur *c)
{
	const uint8_t *p = cur_take(c, 2);
	return p ? le16_get(p) : 0;
}

uint32_t cur_u32(struct cur *c)
{
	const uint8_t *p = cur_take(c, 4);
	return p ? le32_get(p) : 0;
}

uint64_t cur_u64(struct cur *c)
{
	const uint8_t *p = cur_take(c, 8);
	return p ? le64_get(p) : 0;
}
