/* A fetch: from the request to its one event.
 *
 *   submit --pass in the caller--> answered
 *             | not enough, or not in memory
 *           waits <--------------------------------+
 *             | notify, landed load, set, timer    | still not enough
 *           pass on the reader thread -------------+--> answered
 *
 * A pass takes each ready item once. What it gathers stays in reader.builder until the fetch
 * ends, so a fetch that waits for many small batches touches each of them once. Positions move
 * at the end only: a cancelled fetch has moved nothing. Under reader.serve; the event is sent
 * with no lock held. */
#include "engine/read/read.h"
#include "engine/base/error.h"

enum {
	FETCH_FLAGS = FIRN_FETCH_READY | FIRN_FETCH_HEADERS | FIRN_FETCH_CACHED |
	              FIRN_FETCH_HARD_MAX
};

/* ---- the end ---- */

static void fetch_over(struct firn_reader *r, struct ending *end)
{
	end->ended = true;
	end->to = r->fetch.to;
	r->fetch.active = false;
	r->idle_ns = read_now(r->engine);
	pthread_mutex_lock(&r->lock);
	r->waiting = false;
	pthread_mutex_unlock(&r->lock);
	(void)queue_timer(r, READ_NEVER);
}

/* Gives up what was gathered: positions are as before the fetch. */
static void fetch_undo(struct firn_reader *r)
{
	struct builder *b = &r->builder;
	for (size_t i = 0; i < b->n_part; i++) {
		struct reader_item *it = b->part[i].item;
		if (!it)
			continue;
		it->part = READ_NO_PART;
		it->streak_at = 0;
		pthread_mutex_lock(&r->lock);
		it->pos = it->offset;
		item_to_ready(it, false);
		pthread_mutex_unlock(&r->lock);
	}
	build_reset(b);
}

void fetch_abort(struct firn_reader *r, int code, const char *text, struct ending *end)
{
	if (!r->fetch.active)
		return;
	fetch_undo(r);
	fetch_over(r, end);
	end->err.struct_size = sizeof end->err;
	fail(&end->err, code, 0, "read", "%s", text);
}

void ending_send(struct engine *e, struct ending *end)
{
	if (!end->ended)
		return;
	if (end->err.code)
		complete_error(e, &end->to, &end->err);
	else
		complete(&end->to, &end->ev);
}

static void list_cold(struct firn_reader *r, const struct item_list *l)
{
	struct pass p = { .r = r };
	for (struct reader_item *it = l->first; it && !pass_parts_full(&p); it = it->next) {
		if (it->part == READ_NO_PART)
			pass_tell(&p, it, &(struct look){ 0 }, 0, FIRN_F_COLD);
		else
			r->builder.part[it->part].part.flags |= FIRN_F_COLD;
	}
}

/* Slots whose load is under way say so. */
static void parts_cold(struct firn_reader *r)
{
	pthread_mutex_lock(&r->lock);
	list_cold(r, &r->loading);
	list_cold(r, &r->cold);
	pthread_mutex_unlock(&r->lock);
	for (size_t i = 0; i < r->builder.n_part; i++) {
		struct build_part *part = &r->builder.part[i];
		struct look k;
		if (part->item && part->part.flags & FIRN_F_COLD &&
		    item_look(part->item, part->item->pos, &k) == 0)
			part_marks(&part->part, &k);
	}
}

static void positions_move(struct firn_reader *r)
{
	struct builder *b = &r->builder;
	for (size_t i = 0; i < b->n_part; i++) {
		struct reader_item *it = b->part[i].item;
		if (!it)
			continue;
		pthread_mutex_lock(&r->lock);
		b->part[i].part.next_offset = it->pos;
		pthread_mutex_unlock(&r->lock);
	}
}

static void fetch_answer(struct firn_reader *r, struct ending *end)
{
	struct builder *b = &r->builder;
	if (r->fetch.flags & FIRN_FETCH_CACHED && !(r->fetch.flags & FIRN_FETCH_READY))
		parts_cold(r);
	positions_move(r);
	const struct firn_fetched *result = build_finish(b, r->pin);
	if (!result) {
		fetch_abort(r, FIRN_ENOMEM, "no memory for the result", end);
		return;
	}
	for (size_t i = 0; i < b->n_part; i++) {
		struct reader_item *it = b->part[i].item;
		if (!it)
			continue;
		it->offset = b->part[i].part.next_offset;
		it->part = READ_NO_PART;
	}
	build_reset(b);
	fetch_over(r, end);
	end->ev = (struct firn_event){ .result = result };
}

/* ---- when ---- */

/* Is there a load to wait for, or one that landed since the pass looked (its item stands in front)? One
 * look at both: a load leaves one list for the other at any moment. */
static bool loads_wait(struct firn_reader *r, bool *landed)
{
	pthread_mutex_lock(&r->lock);
	const struct reader_item *first = r->ready.first;
	*landed = first && (first->landed || first->landed_rc);
	bool loading = r->loading.n > 0 || r->cold.n > 0;
	pthread_mutex_unlock(&r->lock);
	return loading;
}

static bool loads_awaited(struct firn_reader *r)
{
	bool landed;
	if (r->builder.n_part || r->fetch.flags & FIRN_FETCH_READY)
		return false;
	bool loading = loads_wait(r, &landed);
	return landed || (loading && !(r->fetch.flags & FIRN_FETCH_CACHED));
}

static bool enough(struct pass *p)
{
	const struct builder *b = &p->r->builder;
	const struct fetch *f = &p->r->fetch;
	if (p->full && b->n_part == 0) /* not even one fits beside what is pinned */
		p->pinned_out = true;
	uint64_t got = b->bytes     ? b->bytes
	               : b->n_batch ? 1
	                            : 0; /* empty payloads are worth a byte */
	return p->told || ((p->full || p->pinned_out) && b->n_part) || pass_parts_full(p) ||
	       got >= f->min_bytes;
}

static void fetch_sleep(struct pass *p, uint64_t now, struct ending *end)
{
	struct fetch *f = &p->r->fetch;
	bool landed = false;
	uint64_t at = f->deadline_ns > now ? f->deadline_ns : READ_NEVER;
	at = f->timeout_ns < at ? f->timeout_ns : at;
	if (p->pinned_out && now + READ_PIN_POLL_NS < at)
		at = now + READ_PIN_POLL_NS;
	if (queue_timer(p->r, at))
		fetch_abort(p->r, FIRN_ENOMEM, "no memory for a timer", end);
	else if (p->defer || p->again || ((void)loads_wait(p->r, &landed), landed))
		queue_run(p->r);
}

static void fetch_decide(struct pass *p, struct ending *end)
{
	struct firn_reader *r = p->r;
	struct fetch *f = &r->fetch;
	uint64_t now = read_now(r->engine);
	bool due = now >= f->deadline_ns && !loads_awaited(r);
	if (enough(p))
		fetch_answer(r, end);
	else if (p->defer || p->again)
		fetch_sleep(p, now, end);
	else if (due && p->pinned_out && r->builder.n_part == 0)
		fetch_abort(r, FIRN_EAGAIN, "results not yet released pin all they may", end);
	else if (due)
		fetch_answer(r, end);
	else if (now >= f->timeout_ns)
		fetch_abort(r, FIRN_ETIMEDOUT, "time ran out before max_wait_ms did", end);
	else
		fetch_sleep(p, now, end);
}

void fetch_run(struct firn_reader *r)
{
	struct ending end = { 0 };
	struct engine *e = r->engine;
	pthread_mutex_lock(&r->serve);
	if (r->fetch.active && !r->closed) {
		struct pass p = { .r = r };
		pass_run(&p);
		fetch_decide(&p, &end);
	}
	pthread_mutex_unlock(&r->serve);
	ending_send(e, &end);
}

/* ---- submit and cancel ---- */

static int fetch_check(struct engine *e, const struct firn_fetch *f, struct firn_error *err)
{
	if (!f->reader)
		return fail(err, FIRN_EINVAL, 0, "read", "fetch without a reader");
	if (f->reader->engine != e)
		return fail(err, FIRN_EINVAL, 0, "read", "the reader is another engine's");
	if (f->req.flags & ~FETCH_FLAGS)
		return fail(err, FIRN_EUNSUPPORTED, 0, "read", "unknown fetch flags 0x%x",
		            (unsigned)f->req.flags & ~(unsigned)FETCH_FLAGS);
	return 0;
}

static uint64_t after_ms(uint64_t now, uint32_t ms)
{
	return ms == FIRN_FOREVER ? READ_NEVER : now + (uint64_t)ms * 1000000;
}

static void fetch_set(struct engine *e, const struct firn_fetch *f, const struct completion *to)
{
	uint64_t now = read_now(e);
	uint32_t timeout = f->req.timeout_ms ? f->req.timeout_ms : to->call ? 30000 : FIRN_FOREVER;
	f->reader->fetch = (struct fetch){
		.active = true,
		.to = *to,
		.flags = f->req.flags,
		.min_bytes = f->min_bytes ? f->min_bytes : 1,
		.max_bytes = f->max_bytes ? f->max_bytes : 1 << 20,
		.max_parts = f->max_parts,
		.deadline_ns = after_ms(now, f->max_wait_ms),
		.timeout_ns = after_ms(now, timeout),
	};
}

int read_submit_fetch(struct engine *e, const struct firn_fetch *f, const struct completion *to,
                      struct firn_error *err)
{
	int rc = fetch_check(e, f, err);
	if (rc)
		return rc;
	struct firn_reader *r = f->reader;
	struct ending end = { 0 };
	pthread_mutex_lock(&r->serve);
	if (r->fetch.active) {
		pthread_mutex_unlock(&r->serve);
		return fail(err, FIRN_EBUSY, 0, "read", "the reader has a fetch already");
	}
	fetch_set(e, f, to);
	pthread_mutex_lock(&r->lock);
	r->waiting = true;
	pthread_mutex_unlock(&r->lock);
	/* What was left to the reader thread gets its turn there, however much is hot. */
	struct pass p = { .r = r, .in_caller = true, .defer = r->deferred };
	if (!r->deferred)
		pass_run(&p);
	r->deferred = p.defer && !r->deferred;
	fetch_decide(&p, &end);
	pthread_mutex_unlock(&r->serve);
	ending_send(e, &end);
	return 0;
}

int read_cancel(struct engine *e, struct firn_cq *cq, uint64_t user_data)
{
	struct read_queue *q = e->reads;
	struct work *gone;
	int rc = queue_cancel(q, cq, user_data, &gone);
	while (gone) {
		struct work *next = gone->next;
		gone->drop(e, gone);
		gone = next;
	}
	uint64_t round = queue_walk(q);
	struct firn_reader *r;
	while ((r = queue_walk_next(q, round))) {
		struct ending end = { 0 };
		pthread_mutex_lock(&r->serve);
		if (r->fetch.active && completion_name(&r->fetch.to) == cq &&
		    r->fetch.to.user_data == user_data)
			fetch_abort(r, FIRN_ECANCELED, "cancelled", &end);
		pthread_mutex_unlock(&r->serve);
		rc = end.ended ? 0 : rc;
		ending_send(e, &end);
		reader_release(r);
	}
	queue_walk_end(q);
	return rc;
}
