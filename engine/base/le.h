/* Little-endian loads and stores, unaligned: the one way bytes of a format become numbers. */
#ifndef BASE_LE_H
#define BASE_LE_H
#include <stdint.h>
#include <string.h>
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "firn's formats are read in place: a big-endian port must swap here"
#endif

static inline uint16_t le16_get(const void *p)
{
	uint16_t v;
	memcpy(&v, p, sizeof v);
	return v;
}

static inline uint32_t le32_get(const void *p)
{
	uint32_t v;
	memcpy(&v, p, sizeof v);
	return v;
}

static inline uint64_t le64_get(const void *p)
{
	uint64_t v;
	memcpy(&v, p, sizeof v);
	return v;
}

static inline void le16_put(void *p, uint16_t v)
{
	memcpy(p, &v, sizeof v);
}

static inline void le32_put(void *p, uint32_t v)
{
	memcpy(p, &v, sizeof v);
}

static inline void le64_put(void *p, uint64_t v)
{
	memcpy(p, &v, sizeof v);
}

/* Big-endian, for keys that must sort as numbers and for stamped offsets. */
static inline void be64_put(void *p, uint64_t v)
{
	v = __builtin_bswap64(v);
	memcpy(p, &v, sizeof v);
}

static inline uint64_t be64_get(const void *p)
{
	uint64_t v;
	memcpy(&v, p, sizeof v);
	return __builtin_bswap64(v);
}

static inline uint64_t align_up(uint64_t v, uint64_t a)
{
	return (v + a - 1) & ~(a - 1);
}
#endif
