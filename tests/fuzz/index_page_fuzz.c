/* An LMDB file of hostile pages of 512 bytes: nothing of it may be believed (PROTOCOL 15). First as it is;
 * then made credible, as the input's last byte says: 1 the constants of both meta pages, with room for
 * the file; 2 the number of each page in its place; 4 flags of pages: those of a tree. Rows that the
 * walk hands out are read. */
#include "engine/base/le.h"
#include "engine/index/check.h"
#include "engine/os/env.h"
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PAGE = 512, PAGES_MAX = 64 };

static volatile uint64_t sink;

static void require(int ok)
{
	if (!ok)
		abort();
}

static int row_touch(void *arg, const struct index_row *r, struct firn_error *err)
{
	(void)arg, (void)err;
	for (size_t i = 0; i < r->key_len; i++)
		sink += r->key[i];
	for (size_t i = 0; i < r->value_len; i++)
		sink += r->value[i];
	return 0;
}

static void expect(int rc, const struct firn_error *err)
{
	require(rc == 0 || ((rc == FIRN_ECORRUPT || rc == FIRN_EUNSUPPORTED) && err->code == rc &&
	                    err->text[0]));
}

static void look_over(int fd)
{
	struct check_meta meta[2];
	struct check_result result;
	struct firn_error err = FIRN_ERROR_INIT;
	int rc = index_check_metas(fd, meta, &err);
	expect(rc, &err);
	for (int i = 0; i < 2 && !rc; i++) {
		if (meta[i].last_page > 1 << 16)
			continue; /* a bit for each: legal, slow */
		int walk = index_check_walk(env_default(), fd, &meta[i], row_touch, NULL, &result,
		                            &err);
		expect(walk, &err);
		int first = index_check_first(env_default(), fd, &meta[i], row_touch, NULL, &err);
		expect(first, &err);
		require(walk || !first); /* what is whole has a first row, or none */
	}
}

/* Constants of meta page `slot`; the trees are what the input says. */
static void meta_sign(uint8_t *at, uint32_t slot, uint64_t n_pages)
{
	le64_put(at, slot);
	at[10] = 8; /* P_META */
	at[11] = 0;
	le32_put(at + 16, 0xBEEFC0DE);
	le32_put(at + 20, 1);
	le64_put(at + 24, 0);
	le32_put(at + 40, PAGE); /* md_pad of the free tree holds the page size */
	at[44] = 8;
	at[45] = 0;
	memset(at + 88, 0, 6);
	le64_put(at + 136, n_pages - 1);
	le64_put(at + 144, slot ? 1 : 2);
}

static void make_credible(uint8_t *file, size_t len, uint8_t what)
{
	for (uint64_t i = 0; i < len / PAGE; i++) {
		uint8_t *at = file + i * PAGE;
		if (what & 1 && i < 2)
			meta_sign(at, (uint32_t)i, len / PAGE);
		if (what & 2)
			le64_put(at, i);
		if (what & 4 && i >= 2) {
			at[10] = (uint8_t)(1u << at[10] % 3);
			at[11] = 0;
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	static uint8_t file[PAGE * PAGES_MAX];
	if (size < 2)
		return 0;
	uint8_t what = data[--size];
	size_t len = size < sizeof file ? size : sizeof file;
	if (fd < 0)
		fd = memfd_create("data.mdb", MFD_CLOEXEC);
	require(fd >= 0);
	memset(file, 0, sizeof file);
	memcpy(file, data, len);
	len = (len + PAGE - 1) / PAGE * PAGE;
	make_credible(file, len, what);
	require(ftruncate(fd, 0) == 0 && pwrite(fd, file, len, 0) == (ssize_t)len);
	look_over(fd);
	return 0;
}
