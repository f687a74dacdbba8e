/* What a volume may hold after the outcomes of a life, and what it does hold, both as text. */
#include "tests/faults/sweep.h"
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct model_stream {
	bool exists;
	uint64_t start, next;
	uint32_t item[SWEEP_OPS_MAX];
};

struct model {
	struct model_stream stream[SWEEP_STREAMS];
	uint32_t key[SWEEP_KEYS]; /* 0: absent; else the op that put it, + 1 */
};

size_t sweep_payload(uint32_t op, uint64_t len, char *out)
{
	memset(out, 'a' + (int)(op % 26), len);
	out[snprintf(out, 8, "<%04u>", op)] = ' ';
	return len;
}

void sweep_names(uint32_t which, char stream[8], char key[8])
{
	(void)snprintf(stream, 8, "s%u", which % 100);
	(void)snprintf(key, 8, "k%u", which % 100);
}

static bool accepted(const struct sweep_op *op)
{
	return op->code == 0 || op->code == FIRN_EUNKNOWN;
}

/* ---- what may be ---- */

/* False: this history contradicts the offset that was acked. */
static bool apply(struct model *m, const struct sweep_op *op, uint32_t no)
{
	struct model_stream *st = &m->stream[op->which % SWEEP_STREAMS];
	switch (op->verb) {
	case SWEEP_CREATE:
	case SWEEP_DELETE:
		*st = (struct model_stream){ .exists = op->verb == SWEEP_CREATE };
		return true;
	case SWEEP_SAY:
		if (op->code == 0 && op->offset != st->next)
			return false;
		st->item[st->next++] = no;
		return true;
	case SWEEP_TRIM:
		st->start = op->value > st->start ? op->value : st->start;
		return true;
	case SWEEP_PUT:
		m->key[op->which] = no + 1;
		return true;
	case SWEEP_DROP:
		m->key[op->which] = 0;
		return true;
	}
	return false;
}

static char *model_text(const struct model *m)
{
	char *out = NULL;
	size_t len;
	FILE *to = open_memstream(&out, &len);
	for (uint32_t i = 0; i < SWEEP_STREAMS; i++) {
		const struct model_stream *st = &m->stream[i];
		if (!st->exists)
			continue;
		fprintf(to, "s%u [%" PRIu64 ",%" PRIu64 "):", i, st->start, st->next);
		for (uint64_t at = st->start; at < st->next; at++)
			fprintf(to, " %" PRIu64 "=#%u", at, st->item[at]);
		fputc('\n', to);
	}
	for (uint32_t i = 0; i < SWEEP_KEYS; i++)
		if (m->key[i])
			fprintf(to, "k%u=#%u\n", i, m->key[i] - 1);
	(void)fclose(to);
	return out;
}

/* The ops of a life of which `keep` of the undecided last ones are there; *n_undecided: how many
 * those are. */
static bool apply_life(const struct sweep *s, struct model *m, uint32_t life, uint32_t keep,
                       uint32_t *n_undecided)
{
	uint32_t firm = 0; /* behind the last acked one of the life */
	*n_undecided = 0;
	for (uint32_t i = 0; i < s->n_op; i++)
		if (s->op[i].life == life && s->op[i].code == 0)
			firm = i + 1;
	for (uint32_t i = 0; i < s->n_op; i++) {
		const struct sweep_op *op = &s->op[i];
		if (op->life != life || !accepted(op))
			continue;
		if (i >= firm && (*n_undecided)++ >= keep)
			continue;
		if (!apply(m, op, i))
			return false;
	}
	return true;
}

/* True: some history that the outcomes allow leaves `now`. *one: any of them, for the message. */
static bool allowed(const struct sweep *s, const struct model *before, uint32_t life,
                    const char *now, char **one)
{
	if (life > s->life) {
		char *text = model_text(before);
		bool same = !strcmp(text, now);
		if (*one)
			free(text);
		else
			*one = text;
		return same;
	}
	uint32_t n_undecided = 0;
	for (uint32_t keep = 0; keep <= n_undecided; keep++) {
		struct model m = *before;
		if (apply_life(s, &m, life, keep, &n_undecided) &&
		    allowed(s, &m, life + 1, now, one))
			return true;
	}
	return false;
}

/* ---- what is ---- */

uint32_t sweep_payload_op(struct sweep *s, const void *bytes, size_t len)
{
	const char *data = bytes;
	static char want[65536];
	uint32_t no = len > 8 ? (uint32_t)atoi(data + 1) : SWEEP_OPS_MAX;
	if (no >= s->n_op || s->op[no].verb != SWEEP_SAY || s->op[no].value != len)
		sweep_die(s, "foreign bytes: %.12s (%zu)", data, len);
	(void)sweep_payload(no, len, want);
	if (memcmp(want, data, len) != 0)
		sweep_die(s, "bytes of #%u differ", no);
	if (!accepted(&s->op[no]))
		sweep_die(s, "#%u was refused (%s) and is there", no,
		          firn_code_name(s->op[no].code));
	return no;
}

static void stream_text(struct sweep *s, FILE *to, uint32_t which, uint64_t id)
{
	uint64_t at = mark_of(s->h, id, FIRN_MARK_START);
	uint64_t end = mark_of(s->h, id, FIRN_MARK_DURABLE);
	fprintf(to, "s%u [%" PRIu64 ",%" PRIu64 "):", which, at, end);
	while (at < end) {
		const struct firn_fetched *got = NULL;
		struct firn_error err = FIRN_ERROR_INIT;
		int rc = firn_stream_read(s->h->volume, id, at, 0, 5000, &got, &err);
		if (rc)
			sweep_die(s, "s%u at %" PRIu64 ": %s: %s", which, at, firn_code_name(rc),
			          err.text);
		if (!got->n_part)
			sweep_die(s, "s%u at %" PRIu64 ": nothing came", which, at);
		const struct firn_part *p = &got->part[0];
		for (uint32_t i = 0; i < p->n_batch; i++)
			fprintf(to, " %" PRIu64 "=#%u", p->batch[i].offset,
			        sweep_payload_op(s, p->batch[i].data, p->batch[i].len));
		if (p->code || p->next_offset <= at)
			sweep_die(s, "s%u at %" PRIu64 ": stuck, %s", which, at,
			          firn_code_name(p->code));
		at = p->next_offset;
		firn_release(got);
	}
	fputc('\n', to);
}

static void keys_text(struct sweep *s, FILE *to)
{
	const struct firn_kv_page *page = NULL;
	int rc = firn_kv_scan(s->h->volume, FIRN_STREAM_VOLUME, NULL, 0, NULL, 0, 0, &page);
	if (rc)
		sweep_die(s, "keys: %s", firn_code_name(rc));
	for (uint32_t i = 0; i < page->n; i++)
		fprintf(to, "%.*s=%.*s\n", (int)page->kv[i].key_len, (const char *)page->kv[i].key,
		        (int)page->kv[i].value_len, (const char *)page->kv[i].value);
	firn_release(page);
}

static char *shown_text(struct sweep *s)
{
	char *out = NULL, stream[8], key[8];
	size_t len;
	FILE *to = open_memstream(&out, &len);
	for (uint32_t i = 0; i < SWEEP_STREAMS; i++) {
		uint64_t id;
		sweep_names(i, stream, key);
		int rc = firn_stream_find(s->h->volume, stream, strlen(stream), &id);
		if (rc == 0)
			stream_text(s, to, i, id);
		else if (rc != FIRN_ENOENT)
			sweep_die(s, "%s: %s", stream, firn_code_name(rc));
	}
	keys_text(s, to);
	(void)fclose(to);
	return out;
}

static void outcomes_print(const struct sweep *s)
{
	static const char *const name[] = { "create", "delete", "say", "trim", "put", "drop" };
	for (uint32_t i = 0; i < s->n_op; i++)
		fprintf(stderr, "  #%u life %u: %s %u %" PRIu64 ": %s, offset %" PRIu64 "\n", i,
		        s->op[i].life, name[s->op[i].verb], s->op[i].which, s->op[i].value,
		        firn_code_name(s->op[i].code), s->op[i].offset);
}

void sweep_compare(struct sweep *s, const char *when)
{
	static const struct model nothing;
	char *now = shown_text(s), *one = NULL;
	if (!allowed(s, &nothing, 0, now, &one)) {
		outcomes_print(s);
		sweep_die(s, "%s: there is\n%sallowed is, for one,\n%s", when, now,
		          one ? one : "nothing\n");
	}
	free(now);
	free(one);
}
