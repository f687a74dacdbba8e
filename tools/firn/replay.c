/* One reader over a set of streams: fetches until each is at its end, or for ever with --follow. */
#include "tools/firn/replay.h"
#include "tools/firn/text.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { FETCH_BYTES = 4 << 20, WAIT_MS = 500 };

static int set_item(struct replay *r, uint32_t slot, uint32_t flags, uint64_t offset)
{
	struct firn_item item = { .slot = slot,
		                  .flags = flags,
		                  .volume = r->plan->volume,
		                  .stream = r->plan->position[slot].stream,
		                  .offset = offset,
		                  .up_to = FIRN_MARK_VISIBLE };
	int rc = firn_reader_set(r->reader, &item, sizeof item, 1);
	return rc ? report_code(r->plan->common, rc, r->plan->position[slot].name) : DONE;
}

static int finish(struct replay *r, uint32_t slot)
{
	r->open[slot] = false;
	r->n_open--;
	return set_item(r, slot, FIRN_ITEM_REMOVE, 0);
}

static int set_all(struct replay *r)
{
	int code = DONE;
	for (uint32_t i = 0; code == DONE && i < r->plan->n_position; i++) {
		const struct position *p = &r->plan->position[i];
		if (!r->plan->follow && p->from >= p->end)
			continue;
		r->open[i] = true;
		r->n_open++;
		code = set_item(r, i, FIRN_ITEM_SET, p->from);
	}
	return code;
}

static void tell_gap(const struct replay *r, const struct position *p, const struct firn_part *part)
{
	static const char *const why[] = { "", "were compacted away", "were erased",
		                           "were never given", "were given up by a takeover" };
	if (part->gap == FIRN_GAP_NONE || part->gap > FIRN_GAP_LOST)
		return;
	fflush(stdout);
	fprintf(stderr, "%s: %s: offsets %" PRIu64 " to %" PRIu64 " %s\n", r->plan->common->name,
	        p->name, part->gap_from, part->gap_to - 1, why[part->gap]);
}

/* A slot that cannot be read: trimmed meanwhile, or lost, goes on behind the hole. */
static int part_failed(struct replay *r, const struct position *p, const struct firn_part *part)
{
	char what[400];
	if (part->code == FIRN_ERANGE && part->next_offset < part->start) {
		fprintf(stderr, "%s: %s: trimmed below %" PRIu64 "\n", r->plan->common->name,
		        p->name, part->start);
		return set_item(r, part->slot, FIRN_ITEM_SET, part->start);
	}
	if (part->code == FIRN_ELOST) {
		if (part->gap_to >= p->end)
			return finish(r, part->slot);
		return set_item(r, part->slot, FIRN_ITEM_SET, part->gap_to);
	}
	snprintf(what, sizeof what, "%s: at offset %" PRIu64, p->name, part->next_offset);
	return report_code(r->plan->common, part->code, what);
}

static int take_part(struct replay *r, const struct firn_part *part)
{
	const struct position *p = &r->plan->position[part->slot];
	int code = DONE;
	tell_gap(r, p, part);
	if (part->code)
		return part_failed(r, p, part);
	if (part->n_batch)
		code = output_part(r, p, part);
	if (code == DONE && r->open[part->slot] && part->next_offset >= p->end)
		code = finish(r, part->slot);
	return code;
}

static int take(struct replay *r, const struct firn_fetched *got)
{
	const char *at = (const char *)got->part;
	int code = DONE;
	for (uint32_t i = 0; i < got->n_part && code == DONE && !r->full; i++, at += got->part_size)
		code = take_part(r, (const void *)at);
	if (code == DONE && r->plan->follow)
		code = output_flush(r);
	return code;
}

static int fetch(struct replay *r)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_event ev;
	struct firn_fetch f = FIRN_FETCH_INIT;
	f.req.cls = r->plan->follow ? FIRN_CLASS_DEFAULT : FIRN_CLASS_REPLAY;
	f.req.timeout_ms = FIRN_FOREVER;
	f.reader = r->reader;
	f.min_bytes = 1;
	f.max_bytes = FETCH_BYTES;
	f.max_wait_ms = WAIT_MS;
	if (firn_engine_call(r->plan->engine, &f.req, &ev, &err)) {
		firn_release(ev.result);
		return report(r->plan->common, &err);
	}
	int code = take(r, ev.result);
	firn_release(ev.result);
	return code;
}

static int replay(struct replay *r)
{
	struct progress p;
	progress_begin(&p);
	int code = set_all(r);
	p.terminal = p.terminal && !r->plan->follow && r->plan->split_dir && r->number == 1;
	while (code == DONE && r->n_open && !r->full && !atomic_load(r->plan->stop)) {
		code = fetch(r);
		if (progress_due(&p))
			progress_show(&p, "%s records, %s, %u streams to go",
			              text_count(r->n_records).s, text_bytes(r->bytes).s,
			              r->n_open);
	}
	progress_end(&p);
	r->took_ns = mono_ns() - p.begin_ns;
	int rc = output_flush(r);
	return code ? code : rc;
}

void replay_run(struct replay *r)
{
	struct firn_error err = FIRN_ERROR_INIT;
	r->open = calloc(r->plan->n_position, sizeof *r->open);
	r->code = r->open ? output_open(r) : complain(r->plan->common, TROUBLE, "no memory");
	if (r->code == DONE && firn_reader_open(r->plan->engine, NULL, &r->reader, &err))
		r->code = report(r->plan->common, &err);
	if (r->code == DONE)
		r->code = replay(r);
	firn_reader_close(r->reader);
	free(r->open);
}
