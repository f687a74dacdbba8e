/* What becomes of the records that were read: lines, batches or JSON, on standard output or in one
 * file for each stream. Those files are opened for each part anew: there may be many streams. */
#include "engine/base/le.h"
#include "tools/firn/json.h"
#include "tools/firn/replay.h"
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* DIR/name, or DIR/<reader>/name with several readers. '/' and a leading dot do not belong into
 * the name of a file. */
static char *split_path(const struct replay *r, const struct position *p)
{
	char *path = NULL;
	size_t len;
	FILE *f = open_memstream(&path, &len);
	if (!f)
		return NULL;
	fputs(r->plan->split_dir, f);
	if (r->plan->n_reader > 1)
		fprintf(f, "/%u", r->number);
	if (p)
		putc('/', f);
	for (uint32_t i = 0; p && i < p->name_len; i++) {
		char c = p->name[i];
		if (c == '/' || c == '%' || (c == '.' && !i))
			fprintf(f, "%%%02X", (unsigned)(unsigned char)c);
		else
			putc(c, f);
	}
	return fclose(f) ? NULL : path;
}

static int output_trouble(const struct replay *r, const char *path)
{
	if (errno == EPIPE) /* who reads us has enough */
		return TROUBLE;
	return complain(r->plan->common, TROUBLE, "%s: %s", path, strerror(errno));
}

/* Makes the directories and an empty file for each stream. */
static int open_split(struct replay *r)
{
	int code = DONE;
	char *dir = split_path(r, NULL);
	if (!dir || (mkdir(r->plan->split_dir, 0777) && errno != EEXIST) ||
	    (mkdir(dir, 0777) && errno != EEXIST))
		code = output_trouble(r, dir ? dir : r->plan->split_dir);
	free(dir);
	for (uint32_t i = 0; code == DONE && i < r->plan->n_position; i++) {
		char *path = split_path(r, &r->plan->position[i]);
		FILE *f = path ? fopen(path, "we") : NULL;
		if (!f || fclose(f))
			code = output_trouble(r, path ? path : "name");
		free(path);
	}
	return code;
}

int output_open(struct replay *r)
{
	if (r->plan->split_dir)
		return open_split(r);
	r->out = stdout;
	return DONE;
}

static void put_json(FILE *out, const struct position *p, const struct firn_batch *b)
{
	struct json j;
	json_init(&j, out);
	json_object(&j, NULL);
	json_bytes(&j, "stream", p->name, p->name_len);
	json_u64(&j, "offset", b->offset);
	if (b->n_offsets != 1)
		json_u64(&j, "n_offsets", b->n_offsets);
	json_time(&j, "time", b->timestamp_ms);
	json_time(&j, "append_time", b->append_ms);
	json_bytes(&j, "data", b->data, b->len);
	json_end(&j);
}

static void put_batch(const struct replay *r, FILE *out, const struct position *p,
                      const struct firn_batch *b)
{
	uint8_t prefix[4];
	switch (r->plan->format) {
	case READ_JSON:
		put_json(out, p, b);
		return;
	case READ_BATCHES:
		le32_put(prefix, (uint32_t)b->len);
		fwrite(prefix, 1, sizeof prefix, out);
		fwrite(b->data, 1, b->len, out);
		return;
	case READ_OFFSETS:
		fprintf(out, "%s\t%" PRIu64 "\t", p->name, b->offset);
		break;
	case READ_LINES:
		break;
	}
	fwrite(b->data, 1, b->len, out);
	putc('\n', out);
}

static void put_part(struct replay *r, FILE *out, const struct position *p,
                     const struct firn_part *part)
{
	const char *at = (const char *)part->batch;
	for (uint32_t i = 0; i < part->n_batch && !r->full; i++, at += part->batch_size) {
		const struct firn_batch *b = (const void *)at;
		if (b->offset >= p->end)
			break;
		put_batch(r, out, p, b);
		r->n_records += b->n_offsets;
		r->bytes += b->len;
		r->full = r->plan->max_records && r->n_records >= r->plan->max_records;
	}
}

int output_part(struct replay *r, const struct position *p, const struct firn_part *part)
{
	if (r->out) {
		put_part(r, r->out, p, part);
		return ferror(r->out) ? output_trouble(r, "standard output") : DONE;
	}
	char *path = split_path(r, p);
	FILE *f = path ? fopen(path, "ae") : NULL;
	int code = DONE;
	if (f)
		put_part(r, f, p, part);
	if (!f || fclose(f))
		code = output_trouble(r, path ? path : p->name);
	free(path);
	return code;
}

int output_flush(struct replay *r)
{
	return r->out && fflush(r->out) ? output_trouble(r, "standard output") : DONE;
}
