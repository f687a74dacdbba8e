/* A WAL file as text, for people and for FORMAT.md. One line for at most 16 bytes:
 *
 *   00001080  58000000580000000100010001000000  record: len 88, meta_len 88, type 1 WRITE ... */
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/wal/codec.h"
#include "engine/wal/directory.h"
#include "engine/wal/inspect.h"
#include "engine/wal/slots_format.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct dump {
	void (*line)(void *arg, const char *text);
	void *arg;
	const uint8_t *file;
	size_t len;
};

typedef unsigned long long ull;

__attribute__((format(printf, 4, 5))) static void say(const struct dump *d, const uint8_t *at,
                                                      size_t n, const char *fmt, ...)
{
	char text[2300];
	n = n < 16 ? n : 16;
	int at_text = snprintf(text, sizeof text, "%08llx  ", (ull)(at - d->file));
	size_t len = at_text > 0 ? (size_t)at_text : 0;
	for (size_t i = 0; i < n; i++)
		len += (size_t)snprintf(text + len, sizeof text - len, "%02x", at[i]);
	if (n)
		len += (size_t)snprintf(text + len, sizeof text - len, "%*s", (int)(34 - 2 * n),
		                        "");
	va_list args;
	va_start(args, fmt);
	(void)vsnprintf(text + len, sizeof text - len, fmt, args);
	va_end(args);
	d->line(d->arg, text);
}

#define SHOWN 32
struct shown {
	char text[SHOWN + 8];
};

/* The first bytes as text, in quotes. */
static struct shown show(const void *bytes, size_t len)
{
	struct shown s;
	size_t n = len < SHOWN ? len : SHOWN, k = 0;
	s.text[k++] = '"';
	for (size_t i = 0; i < n; i++) {
		uint8_t b = ((const uint8_t *)bytes)[i];
		s.text[k++] = b >= 0x20 && b < 0x7f ? (char)b : '.';
	}
	s.text[k++] = '"';
	memcpy(s.text + k, len > SHOWN ? "..." : "", len > SHOWN ? 4 : 1);
	return s;
}

static const char *const kind_name[] = {
	[WAL_OP_APPEND] = "APPEND", [WAL_OP_KV_PUT] = "KV_PUT", [WAL_OP_KV_DELETE] = "KV_DELETE",
	[WAL_OP_TRIM] = "TRIM",     [WAL_OP_CREATE] = "CREATE", [WAL_OP_CONFIG] = "CONFIG",
	[WAL_OP_DELETE] = "DELETE", [WAL_OP_FILL] = "FILL"
};
static const char *const type_name[] = {
	[WAL_WRITE] = "WRITE",        [WAL_TABLE] = "TABLE",   [WAL_SEAL] = "SEAL",
	[WAL_INTENT] = "INTENT",      [WAL_DETACH] = "DETACH", [WAL_FENCE] = "FENCE",
	[WAL_DIRECTORY] = "DIRECTORY"
};

/* ---- operations ---- */

static void dump_body(const struct wal_op *op, char *text, size_t cap)
{
	const struct batch *b = &op->batch;
	switch (op->kind) {
	case WAL_OP_APPEND:
	case WAL_OP_FILL:
		(void)snprintf(
		        text, cap,
		        "offset %llu, n %u, payload %u (sum %016llx), time %lld, rev %llu"
		        ", epoch %llu, producer %llu/%u/%llu, tag %u, flags %u, key %s, attr %s",
		        (ull)b->offset, b->n_offsets, b->payload_len, (ull)b->payload_sum,
		        (long long)b->timestamp_ms, (ull)b->rev, (ull)b->epoch, (ull)b->producer_id,
		        b->producer_epoch, (ull)b->producer_seq, b->tag, b->flags,
		        show(b->key, b->key_len).text, show(b->attr, b->attr_len).text);
		break;
	case WAL_OP_KV_PUT:
		(void)snprintf(text, cap, "key %s, value %u bytes %s",
		               show(op->key, op->key_len).text, op->value_len,
		               show(op->value, op->value_len).text);
		break;
	case WAL_OP_KV_DELETE:
		(void)snprintf(text, cap, "key %s, to %s", show(op->key, op->key_len).text,
		               show(op->key_to, op->key_to_len).text);
		break;
	case WAL_OP_TRIM:
		(void)snprintf(text, cap, "start becomes %llu", (ull)op->at);
		break;
	case WAL_OP_CREATE:
		(void)snprintf(text, cap, "name %s, first offset %llu, config %u bytes %s",
		               show(op->name, op->name_len).text, (ull)op->at, op->config_len,
		               show(op->config, op->config_len).text);
		break;
	case WAL_OP_CONFIG:
		(void)snprintf(text, cap, "config %u bytes %s", op->config_len,
		               show(op->config, op->config_len).text);
		break;
	default:
		text[0] = 0;
	}
}

static void dump_write(const struct dump *d, const struct wal_record *r)
{
	struct wal_op op;
	char text[700];
	const uint8_t *at = r->body, *next = NULL;
	for (; (next = wal_op_next(r, next, &op)); at = next) {
		dump_body(&op, text, sizeof text);
		say(d, at, 16, "op %s: len %u, prev %u, payload_pos %u; stream %llx%s%s",
		    kind_name[op.kind], le32_get(at + 4), op.prev, le32_get(at + 12),
		    (ull)op.stream, text[0] ? ", " : "", text);
	}
	const uint8_t *end = r->body_end;
	for (next = NULL; (next = wal_op_next(r, next, &op));)
		if (wal_op_has_batch(op.kind) && op.batch.payload_len) {
			const struct batch *b = &op.batch;
			say(d, b->payload, b->payload_len, "payload of the op at %u: %u bytes %s",
			    op.pos, b->payload_len, show(b->payload, b->payload_len).text);
			end = b->payload + b->payload_len;
		}
	size_t pad = (size_t)(r->start + r->len - end);
	if (pad)
		say(d, end, pad, "padding");
}

/* ---- control records ---- */

static void dump_row(const struct dump *d, struct cur *c)
{
	struct wal_volume_row row;
	const uint8_t *at = c->p;
	if (wal_row_decode(c, &row))
		return;
	say(d, at, 16, "row: len %u, volume_no %u, flags %u, n_intent %u", le32_get(at),
	    row.volume_no, row.flags, row.n_intent);
	say(d, at + 16, 16, "  id");
	say(d, at + 32, 16, "  nonce");
	say(d, at + 48, 16, "  epoch %llu, rev %llu", (ull)row.epoch, (ull)row.rev);
	say(d, at + 64, 16, "  rev_stored %llu, fs_id %llx", (ull)row.rev_stored,
	    (ull)row.identity.fs_id);
	say(d, at + 80, 16, "  inode %llu, machine ...", (ull)row.identity.inode);
	say(d, at + 96, 16, "  ... machine; lengths: name %u, uri %u, node %u", le16_get(at + 104),
	    le16_get(at + 106), le16_get(at + 108));
	for (uint32_t i = 0; i < row.n_intent; i++)
		say(d, at + 112 + i * (size_t)16, 16, "  intent");
	at += 112 + row.n_intent * (size_t)16;
	say(d, at, (size_t)(c->p - at), "  name \"%s\", uri \"%s\", node \"%s\"", row.name, row.uri,
	    row.node);
}

static void dump_control(const struct dump *d, const struct wal_record *r)
{
	struct cur c = cur_of(r->body, (size_t)(r->body_end - r->body));
	struct wal_seal_body seal;
	struct wal_table_head h = { .n_row = 1 };
	if (r->type == WAL_SEAL) {
		if (wal_seal_decode(&c, &seal) == 0) {
			say(d, r->body, 16, "seal: run %llu ends at lsn %016llx", (ull)seal.run,
			    (ull)seal.end_lsn);
			say(d, r->body + 16, 8, "  its last header_sum");
		}
		return;
	}
	if (r->type == WAL_TABLE) {
		(void)wal_table_head_decode(&c, &h);
		say(d, r->body, 16, "table: %u volumes, %u gone, next volume_no %u", h.n_row,
		    h.n_gone, h.next_volume_no);
	}
	while (h.n_row-- && cur_left(&c))
		dump_row(d, &c);
	for (struct wal_gone gone; h.n_gone && !wal_gone_decode(&c, &gone); h.n_gone--) {
		say(d, c.p - WAL_GONE_LEN, 16, "gone: id");
		say(d, c.p - 16, 16, "  rev %llu, sum of its uri and name", (ull)gone.rev);
	}
}

/* ---- directories ---- */

static void dump_place(const struct dump *d, const uint8_t *page, uint32_t i)
{
	const uint8_t *at = page + i * (size_t)WAL_PLACE_LEN;
	struct wal_place p;
	wal_place_get(page, i, 0, &p);
	say(d, at, 16, "place: volume_no %u, group at %llu, stream %llx", p.volume_no, (ull)p.lsn,
	    (ull)p.stream);
	say(d, at + 16, 16, "  %s %llu to %llu", p.stream ? "offsets" : "revs", (ull)p.base,
	    (ull)p.end);
	say(d, at + 32, 8, "  %s %u, len %u", p.stream ? "last op" : "bytes", p.op, p.len);
}

static void dump_directory(const struct dump *d, const struct wal_record *r)
{
	struct wal_directory dir;
	if (wal_directory_get(r->start, r->len, &dir))
		return;
	say(d, r->body, 16, "directory of %u to %u: %u places, %u pages", dir.from, dir.to,
	    dir.n_place, dir.n_page);
	for (uint32_t i = 0; i < dir.n_page; i++) {
		const uint8_t *at = dir.index + (size_t)i * WAL_DIRECTORY_INDEX;
		say(d, at, 16, "page %u: begins with volume_no %u, %u places, stream %llx", i,
		    le32_get(at), le32_get(at + 4), (ull)le64_get(at + 8));
		say(d, at + 16, 16, "  from %llu, page's sum", (ull)le64_get(at + 16));
	}
	say(d, r->body_end, 0, "zero to %08llx", (ull)(dir.page - d->file));
	for (uint32_t i = 0; i < dir.n_page; i++) {
		const uint8_t *page = dir.page + (size_t)i * WAL_PAGE;
		uint32_t n = wal_directory_page_n(&dir, i);
		for (uint32_t k = 0; k < n; k++)
			dump_place(d, page, k);
		if (n * WAL_PLACE_LEN < WAL_PAGE)
			say(d, page + n * (size_t)WAL_PLACE_LEN, 0, "zero to %08llx",
			    (ull)(page - d->file) + WAL_PAGE);
	}
}

/* ---- groups ---- */

static void dump_record(const struct dump *d, const struct wal_record *r)
{
	const uint8_t *at = r->start;
	say(d, at, 16, "record: len %u, meta_len %u, type %u %s, n_ops %u, volume_no %u", r->len,
	    r->meta_len, r->type, type_name[r->type], r->n_ops, r->volume_no);
	say(d, at + 16, 16, "  nonce %016llx, rev %llu", (ull)r->nonce, (ull)r->rev);
	say(d, at + 32, 16, "  epoch %llu, append_ms %lld", (ull)r->epoch, (long long)r->append_ms);
	say(d, at + 48, 16, "  pos %u, 0, meta_sum", r->pos);
	if (r->type == WAL_WRITE)
		dump_write(d, r);
	else if (r->type == WAL_DIRECTORY)
		dump_directory(d, r);
	else
		dump_control(d, r);
}

static void dump_group(const struct dump *d, const uint8_t *at, const struct wal_group_header *h)
{
	say(d, at, 16, "group: magic, format %u, flags %u%s%s", WAL_FORMAT, h->flags,
	    h->flags & WAL_GROUP_IDLE ? " IDLE" : "", h->flags & WAL_GROUP_END ? " END" : "");
	say(d, at + 16, 16, "  wal_id");
	say(d, at + 32, 16, "  run %llu, lsn %016llx", (ull)h->run, (ull)h->lsn);
	say(d, at + 48, 16, "  durable_lsn %016llx, prev_sum", (ull)h->durable_lsn);
	say(d, at + 64, 16, "  used %u, n_records %u, sealed_ms %lld", h->used, h->n_records,
	    (long long)h->sealed_ms);
	say(d, at + 80, 16, "  body_sum, incompat 0");
	say(d, at + 96, 16, "  directory_len %u, zero", h->directory_len);
	say(d, at + 112, 16, "  zero, header_sum");
	struct wal_record r;
	uint32_t pos = WAL_GROUP_HEADER;
	while ((pos = wal_record_next(at, h->used, pos, &r)))
		dump_record(d, &r);
	if (h->used < wal_group_len(h->used) && h->used < d->len - (size_t)(at - d->file))
		say(d, at + h->used, 0, "zero to %08llx",
		    (ull)(at - d->file) + wal_group_len(h->used));
}

static bool dump_file_header(const struct dump *d, struct wal_file_header *h)
{
	struct firn_error why = FIRN_ERROR_INIT;
	const uint8_t *at = d->file;
	if (d->len < WAL_PAGE || wal_file_header_get(at, h, &why)) {
		say(d, at, d->len < 16 ? d->len : 16, "%s", why.text[0] ? why.text : "too short");
		return false;
	}
	say(d, at, 16, "file: magic, format %u, 0", WAL_FORMAT);
	say(d, at + 16, 16, "  incompat %llu, wal_id ...", (ull)h->incompat);
	say(d, at + 32, 16, "  ... wal_id, run %llu", (ull)h->run);
	say(d, at + 48, 16, "  run_nonce");
	say(d, at + 64, 16, "  file_no %llu, file_bytes %llu", (ull)h->file_no, (ull)h->file_bytes);
	say(d, at + 80, 16, "  prev_sum, created_ms %lld", (long long)h->created_ms);
	say(d, at + 96, 0, "zero to %08x", WAL_PAGE - 8);
	say(d, at + WAL_PAGE - 8, 8, "  checksum");
	return true;
}

/* What stands where the groups end. */
static void dump_end(const struct dump *d, const uint8_t *at, const char *why)
{
	size_t left = d->len - (size_t)(at - d->file);
	if (all_zero(at, left))
		say(d, at, 0, "zero to the end of the file");
	else
		say(d, at, 16, "no group of this file: %s; the rest is not shown", why);
}

void wal_dump_bytes(const uint8_t *file, size_t len, void (*line)(void *arg, const char *text),
                    void *arg)
{
	struct dump d = { line, arg, file, len };
	struct wal_file_header fh;
	struct wal_group_header h;
	if (!dump_file_header(&d, &fh))
		return;
	for (size_t pos = WAL_PAGE; pos < len; pos += (size_t)wal_group_len(h.used)) {
		struct firn_error why = FIRN_ERROR_INIT;
		char stale[100];
		uint32_t bad;
		if (wal_group_header_get(file + pos, len - pos, &h)) {
			dump_end(&d, file + pos, "no valid group header");
			return;
		}
		if (h.run != fh.run || memcmp(h.wal_id, fh.wal_id, 16) != 0 ||
		    h.lsn != (fh.file_no << 32 | pos)) {
			(void)snprintf(stale, sizeof stale, "run %llu, lsn %016llx: an earlier lap",
			               (ull)h.run, (ull)h.lsn);
			dump_end(&d, file + pos, stale);
			return;
		}
		if (wal_group_verify(file + pos, len - pos, &h, &bad, &why)) {
			dump_end(&d, file + pos, why.text);
			return;
		}
		dump_group(&d, file + pos, &h);
	}
}

/* ---- a slot of a log in a store ---- */

static void dump_slot_head(const struct dump *d, const struct slots_head *h)
{
	const uint8_t *at = d->file;
	say(d, at, 16, "slot: magic, format %u, kind %u %s", SLOTS_FORMAT, h->kind,
	    h->kind == SLOTS_SEAL ? "SEAL" : "GROUP");
	say(d, at + 16, 16, "  log id");
	say(d, at + 32, 16, "  slot %llu, acked %llu", (ull)h->slot, (ull)h->acked);
	say(d, at + 48, 16, "  n_volume %u, 0, group_len %llu", h->n_volume, (ull)h->group_len);
	say(d, at + 64, 16, "  group_sum, incompat 0");
	say(d, at + 80, 16, "  0, checksum");
	for (uint32_t i = 0; i < h->n_volume; i++) {
		struct slots_row row;
		slots_row_get(d->file, i, &row);
		at = d->file + SLOTS_HEAD + (size_t)i * SLOTS_ROW;
		say(d, at, 16, "volume: volume_no %u, 0, id ...", row.volume_no);
		say(d, at + 16, 16, "  ... id, rev_first %llu", (ull)row.rev_first);
		say(d, at + 32, 8, "  rev_last %llu", (ull)row.rev_last);
	}
}

void wal_dump_slot(const uint8_t *slot, size_t len, void (*line)(void *arg, const char *text),
                   void *arg)
{
	struct firn_error why = FIRN_ERROR_INIT;
	const uint8_t *group = NULL;
	/* A group is judged with its padding, which a slot leaves out. */
	size_t room = len + WAL_PAGE;
	uint8_t *padded = calloc(1, room);
	struct dump d = { line, arg, padded, len };
	struct wal_group_header gh;
	struct slots_head h;
	uint32_t bad;
	if (!padded)
		return;
	memcpy(padded, slot, len);
	int rc = slots_decode(padded, len, &h, &group, &why);
	if (!rc)
		dump_slot_head(&d, &h);
	if (!rc && h.kind == SLOTS_GROUP) {
		size_t left = room - (size_t)(group - padded);
		rc = wal_group_header_get(group, left, &gh);
		rc = rc ? fail(&why, rc, 0, "wal", "no valid group header")
		        : wal_group_verify(group, left, &gh, &bad, &why);
		if (!rc)
			dump_group(&d, group, &gh);
	}
	if (rc)
		say(&d, padded, len < 16 ? len : 16, "%s", why.text);
	free(padded);
}

/* ---- from disk ---- */

static int read_all(const struct firn_env *env, void *f, uint8_t *to, size_t len)
{
	for (size_t done = 0; done < len;) {
		int64_t n = env->files->read(env->ctx, f, to + done, len - done, done);
		if (n <= 0)
			return n < 0 ? (int)n : -1;
		done += (size_t)n;
	}
	return 0;
}

int wal_dump(const struct firn_env *env, const char *path,
             void (*line)(void *arg, const char *text), void *arg, struct firn_error *err)
{
	void *f;
	uint64_t bytes = 0;
	uint8_t *image = NULL;
	int rc = env->files->open(env->ctx, path, FIRN_OPEN_READ_ONLY, &f);
	if (rc < 0)
		return fail(err, code_of_errno(rc), -rc, "wal", "open %s", path);
	rc = env->files->size(env->ctx, f, &bytes);
	if (rc < 0)
		rc = fail(err, FIRN_EIO, -rc, "wal", "size of %s", path);
	else if (!(image = mem_alloc_pages(env, (size_t)bytes + 1)))
		rc = fail(err, FIRN_ENOMEM, 0, "wal", "dump %s: it is read whole, and does not fit",
		          path);
	else if ((rc = read_all(env, f, image, (size_t)bytes)))
		rc = fail(err, FIRN_EIO, -rc, "wal", "read %s", path);
	else if (bytes >= 8 && le64_get(image) == SLOTS_MAGIC)
		wal_dump_slot(image, (size_t)bytes, line, arg);
	else
		wal_dump_bytes(image, (size_t)(bytes & ~(uint64_t)(WAL_PAGE - 1)), line, arg);
	mem_free(env, image);
	(void)env->files->close(env->ctx, f);
	return rc;
}
