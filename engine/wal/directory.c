/* Encoding, checking and searching directories, and making the places of a group from its records.
 *
 * Places are sorted by (hash, volume_no, stream, base). The hash spreads streams over pages whatever
 * their numbers are, and sorting by it is three passes over 8 bytes a place: the writer does it. */
#include "engine/wal/directory.h"
#include "engine/base/mem.h"
#include "engine/base/sum.h"
#include "engine/wal/codec.h"
#include <assert.h>

enum { RADIX_BITS = 11, RADIX = 1 << RADIX_BITS };

struct key { /* of a place, while sorting */
	uint32_t hash, at;
};

static uint32_t place_hash(uint32_t volume_no, uint64_t stream)
{
	uint8_t b[12];
	le32_put(b, volume_no);
	le64_put(b + 4, stream);
	return (uint32_t)sum64(b, sizeof b);
}

static int cmp_u64(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

static int cmp_stream(uint32_t volume_a, uint64_t a, uint32_t volume_b, uint64_t b)
{
	int c = cmp_u64(place_hash(volume_a, a), place_hash(volume_b, b));
	c = c ? c : cmp_u64(volume_a, volume_b);
	return c ? c : cmp_u64(a, b);
}

/* ---- sizes ---- */

static uint32_t pages_of(uint32_t n_place)
{
	return (n_place + WAL_PAGE_PLACES - 1) / WAL_PAGE_PLACES;
}

static uint32_t meta_len_of(uint32_t n_page)
{
	return WAL_RECORD_HEADER + WAL_DIRECTORY_HEAD + n_page * WAL_DIRECTORY_INDEX;
}

/* Where the first page begins, from the group's first byte. */
static uint32_t page_pos(uint32_t n_page)
{
	return (uint32_t)wal_group_len(WAL_GROUP_HEADER + meta_len_of(n_page));
}

uint64_t wal_directory_len(uint32_t n_place)
{
	uint32_t n = pages_of(n_place);
	return page_pos(n) + (uint64_t)n * WAL_PAGE;
}

/* ---- sorting ---- */

static void radix_pass(const struct key *from, struct key *to, uint32_t n, unsigned shift)
{
	uint32_t at[RADIX] = { 0 };
	for (uint32_t i = 0; i < n; i++)
		at[from[i].hash >> shift & (RADIX - 1)]++;
	for (uint32_t i = 0, sum = 0; i < RADIX; i++) {
		uint32_t count = at[i];
		at[i] = sum;
		sum += count;
	}
	for (uint32_t i = 0; i < n; i++)
		to[at[from[i].hash >> shift & (RADIX - 1)]++] = from[i];
}

static bool same_stream(const struct wal_place *a, const struct wal_place *b)
{
	return a->volume_no == b->volume_no && a->stream == b->stream;
}

static int cmp_place(const struct wal_place *place, const struct key *a, const struct key *b)
{
	const struct wal_place *x = &place[a->at], *y = &place[b->at];
	int c = cmp_u64(x->volume_no, y->volume_no);
	c = c ? c : cmp_u64(x->stream, y->stream);
	return c ? c : cmp_u64(a->at, b->at); /* in order of the log */
}

/* Two streams of one hash stand mixed: rare, so any sort will do that is never slow (Shell's). */
static void sort_run(const struct wal_place *place, struct key *k, uint32_t n)
{
	for (uint32_t gap = n / 2; gap; gap /= 2)
		for (uint32_t i = gap; i < n; i++) {
			struct key one = k[i];
			uint32_t j = i;
			for (; j >= gap && cmp_place(place, &one, &k[j - gap]) < 0; j -= gap)
				k[j] = k[j - gap];
			k[j] = one;
		}
}

static void sort_runs(const struct wal_place *place, struct key *k, uint32_t n)
{
	for (uint32_t i = 0, end; i < n; i = end) {
		bool mixed = false;
		for (end = i + 1; end < n && k[end].hash == k[i].hash; end++)
			mixed |= !same_stream(&place[k[i].at], &place[k[end].at]);
		if (mixed)
			sort_run(place, k + i, end - i);
	}
}

/* k[0 .. n) sorted; k has room for 2 n. */
static struct key *sort_places(const struct wal_place *place, struct key *k, uint32_t n)
{
	struct key *other = k + n;
	for (uint32_t i = 0; i < n; i++)
		k[i] = (struct key){ place_hash(place[i].volume_no, place[i].stream), i };
	radix_pass(k, other, n, 0);
	radix_pass(other, k, n, RADIX_BITS);
	radix_pass(k, other, n, 2 * RADIX_BITS);
	sort_runs(place, other, n);
	return other;
}

/* ---- making ---- */

static void place_put(uint8_t *at, const struct wal_place *p)
{
	le32_put(at, p->volume_no);
	le32_put(at + 4, (uint32_t)p->lsn);
	le64_put(at + 8, p->stream);
	le64_put(at + 16, p->base);
	le64_put(at + 24, p->end);
	le32_put(at + 32, p->op);
	le32_put(at + 36, p->len);
}

static void page_put(uint8_t *page, uint8_t *index, const struct wal_place *place,
                     const struct key *k, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		place_put(page + i * (size_t)WAL_PLACE_LEN, &place[k[i].at]);
	le32_put(index, place[k->at].volume_no);
	le32_put(index + 4, n);
	le64_put(index + 8, place[k->at].stream);
	le64_put(index + 16, place[k->at].base);
	le64_put(index + 24, sum64(page, WAL_PAGE));
}

/* Of one stream each place lies behind the one before. Not so where a writer that was fenced left writes that
 * the volume went on without. */
static bool in_order(const struct wal_place *place, const struct key *k, uint32_t n)
{
	for (uint32_t i = 1; i < n; i++) {
		const struct wal_place *a = &place[k[i - 1].at], *b = &place[k[i].at];
		if (same_stream(a, b) && a->end > b->base)
			return false;
	}
	return true;
}

int wal_directory_put(const struct firn_env *env, uint8_t *group, const struct wal_place *place,
                      uint32_t n, uint32_t from, uint32_t to, uint32_t *used)
{
	uint32_t n_page = pages_of(n), first = page_pos(n_page);
	struct key *room = mem_alloc(env, (size_t)n * 2 * sizeof *room);
	if (!room)
		return FIRN_ENOMEM;
	const struct key *k = sort_places(place, room, n);
	if (!in_order(place, k, n)) {
		mem_free(env, room);
		return FIRN_EINVAL;
	}
	uint8_t *head = group + WAL_GROUP_HEADER + WAL_RECORD_HEADER;
	uint8_t *index = head + WAL_DIRECTORY_HEAD;
	le32_put(head, from);
	le32_put(head + 4, to);
	le32_put(head + 8, n);
	le32_put(head + 12, n_page);
	for (uint32_t i = 0; i < n_page; i++) {
		uint32_t at = i * WAL_PAGE_PLACES;
		page_put(group + first + (size_t)i * WAL_PAGE,
		         index + (size_t)i * WAL_DIRECTORY_INDEX, place, k + at,
		         n - at < WAL_PAGE_PLACES ? n - at : WAL_PAGE_PLACES);
	}
	mem_free(env, room);
	*used = (uint32_t)wal_directory_len(n);
	struct wal_record r = { .type = WAL_DIRECTORY,
		                .pos = WAL_GROUP_HEADER,
		                .len = *used - WAL_GROUP_HEADER,
		                .meta_len = meta_len_of(n_page) };
	wal_record_put(group, &r);
	return 0;
}

/* ---- reading ---- */

int wal_directory_get(const uint8_t *record, size_t have, struct wal_directory *out)
{
	if (have < WAL_RECORD_HEADER + WAL_DIRECTORY_HEAD)
		return FIRN_ECORRUPT;
	const uint8_t *head = record + WAL_RECORD_HEADER;
	uint32_t len = le32_get(record), meta_len = le32_get(record + 4);
	*out = (struct wal_directory){ .from = le32_get(head),
		                       .to = le32_get(head + 4),
		                       .n_place = le32_get(head + 8),
		                       .n_page = le32_get(head + 12),
		                       .index = head + WAL_DIRECTORY_HEAD };
	if (le16_get(record + 8) != WAL_DIRECTORY || !out->n_place ||
	    out->n_place > UINT32_MAX / WAL_PLACE_LEN || out->n_page != pages_of(out->n_place) ||
	    meta_len != meta_len_of(out->n_page) || have < meta_len ||
	    len != wal_directory_len(out->n_place) - WAL_GROUP_HEADER)
		return FIRN_ECORRUPT;
	if (have >= len)
		out->page = record + page_pos(out->n_page) - WAL_GROUP_HEADER;
	return 0;
}

static const uint8_t *index_at(const struct wal_directory *d, uint32_t page)
{
	return d->index + (size_t)page * WAL_DIRECTORY_INDEX;
}

uint64_t wal_directory_page_sum(const struct wal_directory *d, uint32_t page)
{
	return le64_get(index_at(d, page) + 24);
}

uint32_t wal_directory_page_n(const struct wal_directory *d, uint32_t page)
{
	uint32_t n = le32_get(index_at(d, page) + 4);
	return n < WAL_PAGE_PLACES ? n : WAL_PAGE_PLACES;
}

void wal_place_get(const uint8_t *page, uint32_t i, uint64_t file_no, struct wal_place *out)
{
	const uint8_t *at = page + i * (size_t)WAL_PLACE_LEN;
	*out = (struct wal_place){ .volume_no = le32_get(at),
		                   .lsn = file_no << 32 | le32_get(at + 4),
		                   .stream = le64_get(at + 8),
		                   .base = le64_get(at + 16),
		                   .end = le64_get(at + 24),
		                   .op = le32_get(at + 32),
		                   .len = le32_get(at + 36) };
}

uint32_t wal_directory_find(const struct wal_directory *d, uint32_t volume_no, uint64_t stream,
                            uint64_t from)
{
	uint32_t lo = 0,
	         hi = d->n_page; /* first page that begins above (volume_no, stream, from) */
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		const uint8_t *at = index_at(d, mid);
		int c = cmp_stream(le32_get(at), le64_get(at + 8), volume_no, stream);
		if (c < 0 || (c == 0 && le64_get(at + 16) <= from))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo ? lo - 1 : 0;
}

/* ---- checking ---- */

static bool place_sane(const struct wal_directory *d, const struct wal_place *p)
{
	uint64_t pos = (uint32_t)p->lsn, end = pos + p->len;
	if (pos % WAL_PAGE || p->len % WAL_PAGE || !p->len || pos < d->from || end > d->to ||
	    p->base >= p->end)
		return false;
	return p->stream ? p->op >= WAL_GROUP_HEADER + WAL_RECORD_HEADER && p->op % 8 == 0 &&
	                           p->op < p->len
	                 : p->op <= p->len;
}

static bool place_follows(const struct wal_place *a, const struct wal_place *b)
{
	int c = cmp_stream(a->volume_no, a->stream, b->volume_no, b->stream);
	return c < 0 || (c == 0 && a->end <= b->base && a->lsn < b->lsn);
}

static const char *page_check(const struct wal_directory *d, uint32_t i, struct wal_place *last)
{
	const uint8_t *page = d->page + (size_t)i * WAL_PAGE, *index = index_at(d, i);
	uint32_t before = i * WAL_PAGE_PLACES, n = le32_get(index + 4);
	uint32_t want = d->n_place - before < WAL_PAGE_PLACES ? d->n_place - before
	                                                      : WAL_PAGE_PLACES;
	struct wal_place p;
	if (n != want)
		return "number of places is wrong";
	if (wal_directory_page_sum(d, i) != sum64(page, WAL_PAGE))
		return "page checksum mismatch";
	for (uint32_t k = 0; k < n; k++) {
		wal_place_get(page, k, 0, &p);
		if (!place_sane(d, &p) || ((i || k) && !place_follows(last, &p)))
			return "a place makes no sense";
		if (!k && (p.volume_no != le32_get(index) || p.stream != le64_get(index + 8) ||
		           p.base != le64_get(index + 16)))
			return "its index names another place";
		*last = p;
	}
	size_t used = n * (size_t)WAL_PLACE_LEN;
	return all_zero(page + used, WAL_PAGE - used) ? NULL : "bytes behind its places";
}

const char *wal_directory_check(const uint8_t *group, const struct wal_record *r)
{
	struct wal_directory d;
	struct wal_place last = { 0 };
	if (r->pos != WAL_GROUP_HEADER || r->n_ops || wal_directory_get(r->start, r->len, &d))
		return "lengths make no sense";
	if (d.from % WAL_PAGE || d.from >= d.to || d.to != (uint32_t)le64_get(group + 40))
		return "it stands at another place";
	const uint8_t *meta_end = r->start + r->meta_len;
	if (!all_zero(meta_end, (size_t)(d.page - meta_end)))
		return "bytes behind its index";
	for (uint32_t i = 0; i < d.n_page; i++) {
		const char *why = page_check(&d, i, &last);
		if (why)
			return why;
	}
	return NULL;
}

/* ---- the places of a group ---- */

static struct wal_place *place_add(struct wal_places *p, uint32_t volume_no, uint64_t stream)
{
	void *array = p->place;
	if (mem_grow(p->env, &array, &p->cap, p->n, p->n + 1, sizeof *p->place))
		return NULL;
	p->place = array;
	struct wal_place *q = &p->place[p->n++];
	*q = (struct wal_place){ .volume_no = volume_no, .stream = stream };
	return q;
}

/* The group's place of a stream, NULL if it has none yet. Newest first: neighbours are alike. */
static struct wal_place *place_of(struct wal_places *p, size_t first, uint32_t volume_no,
                                  uint64_t stream)
{
	for (size_t i = p->n; i-- > first;)
		if (p->place[i].volume_no == volume_no && p->place[i].stream == stream)
			return &p->place[i];
	return NULL;
}

static int note(struct wal_places *p, struct wal_place *q, const struct wal_group_header *h,
                const struct wal_place *one)
{
	if (q) {
		q->end = one->end;
		q->op = one->stream ? one->op : q->op + one->op;
		return 0;
	}
	q = place_add(p, one->volume_no, one->stream);
	if (!q)
		return FIRN_ENOMEM;
	*q = *one;
	q->lsn = h->lsn;
	q->len = (uint32_t)wal_group_len(h->used);
	return 0;
}

int wal_places_of_group(struct wal_places *p, const uint8_t *group,
                        const struct wal_group_header *h)
{
	size_t first = p->n, volume_at = p->n;
	struct wal_record r;
	struct wal_op op;
	int rc = 0;
	for (uint32_t pos = WAL_GROUP_HEADER;
	     !rc && (pos = wal_record_next(group, h->used, pos, &r)) != 0;) {
		if (r.type != WAL_WRITE)
			continue;
		struct wal_place one = {
			.volume_no = r.volume_no, .base = r.rev, .end = r.rev + 1, .op = r.len
		};
		bool same = volume_at < p->n && p->place[volume_at].volume_no == r.volume_no;
		struct wal_place *q = same ? &p->place[volume_at]
		                           : place_of(p, first, r.volume_no, 0);
		volume_at = q ? (size_t)(q - p->place) : p->n;
		rc = note(p, q, h, &one);
		for (const uint8_t *at = NULL; !rc && (at = wal_op_next(&r, at, &op)) != NULL;) {
			if (op.kind != WAL_OP_APPEND)
				continue;
			one = (struct wal_place){ .volume_no = r.volume_no,
				                  .op = op.pos,
				                  .stream = op.stream,
				                  .base = op.batch.offset,
				                  .end = op.batch.offset + op.batch.n_offsets };
			/* Without a link back it is the stream's first operation here. */
			q = op.prev ? place_of(p, first, r.volume_no, op.stream) : NULL;
			rc = note(p, q, h, &one);
		}
	}
	return rc;
}
