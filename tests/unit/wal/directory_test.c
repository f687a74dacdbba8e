/* Directories: what is put in is found again, by a search through the index; anything else is refused. */
#include "engine/base/le.h"
#include "engine/os/env.h"
#include "engine/wal/directory.h"
#include "tests/unit/wal/make_wal.h"
#include "tests/unit/wal/resign.h"
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

TestSuite(wal_directory, .timeout = 60);

enum { FROM = 8 * 4096, MOST = 5000 };

struct made {
	struct wal_place place[MOST];
	uint32_t n, to, len;
	uint8_t *group;
	struct wal_record r;
	struct wal_directory d;
};

/* n places in groups one after another, of up to `streams` streams of two volumes. */
static struct made *make(uint64_t seed, uint32_t n, uint32_t streams)
{
	struct made *m = calloc(1, sizeof *m);
	struct walmake_chance c = { seed };
	uint64_t *next = calloc(2 * (size_t)streams, sizeof *next);
	uint32_t pos = FROM;
	cr_assert(m && next);
	for (m->n = 0; m->n < n; pos += 4096) {
		uint32_t in_group = 1 + walmake_below(&c, 5), first = m->n;
		for (uint32_t i = 0; i < in_group && m->n < n; i++) {
			uint32_t v = walmake_below(&c, 2), s = walmake_below(&c, streams);
			bool there = false;
			for (uint32_t k = first; k < m->n && !there; k++)
				there = m->place[k].volume_no == v + 1 &&
				        m->place[k].stream == s * UINT64_C(11);
			if (there)
				continue;
			uint64_t *at = &next[v * streams + s], base = *at + walmake_below(&c, 2);
			*at = base + 1 + walmake_below(&c, 9);
			m->place[m->n++] = (struct wal_place){ v + 1, 192, s * UINT64_C(11),
				                               base,  *at, pos,
				                               4096,  0 };
		}
	}
	free(next);
	m->to = pos;
	m->len = (uint32_t)wal_directory_len(n);
	m->group = aligned_alloc(4096, m->len);
	cr_assert(m->group);
	memset(m->group, 0, m->len);
	uint32_t used;
	cr_assert_eq(wal_directory_put(env_default(), m->group, m->place, n, FROM, m->to, &used),
	             0);
	cr_assert_eq(used, m->len);
	struct wal_group_header h = { .used = used, .n_records = 1, .run = 1, .lsn = m->to };
	wal_group_seal(m->group, &h);
	cr_assert(wal_record_next(m->group, used, WAL_GROUP_HEADER, &m->r));
	cr_assert_eq(wal_directory_get(m->r.start, m->r.len, &m->d), 0);
	return m;
}

static void drop(struct made *m)
{
	free(m->group);
	free(m);
}

static int judge(const uint8_t *group, size_t len)
{
	struct wal_group_header h;
	struct firn_error err = FIRN_ERROR_INIT;
	int rc = wal_group_header_get(group, len, &h);
	return rc ? rc : wal_group_verify(group, len, &h, NULL, &err);
}

/* As find.c does: the page that the index names, or the next one. */
static bool look(const struct made *m, uint32_t volume, uint64_t stream, uint64_t from,
                 struct wal_place *out)
{
	uint32_t page = wal_directory_find(&m->d, volume, stream, from);
	for (uint32_t i = page; i < m->d.n_page && i < page + 2; i++)
		for (uint32_t k = 0; k < wal_directory_page_n(&m->d, i); k++) {
			wal_place_get(m->d.page + (size_t)i * 4096, k, 0, out);
			if (out->volume_no == volume && out->stream == stream && out->end > from)
				return true;
		}
	return false;
}

static bool look_through(const struct made *m, uint32_t volume, uint64_t stream, uint64_t from,
                         struct wal_place *out)
{
	for (uint32_t i = 0; i < m->n; i++) {
		*out = m->place[i];
		if (out->volume_no == volume && out->stream == stream && out->end > from)
			return true;
	}
	return false;
}

static void finds_all(uint64_t seed, uint32_t n, uint32_t streams)
{
	struct made *m = make(seed, n, streams);
	struct walmake_chance c = { seed + 1 };
	struct wal_place a = { 0 }, b = { 0 };
	cr_assert_eq(judge(m->group, m->len), 0, "n %u, streams %u", n, streams);
	for (int i = 0; i < 2000; i++) {
		uint32_t v = 1 + walmake_below(&c, 3);
		uint64_t s = walmake_below(&c, streams + 1) * UINT64_C(11);
		uint64_t from = walmake_below(&c, 12 * n / streams + 12);
		bool found = look(m, v, s, from, &a);
		cr_assert_eq(found, look_through(m, v, s, from, &b));
		cr_assert(!found || (a.base == b.base && a.lsn == b.lsn && a.end == b.end));
	}
	drop(m);
}

Test(wal_directory, a_search_by_index_finds_what_a_search_through_all_finds)
{
	const uint32_t n[] = { 1, 2, 101, 102, 103, 204, 205, 1000, MOST };
	for (unsigned i = 0; i < sizeof n / sizeof n[0]; i++)
		for (uint32_t streams = 3; streams < 4000; streams *= 7)
			finds_all(i * 100 + streams, n[i], streams);
}

Test(wal_directory, its_length_is_known_from_the_number_of_places)
{
	for (uint32_t n = 1; n < 100000; n += 1 + n / 3)
		cr_assert_leq(wal_directory_len(n),
		              (uint64_t)n * WAL_PLACE_CHARGE + WAL_DIRECTORY_WASTE);
}

/* Abandoned by a writer that was fenced, and then the volume's own at the same offsets: a search by offset would
 * find either. */
Test(wal_directory, offsets_that_go_back_have_no_directory)
{
	static uint8_t group[4 * 4096];
	struct wal_place place[] = { { 1, 192, 11, 100, 200, FROM, 4096, 0 },
		                     { 1, 192, 12, 150, 160, FROM + 4096, 4096, 0 },
		                     { 1, 192, 11, 150, 160, FROM + 8192, 4096, 0 } };
	uint32_t used;
	cr_expect_eq(wal_directory_put(env_default(), group, place, 3, FROM, FROM + 12288, &used),
	             FIRN_EINVAL);
	place[2].base = 200;
	place[2].end = 201;
	cr_expect_eq(wal_directory_put(env_default(), group, place, 3, FROM, FROM + 12288, &used),
	             0);
}

Test(wal_directory, any_flipped_bit_is_seen)
{
	struct made *m = make(5, 300, 40);
	for (uint32_t at = 0; at < m->len; at++) {
		m->group[at] ^= (uint8_t)(1 << at % 8);
		cr_assert(judge(m->group, m->len) != 0, "byte %u", at);
		m->group[at] ^= (uint8_t)(1 << at % 8);
	}
	cr_assert_eq(judge(m->group, m->len), 0);
	drop(m);
}

/* Signed again: what makes no sense is refused for what it says. */
static void refuses(uint32_t at, uint64_t value, int bytes, const char *what)
{
	struct made *m = make(9, 300, 40);
	uint8_t *p = m->group + at;
	for (int i = 0; i < bytes; i++)
		p[i] = (uint8_t)(value >> 8 * i);
	for (uint32_t i = 0; i < m->d.n_page; i++)
		le64_put((uint8_t *)(uintptr_t)m->d.index + i * 32u + 24,
		         sum64(m->d.page + (size_t)i * 4096, 4096));
	resign_group(m->group, m->len);
	cr_expect_eq(judge(m->group, m->len), FIRN_ECORRUPT, "%s", what);
	drop(m);
}

Test(wal_directory, what_makes_no_sense_is_refused)
{
	enum { HEAD = 192, INDEX = HEAD + 16, PAGE = 4096 };
	refuses(HEAD, 1, 4, "from is not on a page");
	refuses(HEAD, 1u << 30, 4, "from lies behind it");
	refuses(HEAD + 4, FROM + 4096, 4, "it stands somewhere else");
	refuses(HEAD + 8, 299, 4, "one place less");
	refuses(HEAD + 8, 0, 4, "no place at all");
	refuses(HEAD + 12, 4, 4, "a page more");
	refuses(INDEX + 4, 101, 4, "a page with one place less");
	refuses(INDEX + 16, 1u << 20, 8, "the index names another offset");
	refuses(PAGE + 4, 4, 4, "a group not on a page");
	refuses(PAGE + 4, FROM - 4096, 4, "a group before its range");
	refuses(PAGE + 24, 0, 8, "a place that ends before it begins");
	refuses(PAGE + 32, 4096, 4, "an operation behind its group");
	refuses(PAGE + 36, 0, 4, "an empty group");
	refuses(PAGE + 40, 77, 4, "out of order");
	refuses(PAGE + 4090, 1, 1, "bytes behind the places");
}
