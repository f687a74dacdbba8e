#include "tools/firn/check.h"
#include "engine/os/env.h"
#include "tools/firn/check_layer.h"
#include "tools/firn/check_log.h"
#include "tools/firn/text.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* ---- findings ---- */

void finding(struct findings *f, const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;
	va_start(ap, fmt);
	int len = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (len < 0)
		text = NULL;
	if (!f->common->json)
		printf("DAMAGED: %s\n", text ? text : fmt);
	if (f->n == f->cap) {
		unsigned cap = f->cap ? f->cap * 2 : 16;
		char **grown = reallocarray(f->text, cap, sizeof *grown);
		if (grown) {
			f->text = grown;
			f->cap = cap;
		}
	}
	if (f->n < f->cap)
		f->text[f->n] = text;
	else
		free(text);
	f->n++;
}

void findings_json(const struct findings *f, struct json *j)
{
	json_array(j, "problems");
	for (unsigned i = 0; i < f->n && i < f->cap; i++)
		json_string(j, NULL, f->text[i] ? f->text[i] : "?");
	json_end(j);
}

void findings_fini(struct findings *f)
{
	for (unsigned i = 0; i < f->n && i < f->cap; i++)
		free(f->text[i]);
	free(f->text);
}

/* Damage is a finding; anything else means that it could not be looked at. */
int check_judge(struct findings *f, const char *what, int rc, const struct firn_error *err)
{
	if (rc == FIRN_ECORRUPT || rc == FIRN_EUNSUPPORTED || rc == FIRN_ENOENT) {
		finding(f, "%s: %s", what, err->text);
		return DONE;
	}
	return rc ? report(f->common, err) : DONE;
}

/* ---- WAL, index ---- */

static void wal_problem(void *arg, const char *text)
{
	finding(arg, "wal: %s", text);
}

int check_wal(const struct held_dir *h, struct wal_report *out, struct findings *f)
{
	struct firn_error err = FIRN_ERROR_INIT;
	memset(out, 0, sizeof *out);
	if (!h->has_wal)
		return DONE;
	int rc = wal_verify(env_default(), h->wal, out, wal_problem, f, &err);
	return rc && rc != FIRN_ECORRUPT ? report(f->common, &err) : DONE;
}

static int verify_index(struct index *ix, struct index_result *out, struct firn_error *err)
{
	return index_verify(ix, &out->stats, err);
}

int check_index(const struct held_dir *h, struct index_stats *out, struct findings *f)
{
	struct index_result result;
	memset(&result, 0, sizeof result);
	memset(out, 0, sizeof *out);
	if (!h->has_index)
		return DONE;
	int code = index_apart(f->common, h->index, verify_index, &result);
	*out = result.stats;
	if (code || !result.code)
		return code;
	struct firn_error err = FIRN_ERROR_INIT;
	err.code = result.code;
	(void)snprintf(err.text, sizeof err.text, "%.*s", (int)sizeof err.text - 1, result.text);
	return check_judge(f, "index", result.code, &err);
}

/* ---- a volume ---- */

struct object_walk {
	struct stored_volume *volume;
	struct volume_check *out;
	struct findings *findings;
	struct named_segments named; /* by layers and footers */
	struct progress progress;
};

/* A segment against what the manifest says of it, then against itself. */
static int check_segment_bytes(struct object_walk *w, const struct manifest_segment *s,
                               const char *key, const struct buf *bytes)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct segment_footer *footer;
	size_t need;
	if (bytes->len != s->bytes) {
		finding(w->findings, "%s: %zu bytes, the manifest says %" PRIu64, key, bytes->len,
		        s->bytes);
		return DONE;
	}
	int rc = segment_verify(env_default(), bytes->data, bytes->len, &err);
	if (rc)
		return check_judge(w->findings, key, rc, &err);
	rc = segment_footer_open(env_default(), bytes->data, bytes->len, bytes->len, &footer, &need,
	                         &err);
	if (rc)
		return check_judge(w->findings, key, rc, &err);
	const struct segment_meta *meta = segment_footer_meta(footer);
	if (memcmp(meta->volume_id, w->volume->manifest.volume_id, 16) ||
	    meta->id.epoch != s->id.epoch || meta->id.n != s->id.n)
		finding(w->findings, "%s: holds another segment than its name says", key);
	else if (segment_footer_sum(footer) != s->footer_sum ||
	         segment_footer_pos(footer) != s->footer_pos || meta->rev_from != s->rev_from ||
	         meta->rev_to != s->rev_to)
		finding(w->findings, "%s: not the segment that the manifest means", key);
	segment_footer_close(footer);
	return DONE;
}

static int check_segment(struct object_walk *w, const struct manifest_segment *s)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct buf bytes;
	char name[64], key[512];
	segment_key(s->id, name, sizeof name);
	stored_volume_key(w->volume->name, name, key, sizeof key);
	buf_init(&bytes, env_default());
	int rc = store_get_all(w->volume->store, key, s->bytes + (1 << 20), &bytes, NULL, &err);
	int code;
	if (rc == FIRN_ETOOBIG) {
		finding(w->findings, "%s: larger than the manifest says", key);
		code = DONE;
	} else if (rc) {
		code = check_judge(w->findings, key, rc, &err);
	} else {
		code = check_segment_bytes(w, s, key, &bytes);
	}
	buf_fini(&bytes);
	w->out->n_segments++;
	w->out->bytes += s->bytes;
	if (progress_due(&w->progress))
		progress_show(&w->progress, "%s: %s segments, %s", w->volume->name,
		              text_count(w->out->n_segments).s, text_bytes(w->out->bytes).s);
	return code;
}

/* Revs of the manifest's segments run on without a hole up to rev_stored. */
static void check_rounds(struct object_walk *w)
{
	const struct manifest *m = &w->volume->manifest;
	for (uint32_t i = 1; i < m->n_segment; i++) {
		const struct manifest_segment *a = &m->segment[i - 1], *b = &m->segment[i];
		bool same_round = a->rev_from == b->rev_from && a->rev_to == b->rev_to;
		if (!same_round && b->rev_from != a->rev_to && !m->n_lost)
			finding(w->findings,
			        "%s: manifest: writes %" PRIu64 " to %" PRIu64 " are in no segment",
			        w->volume->name, a->rev_to, b->rev_from - 1);
	}
}

/* By the manifest, or by a layer. What is dead is known, too: it is deleted in its time. */
static bool is_known(const struct object_walk *w, const char *name)
{
	const struct manifest *m = &w->volume->manifest;
	struct segment_id id;
	bool layer = layer_key_parse(name, &id) == 0;
	if (!layer && segment_key_parse(name, &id))
		return true; /* not ours to judge */
	if (manifest_find_dead(m, id, layer) || manifest_has(m, id, layer))
		return true;
	return !layer && named_segment_find(&w->named, id);
}

static int count_stray(void *arg, const char *key, uint64_t size)
{
	struct object_walk *w = arg;
	if (is_known(w, key + strlen(w->volume->name) + 1))
		return 0;
	w->out->n_stray++;
	w->out->stray_bytes += size;
	return 0;
}

/* Segments that only layers name: those in which something lies have to be there. */
static int check_covered(struct object_walk *w)
{
	const struct manifest *m = &w->volume->manifest;
	struct named_segment *s;
	uint32_t at = 0;
	int code = DONE;
	for (uint32_t i = 0; i < m->n_segment; i++)
		if ((s = named_segment_find(&w->named, m->segment[i].id)) != NULL)
			s->live = 0; /* looked at already */
	while (w->named.whole && code == DONE && (s = map_next(&w->named.map, &at)) != NULL) {
		char name[64];
		segment_key(s->row.id, name, sizeof name);
		if (s->live && !s->has_row)
			finding(w->findings, "%s: blocks lie in %s, which no layer names",
			        w->volume->name, name);
		else if (s->live)
			code = check_segment(w, &s->row);
	}
	return code;
}

static int list_strays(struct object_walk *w, const char *folder)
{
	struct firn_error err = FIRN_ERROR_INIT;
	char prefix[512];
	stored_volume_key(w->volume->name, folder, prefix, sizeof prefix);
	if (store_list(w->volume->store, prefix, "", count_stray, w, &err))
		return report(w->findings->common, &err);
	return DONE;
}

static int check_objects(struct object_walk *w)
{
	int code = DONE;
	progress_begin(&w->progress);
	check_rounds(w);
	for (uint32_t i = 0; i < w->volume->manifest.n_segment && code == DONE; i++)
		code = check_segment(w, &w->volume->manifest.segment[i]);
	if (code == DONE)
		code = named_segments_load(w->volume, &w->named, w->findings);
	if (code == DONE)
		code = check_covered(w);
	progress_end(&w->progress);
	if (code == DONE && w->named.whole)
		code = list_strays(w, "seg/");
	return code == DONE ? list_strays(w, "layer/") : code;
}

static int check_logs(struct object_walk *w)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct log_check c;
	int rc = logs_check(w->volume, &c, &err);
	w->out->n_log = c.n_log;
	w->out->n_unstored = c.n_unstored;
	w->out->unstored_bytes = c.unstored_bytes;
	return check_judge(w->findings, w->volume->name, rc, &err);
}

int check_volume(const char *uri, const char *name, struct volume_check *out, struct findings *f)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct stored_volume v;
	struct object_walk w = { .volume = &v, .out = out, .findings = f };
	memset(out, 0, sizeof *out);
	int rc = stored_volume_open(&v, uri, name, &err);
	if (rc)
		return check_judge(f, name, rc, &err);
	out->seq = v.manifest.seq;
	out->rev_stored = v.manifest.rev_stored;
	out->state = stored_volume_state(&v);
	map_init(&w.named.map, env_default());
	int code = check_objects(&w);
	code = code == DONE ? check_logs(&w) : code;
	named_segments_close(&w.named);
	stored_volume_close(&v);
	return code;
}
