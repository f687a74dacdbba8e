#include "tests/golden/golden.h"
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

void golden_path(const char *name, const char *suffix, char *out, size_t cap)
{
	const char *source = getenv("FIRN_SOURCE_DIR");
	(void)snprintf(out, cap, "%s/tests/golden/%s%s", source ? source : ".", name, suffix);
}

static bool ends(const char *path, const char *with)
{
	size_t n = strlen(path), k = strlen(with);
	return n >= k && !strcmp(path + n - k, with);
}

bool golden_is_wal(const struct golden_file *f)
{
	return ends(f->path, ".wal");
}

bool golden_is_segment(const struct golden_file *f)
{
	return strstr(f->path, "/seg/") != NULL;
}

bool golden_is_manifest(const struct golden_file *f)
{
	return ends(f->path, "/manifest");
}

/* ---- loading ---- */

static bool part_read(struct golden *g, FILE *from, unsigned long long pos, unsigned long long len)
{
	struct golden_file *f = g->n_file ? &g->file[g->n_file - 1] : NULL;
	if (!f || pos > f->len || len > f->len - pos || g->n_part == GOLDEN_PARTS_MAX)
		return false;
	g->part[g->n_part++] = (struct golden_part){ g->n_file - 1, pos, len };
	return fread(f->data + pos, 1, len, from) == len && fgetc(from) == '\n';
}

static bool file_begin(struct golden *g, const char *path, unsigned long long len)
{
	if (g->n_file == GOLDEN_FILES_MAX || len > 64u << 20)
		return false;
	struct golden_file *f = &g->file[g->n_file++];
	(void)snprintf(f->path, sizeof f->path, "%s", path);
	f->len = len;
	/* On a page: the WAL is read there without copies. */
	f->data = aligned_alloc(4096, (len + 4096) & ~4095ull);
	if (f->data)
		memset(f->data, 0, (len + 4096) & ~4095ull);
	return f->data != NULL;
}

int golden_load(struct golden *g, const char *name)
{
	char path[4200], line[400], word[200];
	unsigned long long a, b;
	bool good, end = false;
	memset(g, 0, sizeof *g);
	golden_path(name, ".pack", path, sizeof path);
	FILE *from = fopen(path, "r");
	if (!from)
		return -1;
	good = fgets(line, sizeof line, from) && !strcmp(line, "firn-golden 1\n");
	while (good && !end && fgets(line, sizeof line, from)) {
		if (sscanf(line, "file %199s %llu", word, &a) == 2)
			good = file_begin(g, word, a);
		else if (sscanf(line, "at %llu %llu", &a, &b) == 2)
			good = part_read(g, from, a, b);
		else
			end = !strcmp(line, "end\n");
	}
	(void)fclose(from);
	return good && end ? 0 : -1;
}

void golden_free(struct golden *g)
{
	for (uint32_t i = 0; i < g->n_file; i++)
		free(g->file[i].data);
	g->n_file = g->n_part = 0;
}

/* ---- making ---- */

static bool zero(const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (p[i])
			return false;
	return true;
}

static uint8_t *slurp(const char *path, size_t *len)
{
	struct stat st;
	FILE *f = fopen(path, "r");
	uint8_t *data = NULL;
	if (f && fstat(fileno(f), &st) == 0) {
		*len = (size_t)st.st_size;
		data = malloc(*len + 1);
		if (data && fread(data, 1, *len, f) != *len) {
			free(data);
			data = NULL;
		}
	}
	if (f)
		(void)fclose(f);
	return data;
}

static int file_pack(FILE *to, const char *path, const char *name)
{
	size_t len = 0, pos = 0;
	uint8_t *data = slurp(path, &len);
	if (!data)
		return -1;
	fprintf(to, "file %s %zu\n", name, len);
	while (pos < len) {
		size_t end = pos;
		while (end < len) {
			size_t n = len - end < GOLDEN_BLOCK ? len - end : GOLDEN_BLOCK;
			if (zero(data + end, n))
				break;
			end += n;
		}
		if (end > pos) {
			fprintf(to, "at %zu %zu\n", pos, end - pos);
			(void)fwrite(data + pos, 1, end - pos, to);
			fputc('\n', to);
		}
		pos = end > pos ? end : pos + GOLDEN_BLOCK;
	}
	free(data);
	return 0;
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
	return strcmp((*a)->fts_name, (*b)->fts_name);
}

/* The WAL, and objects of the store: neither the index nor spares, locks and temporary files. */
static bool wanted(const char *name)
{
	return ends(name, ".wal") || ends(name, ".aside") ||
	       (strstr(name, "store/") && !strstr(name, ".firn~"));
}

int golden_pack(const char *dir, const char *to)
{
	char *const roots[] = { (char *)(uintptr_t)dir, NULL };
	FILE *out = fopen(to, "wx");
	FTS *walk = out ? fts_open(roots, FTS_PHYSICAL, by_name) : NULL;
	int rc = walk ? 0 : -1;
	if (out)
		fputs("firn-golden 1\n", out);
	for (FTSENT *e; rc == 0 && (e = fts_read(walk)) != NULL;)
		if (e->fts_info == FTS_F && wanted(e->fts_path + strlen(dir) + 1))
			rc = file_pack(out, e->fts_path, e->fts_path + strlen(dir) + 1);
	if (walk)
		(void)fts_close(walk);
	if (out) {
		fputs("end\n", out);
		rc = fclose(out) ? -1 : rc;
	}
	return rc;
}

/* ---- on disk ---- */

static void make_parents(char *path)
{
	for (char *at = path + 1; (at = strchr(at, '/')); at++) {
		*at = 0;
		(void)mkdir(path, 0700);
		*at = '/';
	}
}

int golden_unpack(const struct golden *g, const char *dir)
{
	int rc = 0;
	for (uint32_t i = 0; i < g->n_file && !rc; i++) {
		char path[4200];
		(void)snprintf(path, sizeof path, "%s/%s", dir, g->file[i].path);
		make_parents(path);
		FILE *f = fopen(path, "w");
		if (!f || fwrite(g->file[i].data, 1, g->file[i].len, f) != g->file[i].len)
			rc = -1;
		if (f && fclose(f))
			rc = -1;
	}
	return rc;
}

bool golden_same(const struct golden *g, const char *dir, char *differs, size_t cap)
{
	for (uint32_t i = 0; i < g->n_file; i++) {
		char path[4200];
		size_t len = 0;
		(void)snprintf(path, sizeof path, "%s/%s", dir, g->file[i].path);
		uint8_t *data = slurp(path, &len);
		bool same = data && len == g->file[i].len && !memcmp(data, g->file[i].data, len);
		free(data);
		(void)snprintf(differs, cap, "%s", g->file[i].path);
		if (!same)
			return false;
	}
	return true;
}
