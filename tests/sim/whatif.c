#include "tests/sim/whatif.h"
#include "tests/sim/store.h"
#include <firn/store.h>
#include <stdlib.h>
#include <string.h>

static struct {
	struct shot *shot;
	uint32_t site;
	uint64_t tries[HOMES_MOST]; /* attaches begun before it was taken */
	bool bucket;
} then;

struct question {
	enum fault kind;
	struct node *node; /* the scratch machine */
	uint32_t site;     /* whose disk it has */
	bool done;
};

void whatif_remember(uint32_t site)
{
	if (rng_one_in(&W.rng, 2)) {
		store_remember();
		then.bucket = true;
		return;
	}
	then.shot = node_shot(sites[site].node);
	then.site = site;
	for (uint32_t i = 0; i < n_homes; i++)
		then.tries[i] = homes[i].tries;
}

/* The copy has not the nonce that the manifest names: nothing but `clean` lets it in. */
static bool must_refuse(const struct question *q, uint32_t home)
{
	const struct home *h = &homes[home];
	if (q->kind == FAULT_CONDITIONS_IGNORED)
		return true;
	if (!h->got || h->maybe_clean || q->kind == FAULT_BUCKET_BACK)
		return false;
	if (not_its_own(h, q->site) && h->tried[q->site])
		return false; /* it may have come through unseen */
	return q->kind == FAULT_CLONED || h->owner != q->site || then.tries[home] < h->got;
}

static int attach_again_and_again(struct question *q, const char *name, struct firn_volume **v,
                                  struct firn_error *err)
{
	struct firn_attach a = FIRN_ATTACH_INIT;
	struct firn_event ev;
	int rc = FIRN_ESTORE;
	a.store = "mem:sim";
	a.name = name;
	a.node = "scratch";
	a.req.timeout_ms = FIRN_FOREVER;
	for (uint32_t i = 0; i < 300 && passing(rc); i++) {
		sched_sleep(i ? 200000000 : 1);
		rc = firn_engine_call(q->node->engine, &a.req, &ev, err);
		if (!rc)
			*v = ((const struct firn_attached *)ev.result)->volume;
		firn_release(ev.result);
	}
	return rc;
}

/* What it found is what was written, and lacks nothing that it may not lack. */
static void check_answer(const struct question *q, struct home *h, struct firn_volume *v)
{
	struct firn_volume_info info = { .struct_size = sizeof info };
	struct m_volume *m = model_fork(&h->m);
	uint64_t least = q->kind == FAULT_BUCKET_BACK ? m->promised : m->stored, k = 0;
	uint32_t n_abandon = 0;
	(void)firn_volume_info(v, &info);
	bool is = model_find(m, info.rev_durable, h->n_abandon, &k, &n_abandon);
	SIM_CHECK("P5", is && k >= (n_abandon ? m->stored : least),
	          "%s: %s was not noticed: writes %llu of %llu are there, %llu are promised",
	          m->name, fault_name[q->kind], (unsigned long long)info.rev_durable,
	          (unsigned long long)model_rev(m, m->n), (unsigned long long)model_rev(m, least));
	model_cut(m, k);
	for (uint32_t i = 0; i < n_abandon; i++)
		model_abandon(m);
	(void)check_volume(v, m, m->n, NULL, fault_name[q->kind]);
	model_drop(m);
}

/* It goes on as it was before, without having asked (13): no answer. */
static bool without_store(struct firn_volume *v)
{
	struct firn_volume_info info = { .struct_size = sizeof info };
	(void)firn_volume_info(v, &info);
	return info.state == FIRN_STATE_STORE_AWAY;
}

static void question_main(void *arg)
{
	struct question *q = arg;
	struct firn_error err = FIRN_ERROR_INIT;
	bool opened = node_open(q->node, &err) == 0;
	for (uint32_t i = 0; opened && i < n_homes; i++) {
		struct home *h = &homes[i];
		struct firn_volume *v = NULL;
		if (q->kind == FAULT_BUCKET_BACK && h->owner != q->site)
			continue; /* this WAL has not seen the newest of it: it cannot know */
		int rc = attach_again_and_again(q, h->m.name, &v, &err);
		sim_trace("%s: what if (%s): %s %s", h->m.name, fault_name[q->kind],
		          firn_code_name(rc), rc ? err.text : "");
		if (passing(rc) || (!rc && without_store(v)))
			continue;
		/* Of a volume without a write it has a row that a power cut may take: it need not know. */
		bool owed = h->got && h->m.promised;
		if (q->kind == FAULT_CONDITIONS_IGNORED)
			SIM_CHECK("P4", rc == FIRN_EUNSUPPORTED,
			          "%s: attached on a store without conditions: %s", h->m.name,
			          firn_code_name(rc));
		else
			SIM_CHECK("P5",
			          rc == 0 || rc == FIRN_ELOST || rc == FIRN_ECORRUPT ||
			                  rc == FIRN_EFENCED || (rc == FIRN_ENOENT && !owed),
			          "%s: %s: refused as %s: %s", h->m.name, fault_name[q->kind],
			          firn_code_name(rc), err.text);
		SIM_CHECK("P4", rc || !must_refuse(q, i), "%s: %s was not refused", h->m.name,
		          fault_name[q->kind]);
		if (!rc)
			check_answer(q, h, v);
	}
	q->done = true;
}

static bool of_a_disk(enum fault kind)
{
	return kind == FAULT_RESTORED || kind == FAULT_CLONED;
}

/* One that can be put now; false: none. */
static bool choose(struct question *q)
{
	static const enum fault kinds[] = { FAULT_RESTORED,    FAULT_RESTORED,
		                            FAULT_CLONED,      FAULT_BUCKET_BACK,
		                            FAULT_BUCKET_BACK, FAULT_CONDITIONS_IGNORED };
	for (uint32_t i = 0; i < 10; i++) {
		q->kind = kinds[rng_below(&W.rng, sizeof kinds / sizeof kinds[0])];
		q->site = of_a_disk(q->kind) ? then.site : (uint32_t)rng_below(&W.rng, W.n_nodes);
		if (!sites[q->site].hurt && (!of_a_disk(q->kind) || then.shot) &&
		    (q->kind != FAULT_BUCKET_BACK || then.bucket))
			return fault_strikes(q->kind, 1);
	}
	return false;
}

void whatif_ask(void)
{
	static uint32_t number = 200;
	static const uint32_t lies[] = { 1u << FIRN_STORE_IF_ABSENT, 1u << FIRN_STORE_IF_MATCH,
		                         1u << FIRN_STORE_IF_ABSENT | 1u << FIRN_STORE_IF_MATCH };
	struct question q = { 0 };
	if (!choose(&q))
		return;
	sched_sleep(UINT64_C(8000000000)); /* what dead writers had on its way has landed */
	q.node = node_new(number++);
	node_restore(q.node, of_a_disk(q.kind) ? then.shot : node_shot(sites[q.site].node));
	if (q.kind != FAULT_CLONED)
		q.node->machine = sites[q.site].node->machine;
	store_push();
	if (q.kind == FAULT_BUCKET_BACK)
		(void)store_roll_back();
	if (q.kind == FAULT_CONDITIONS_IGNORED)
		store_ignores(lies[rng_below(&W.rng, 3)]);
	node_boot(q.node);
	(void)sched_spawn(q.node->process, "what if", question_main, &q);
	for (uint32_t i = 0; !q.done; i++) {
		SIM_CHECK("P8", i < 600000, "what if: no answer");
		sched_sleep(1000000);
	}
	node_kill(q.node, false);
	sched_sleep(UINT64_C(8000000000));
	store_ignores(0);
	store_pop();
}
