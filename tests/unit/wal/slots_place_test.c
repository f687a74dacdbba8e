/* A position is never above what a volume may need: too low keeps slots, too high loses writes (S2). */
#include "engine/os/env.h"
#include "engine/base/mem.h"
#include "engine/wal/slots.h"
#include <criterion/criterion.h>
#include <stdlib.h>

TestSuite(slots_place, .timeout = 60);

static struct wal *wal_new(void)
{
	struct wal *w = calloc(1, sizeof *w);
	w->env = env_default();
	w->slots = calloc(1, sizeof *w->slots);
	w->slots->log_no = 1;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->slots->put, NULL);
	return w;
}

static void wal_gone(struct wal *w)
{
	mem_free(w->env, w->slots->member);
	free(w->slots);
	free(w);
}

Test(slots_place, a_group_is_in_the_slot_that_is_said_or_behind_it)
{
	enum { GROUPS = 3 * SLOTS_NOTES };
	struct wal *w = wal_new();
	for (uint64_t i = 0; i < GROUPS; i++)
		slots_note_add(w->slots, 1000 + 10 * i, i);
	uint64_t worst = 0;
	for (uint64_t i = 0; i < GROUPS; i++) {
		uint64_t at = slots_position(w, 1000 + 10 * i);
		cr_assert(at <= i, "group %llu is said to be at %llu", (unsigned long long)i,
		          (unsigned long long)at);
		worst = i - at > worst ? i - at : worst;
	}
	cr_assert(worst < 16, "%llu slots too low", (unsigned long long)worst);
	cr_assert_eq(slots_position(w, 999), 0);
	cr_assert_eq(slots_position(w, UINT64_MAX - 1), GROUPS - 1);
	wal_gone(w);
}

Test(slots_place, slots_go_below_the_lowest_position_of_any_manifest)
{
	struct wal *w = wal_new();
	struct slots_now now;
	const uint8_t v[16] = { 1 }, u[16] = { 2 };
	w->slots->acked = 5;
	cr_assert_eq(slots_join(w, v, &now), 0);
	cr_assert(now.held == 5 && now.acked == 5);
	w->slots->acked = 20;
	cr_assert_eq(slots_lowest(w->slots), 5, "what a manifest may name on its way is held");
	cr_assert_eq(slots_join(w, u, &now), 0);
	slots_settled(w, 1, v, 12);
	cr_assert_eq(slots_lowest(w->slots), 12);
	slots_settled(w, 1, u, 18);
	slots_settled(w, 2, v, 99); /* of another log: that is no position here */
	cr_assert_eq(slots_lowest(w->slots), 12);
	cr_assert_eq(slots_join(w, v, &now), 0);
	cr_assert_eq(now.held, 12, "naming it again raises nothing");
	slots_member_gone(w, v);
	cr_assert_eq(slots_lowest(w->slots), 18);
	slots_member_gone(w, u);
	cr_assert_eq(slots_lowest(w->slots), 20);
	wal_gone(w);
}
