/* A growing byte buffer. Allocation failure is sticky: write on, look at `failed` once at the end. */
#ifndef BASE_BUF_H
#define BASE_BUF_H
#include <firn/env.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
	const struct firn_env *env;
	uint8_t *data;
	size_t len, cap;
	int failed;
};

void buf_init(struct buf *b, const struct firn_env *env);
void buf_fini(struct buf *b);
void *buf_add(struct buf *b, size_t len); /* room for len bytes, NULL when failed; not zeroed */
void buf_put(struct buf *b, const void *data, size_t len);
void buf_zero(struct buf *b, size_t len);
void buf_align(struct buf *b, size_t align); /* zero bytes up to a multiple */
void buf_put_u8(struct buf *b, uint8_t v);
void buf_put_u16(struct buf *b, uint16_t v);
void buf_put_u32(struct buf *b, uint32_t v);
void buf_put_u64(struct buf *b, uint64_t v);

/* The reading side: a bounded cursor over hostile bytes. Reading past the end is sticky, too. */
struct cur {
	const uint8_t *p, *end;
	int failed;
};

static inline struct cur cur_of(const void *data, size_t len)
{
	struct cur c = { (const uint8_t *)data, (const uint8_t *)data + len, 0 };
	return c;
}
const uint8_t *cur_take(struct cur *c, size_t len); /* NULL when there is less */
uint8_t cur_u8(struct cur *c);
uint16_t cur_u16(struct cur *c);
uint32_t cur_u32(struct cur *c);
uint64_t cur_u64(struct cur *c);
static inline size_t cur_left(const struct cur *c)
{
	return c->failed ? 0 : (size_t)(c->end - c->p);
}
#endif
