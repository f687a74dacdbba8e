#include "engine/wal/seen.h"
#include "engine/base/le.h"
#include "engine/base/mem.h"
#include <stdio.h>

void wal_seen_init(struct wal_seen *s, const struct firn_env *env,
                   void (*problem)(void *arg, const char *text), void *arg)
{
	memset(s, 0, sizeof *s);
	s->env = env;
	s->problem = problem;
	s->arg = arg;
}

void wal_seen_fini(struct wal_seen *s)
{
	mem_free(s->env, s->volume);
	s->volume = NULL;
	s->n = 0;
}

static struct wal_seen_volume *find(struct wal_seen *s, uint32_t volume_no)
{
	if (s->hint < s->n && s->volume[s->hint].row.volume_no == volume_no)
		return &s->volume[s->hint];
	for (uint32_t i = 0; i < s->n; i++)
		if (s->volume[i].row.volume_no == volume_no) {
			s->hint = i;
			return &s->volume[i];
		}
	return NULL;
}

static struct wal_seen_volume *add(struct wal_seen *s, const struct wal_volume_row *row)
{
	void *p = s->volume;
	if (mem_grow(s->env, &p, &s->cap, s->n, s->n + (size_t)1, sizeof *s->volume))
		return NULL;
	s->volume = p;
	struct wal_seen_volume *v = &s->volume[s->n++];
	v->row = *row;
	v->nonce = le64_get(row->nonce);
	v->first = 0;
	v->listed = true;
	return v;
}

static void missing(struct wal_seen *s, const struct wal_volume_row *row, uint64_t from,
                    uint64_t to)
{
	char text[400];
	(void)snprintf(text, sizeof text,
	               "volume %u \"%s\": writes %llu..%llu are missing before this",
	               row->volume_no, row->name, (unsigned long long)from, (unsigned long long)to);
	s->problem(s->arg, text);
}

/* Revs up to here need not be seen again. */
static uint64_t settled(const struct wal_volume_row *row)
{
	return row->rev > row->rev_stored ? row->rev : row->rev_stored;
}

static int table_row(struct wal_seen *s, const struct wal_volume_row *row, bool follows)
{
	struct wal_seen_volume *v = find(s, row->volume_no);
	if (!v)
		return add(s, row) ? 0 : FIRN_ENOMEM;
	uint64_t nonce = le64_get(row->nonce), seen = v->row.rev;
	uint64_t stored = row->rev_stored > seen ? row->rev_stored : seen;
	if (follows && nonce == v->nonce && row->rev > stored)
		missing(s, row, stored + 1, row->rev);
	v->row = *row;
	if (follows && seen > row->rev)
		v->row.rev = seen;
	else if (row->rev != seen || !v->nonce)
		v->nonce = nonce;
	v->listed = true;
	return 0;
}

static int table(struct wal_seen *s, const struct wal_record *r, bool follows)
{
	struct cur c = cur_of(r->body, (size_t)(r->body_end - r->body));
	struct wal_volume_row row;
	struct wal_table_head h;
	if (wal_table_head_decode(&c, &h))
		return 0; /* verification has judged it */
	s->n_gone = h.n_gone;
	for (uint32_t i = 0; i < s->n; i++)
		s->volume[i].listed = false;
	for (; h.n_row; h.n_row--) {
		if (wal_row_decode(&c, &row))
			return 0;
		int rc = table_row(s, &row, follows);
		if (rc)
			return rc;
	}
	uint32_t kept = 0;
	for (uint32_t i = 0; i < s->n; i++)
		if (s->volume[i].listed)
			s->volume[kept++] = s->volume[i];
	s->n = kept;
	return 0;
}

static int control(struct wal_seen *s, const struct wal_record *r)
{
	struct cur c = cur_of(r->body, (size_t)(r->body_end - r->body));
	struct wal_volume_row row;
	if (wal_row_decode(&c, &row))
		return 0;
	struct wal_seen_volume *v = find(s, row.volume_no);
	if (!v)
		return add(s, &row) ? 0 : FIRN_ENOMEM;
	uint64_t rev = v->row.rev;
	v->row = row;
	v->row.rev = rev > row.rev ? rev : row.rev;
	return 0;
}

static void write_of(struct wal_seen *s, const struct wal_record *r)
{
	char text[200];
	struct wal_seen_volume *v = find(s, r->volume_no);
	if (!v) {
		(void)snprintf(text, sizeof text,
		               "write %llu of volume number %u, which no table names",
		               (unsigned long long)r->rev, r->volume_no);
		s->problem(s->arg, text);
		return;
	}
	if (r->rev <= v->row.rev && v->nonce) {
		(void)snprintf(text, sizeof text, "volume %u: write %llu stands behind write %llu",
		               r->volume_no, (unsigned long long)r->rev,
		               (unsigned long long)v->row.rev);
		s->problem(s->arg, text);
	} else if (r->nonce == v->nonce && r->rev > settled(&v->row) + 1) {
		missing(s, &v->row, settled(&v->row) + 1, r->rev - 1);
	}
	v->nonce = r->nonce;
	v->first = v->first ? v->first : r->rev;
	if (r->rev > v->row.rev)
		v->row.rev = r->rev;
}

const struct wal_seen_volume *wal_seen_find(struct wal_seen *s, uint32_t volume_no)
{
	return find(s, volume_no);
}

int wal_seen_record(struct wal_seen *s, const struct wal_record *r, bool follows)
{
	switch (r->type) {
	case WAL_WRITE:
		write_of(s, r);
		return 0;
	case WAL_TABLE:
		return table(s, r, follows);
	case WAL_INTENT:
	case WAL_DETACH:
	case WAL_FENCE:
		return control(s, r);
	default:
		return 0;
	}
}
