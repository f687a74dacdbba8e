/* A directory of hostile bytes whose checksums are right, page sums included: judged, searched, and when
 * accepted made again from its places, which must give the same bytes. */
#include "engine/base/le.h"
#include "engine/os/env.h"
#include "engine/wal/directory.h"
#include "tests/unit/wal/resign.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void require(int ok)
{
	if (!ok)
		abort();
}

/* A group with one record that is a directory of as many pages as fit. */
static void make_credible(uint8_t *group, size_t len)
{
	uint8_t *record = group + WAL_GROUP_HEADER, *head = record + WAL_RECORD_HEADER;
	uint32_t n = le32_get(head + 8) % 2000 + 1;
	while (n > 1 && wal_directory_len(n) > len)
		n /= 2;
	uint32_t n_page = (n + WAL_PAGE_PLACES - 1) / WAL_PAGE_PLACES;
	uint32_t used = (uint32_t)wal_directory_len(n), first = used - n_page * WAL_PAGE;
	le64_put(group, WAL_GROUP_MAGIC);
	le64_put(group + 8, WAL_FORMAT);
	le32_put(group + 64, used);
	le32_put(group + 68, 1);
	memset(group + 88, 0, 32);
	le64_put(group + 40, le32_get(head + 4) & ~(WAL_PAGE - 1));
	le32_put(record, used - WAL_GROUP_HEADER);
	le32_put(record + 4, WAL_RECORD_HEADER + WAL_DIRECTORY_HEAD + n_page * WAL_DIRECTORY_INDEX);
	le32_put(record + 8, WAL_DIRECTORY);
	le32_put(record + 48, WAL_GROUP_HEADER);
	le32_put(record + 52, 0);
	le32_put(head, le32_get(head) & ~(WAL_PAGE - 1));
	le32_put(head + 4, le32_get(head + 4) & ~(WAL_PAGE - 1));
	le32_put(head + 8, n);
	le32_put(head + 12, n_page);
	for (uint32_t i = 0; i < n_page && first + (i + 1) * WAL_PAGE <= len; i++) {
		uint8_t *index = head + WAL_DIRECTORY_HEAD + i * WAL_DIRECTORY_INDEX;
		uint8_t *page = group + first + i * WAL_PAGE;
		memcpy(index, page, 4);
		memcpy(index + 8, page + 8, 16);
		le64_put(index + 24, sum64(page, WAL_PAGE));
	}
	resign_group(group, len);
}

static void make_again(const uint8_t *group, const struct wal_directory *d, uint32_t used)
{
	struct wal_place *place = calloc(d->n_place, sizeof *place), *order;
	uint8_t *copy = calloc(1, used);
	uint32_t n = 0, again = 0;
	require(place && copy);
	order = place;
	for (uint32_t i = 0; i < d->n_page; i++)
		for (uint32_t k = 0; k < wal_directory_page_n(d, i); k++)
			wal_place_get(d->page + (size_t)i * WAL_PAGE, k, 0, &order[n++]);
	require(n == d->n_place);
	require(wal_directory_put(env_default(), copy, place, n, d->from, d->to, &again) == 0);
	require(again == used);
	require(!memcmp(copy + WAL_GROUP_HEADER + WAL_RECORD_HEADER,
	                group + WAL_GROUP_HEADER + WAL_RECORD_HEADER,
	                used - WAL_GROUP_HEADER - WAL_RECORD_HEADER));
	free(place);
	free(copy);
}

static void search(const struct wal_directory *d)
{
	for (uint64_t i = 0; i < 64; i++)
		require(wal_directory_find(d, (uint32_t)(i % 3), i % 5, i) < d->n_page);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (len < 2 || len > (1u << 20))
		return 0;
	size_t room = (len + 3 * WAL_PAGE - 1) & ~(size_t)(WAL_PAGE - 1);
	uint8_t *group = calloc(1, room);
	struct wal_group_header h;
	struct wal_record r;
	struct wal_directory d;
	struct firn_error err = FIRN_ERROR_INIT;
	require(group != NULL);
	memcpy(group, data, len - 1);
	if (data[len - 1] & 1)
		make_credible(group, room);
	for (size_t have = 0; have < 300 && have + WAL_GROUP_HEADER < room; have += 7)
		if (!wal_directory_get(group + WAL_GROUP_HEADER, have, &d))
			search(&d);
	if (wal_group_header_get(group, room, &h) == 0 &&
	    wal_group_verify(group, room, &h, NULL, &err) == 0 &&
	    wal_record_next(group, h.used, WAL_GROUP_HEADER, &r) && r.type == WAL_DIRECTORY) {
		require(wal_directory_get(r.start, r.len, &d) == 0 && d.page);
		search(&d);
		make_again(group, &d, h.used);
	}
	free(group);
	return 0;
}
