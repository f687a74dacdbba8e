/* The first 4096 bytes of a WAL file, and the file's name.
 *
 *     0 u64 magic    8 u32 format   12 u32 0   16 u64 incompat   24 wal_id[16]
 *    40 u64 run     48 run_nonce[16]           64 u64 file_no    72 u64 file_bytes
 *    80 u64 prev_sum   88 i64 created_ms       96..4087 zero
 *  4088 u64 checksum over bytes 0..4087 */
#include "engine/base/error.h"
#include "engine/base/sum.h"
#include "engine/wal/codec.h"
#include <stdio.h>

enum { SUM_AT = WAL_PAGE - 8, FIELDS = 96 };

void wal_file_header_put(uint8_t page[WAL_PAGE], const struct wal_file_header *h)
{
	memset(page, 0, WAL_PAGE);
	le64_put(page, WAL_FILE_MAGIC);
	le32_put(page + 8, WAL_FORMAT);
	le64_put(page + 16, h->incompat);
	memcpy(page + 24, h->wal_id, 16);
	le64_put(page + 40, h->run);
	memcpy(page + 48, h->run_nonce, 16);
	le64_put(page + 64, h->file_no);
	le64_put(page + 72, h->file_bytes);
	le64_put(page + 80, h->prev_sum);
	le64_put(page + 88, (uint64_t)h->created_ms);
	le64_put(page + SUM_AT, sum64(page, SUM_AT));
}

int wal_file_header_get(const uint8_t page[WAL_PAGE], struct wal_file_header *out,
                        struct firn_error *err)
{
	if (le64_get(page) != WAL_FILE_MAGIC)
		return fail(err, FIRN_ECORRUPT, 0, "wal", "file header: not a WAL file");
	if (le64_get(page + SUM_AT) != sum64(page, SUM_AT))
		return fail(err, FIRN_ECORRUPT, 0, "wal", "file header: checksum mismatch");
	if (le32_get(page + 8) != WAL_FORMAT)
		return fail(err, FIRN_EUNSUPPORTED, 0, "wal",
		            "file header: format %u, this release"
		            " knows %u",
		            le32_get(page + 8), WAL_FORMAT);
	memset(out, 0, sizeof *out);
	out->incompat = le64_get(page + 16);
	if (out->incompat)
		return fail(err, FIRN_EUNSUPPORTED, 0, "wal",
		            "file header: features 0x%llx that this"
		            " release does not know",
		            (unsigned long long)out->incompat);
	memcpy(out->wal_id, page + 24, 16);
	out->run = le64_get(page + 40);
	memcpy(out->run_nonce, page + 48, 16);
	out->file_no = le64_get(page + 64);
	out->file_bytes = le64_get(page + 72);
	out->prev_sum = le64_get(page + 80);
	out->created_ms = (int64_t)le64_get(page + 88);
	if (le32_get(page + 12) || !all_zero(page + FIELDS, SUM_AT - FIELDS))
		return fail(err, FIRN_ECORRUPT, 0, "wal",
		            "file header: reserved bytes are not zero");
	return 0;
}

void wal_file_path(const char *dir, uint64_t file_no, char *out, size_t cap)
{
	(void)snprintf(out, cap, "%s/%016llx.%s", dir, (unsigned long long)file_no,
	               wal_suffix(file_no));
}

static int name_parse(const char *name, const char *suffix, uint64_t *file_no)
{
	uint64_t v = 0;
	for (int i = 0; i < 16; i++) {
		char ch = name[i];
		if (ch >= '0' && ch <= '9')
			v = v << 4 | (uint64_t)(ch - '0');
		else if (ch >= 'a' && ch <= 'f')
			v = v << 4 | (uint64_t)(ch - 'a' + 10);
		else
			return -1;
	}
	if (strcmp(name + 16, suffix) != 0)
		return -1;
	*file_no = v;
	return 0;
}

int wal_file_name_parse(const char *name, uint64_t *file_no)
{
	return name_parse(name, ".wal", file_no);
}

int wal_aside_name_parse(const char *name, uint64_t *file_no)
{
	uint64_t no;
	if (name_parse(name, ".aside", &no) || !wal_is_aside(no))
		return -1;
	*file_no = no;
	return 0;
}
