/* Who of a reader's items loads next, and which of them goes on where. */
#include "engine/os/env.h"
#include "engine/read/load.h"
#include <criterion/criterion.h>

enum { ITEMS = 12, AT_ONCE = 4 };

static struct engine e;
static struct read_queue q;
static struct firn_reader r;
static struct reader_item item[ITEMS], *slot[ITEMS];
static struct load *load[ITEMS];
static struct volume volume, other;

static void setup(void)
{
	e.account = account_new(env_default());
	e.env = &e.account->env;
	e.cache_bytes = 64 << 20;
	e.cache = cache_open(e.account, 1, 1); /* lends nothing */
	e.reads = &q;
	q.engine = &e;
	pthread_mutex_init(&q.lock, NULL);
	r.engine = &e;
	r.account = e.account;
	r.slot = slot;
	r.n_slot = ITEMS;
	r.waits_end = &r.waits;
	atomic_init(&r.refs, 1);
	pthread_mutex_init(&r.serve, NULL);
	pthread_mutex_init(&r.lock, NULL);
	pthread_mutex_init(&q.spot_lock, NULL);
	map_init(&q.spots, e.env);
	for (unsigned i = 0; i < ITEMS; i++) {
		slot[i] = &item[i];
		item[i].reader = &r;
		item[i].slot = i;
		atomic_init(&item[i].refs, 1);
	}
}

static void teardown(void)
{
	map_fini(&q.spots);
	cache_close(e.cache);
	account_release(e.account);
}

TestSuite(turn, .timeout = 30, .init = setup, .fini = teardown);

/* The item wants the frame that lies there; does its load run now? */
static bool wants(unsigned i, struct volume *v, uint64_t segment, uint64_t frame_pos)
{
	struct load *l = load[i] = load_new(&item[i], v);
	cr_assert(l);
	l->want.x.segment = (struct segment_id){ 1, segment };
	l->want.x.block.frame_pos = frame_pos;
	l->want.x.block.base = i;
	l->bytes = 1 << 20;
	item[i].load = l;
	item[i].where = ITEM_LOADING;
	item_list_push(&r.loading, &item[i]);
	r.n_load++;
	return turn_take(l) && queue_work(&e, &l->work, false, NULL);
}

/* The oldest load in the queue lands; whose it was. */
static unsigned lands(void)
{
	struct load *l = (struct load *)queue_work_pop(&q);
	cr_assert(l, "nothing is queued");
	unsigned i = l->item->slot;
	queue_work_done(&e, &l->work);
	turn_end(&r);
	load_cancel(l);
	return i;
}

static void fill_turns(void)
{
	for (unsigned i = 0; i < AT_ONCE; i++)
		cr_expect(wants(i, &volume, 1, i), "%u", i);
}

Test(turn, few_loads_run_at_once)
{
	fill_turns();
	cr_expect(!wants(4, &volume, 1, 100));
	for (unsigned i = 0; i <= 4; i++)
		cr_expect_eq(lands(), i);
	cr_expect_eq(r.n_turn, 0);
	cr_expect_eq(r.n_load, 0);
}

Test(turn, what_lies_first_in_the_store_is_next_and_each_fourth_is_who_waits_longest)
{
	const unsigned order[] = { 0, 1, 2, 3, 10, 9, 8, 4, 7, 6, 5 };
	fill_turns();
	for (unsigned i = 4; i < 11; i++)
		cr_expect(!wants(i, &volume, 2, 1000 - i), "%u", i);
	for (unsigned i = 0; i < 11; i++)
		cr_expect_eq(lands(), order[i], "%u", i);
}

Test(turn, no_volume_is_before_another_for_the_place_of_its_frames)
{
	fill_turns();
	(void)wants(4, &volume, 9, 0);
	(void)wants(5, &other, 1, 0);
	(void)wants(6, &volume, 8, 0);
	for (unsigned i = 0; i < AT_ONCE; i++)
		(void)lands();
	cr_expect_eq(lands(), 6);
	cr_expect_eq(lands(), 4);
	cr_expect_eq(lands(), 5);
}

Test(turn, without_memory_for_it_a_load_waits_unless_it_is_the_only_one)
{
	uint64_t room, all = 0;
	while ((room = held_room(&e, 24 << 20, false)) != 0)
		all += room;
	cr_expect(wants(0, &volume, 1, 0));
	cr_expect(!wants(1, &volume, 1, 1));
	held_give(&e, all);
	turn_next(&r);
	cr_expect_eq(r.n_turn, 2);
	cr_expect_eq(lands(), 0);
	cr_expect_eq(lands(), 1);
}

Test(turn, a_load_that_is_not_wanted_any_more_does_not_run)
{
	fill_turns();
	(void)wants(4, &volume, 1, 100);
	pthread_mutex_lock(&r.lock);
	item_out(&item[4]);
	pthread_mutex_unlock(&r.lock);
	for (unsigned i = 0; i < AT_ONCE; i++)
		cr_expect_eq(lands(), i);
	cr_expect_null(queue_work_pop(&q));
	cr_expect_eq(r.n_load, 0);
}

Test(turn, what_waits_for_a_volume_that_goes_is_dropped)
{
	fill_turns();
	(void)wants(4, &other, 1, 0);
	(void)wants(5, &volume, 1, 0);
	(void)wants(6, &other, 1, 1);
	turn_forget(&r, &other);
	cr_expect_eq(item[4].where, ITEM_READY);
	cr_expect_eq(item[6].where, ITEM_READY);
	for (unsigned i = 0; i < AT_ONCE; i++)
		(void)lands();
	cr_expect_eq(lands(), 5);
	cr_expect_eq(r.n_load, 0);
}

/* ---- spots ---- */

static void goes_on(unsigned i, uint64_t segment, uint64_t frame_pos)
{
	spot_set(&item[i], &volume, (struct segment_id){ 1, segment }, frame_pos);
}

/* The item that is found there, or -1. */
static int found(const struct volume *v, uint64_t segment, uint64_t frame_pos)
{
	struct spot_query want = { .v = v, .segment = { 1, segment }, .frame_pos = frame_pos };
	struct reader_item *it = spot_take(&q, &want);
	int i = it ? (int)it->slot : -1;
	item_release(it);
	if (it)
		reader_release(&r);
	return i;
}

Test(turn, an_item_is_found_once_where_it_goes_on)
{
	goes_on(0, 1, 64);
	goes_on(1, 1, 4096);
	goes_on(0, 2, 64); /* it has come further */
	cr_expect_eq(r.n_spot, 2);
	cr_expect_eq(found(&volume, 1, 64), -1);
	cr_expect_eq(found(&other, 2, 64), -1);
	cr_expect_eq(found(&volume, 2, 64), 0);
	cr_expect_eq(found(&volume, 2, 64), -1);
	cr_expect_eq(found(&volume, 1, 4096), 1);
	cr_expect_eq(r.n_spot, 0);
}

Test(turn, items_that_go_on_in_one_frame_are_all_found)
{
	unsigned seen = 0;
	for (unsigned i = 0; i < 5; i++)
		goes_on(i, 1, 64);
	spot_clear(&item[0]);
	spot_clear(&item[2]);
	for (int i; (i = found(&volume, 1, 64)) >= 0;)
		seen |= 1u << i;
	cr_expect_eq(seen, 1u << 1 | 1u << 3 | 1u << 4);
	cr_expect_eq(r.n_spot, 0);
}

Test(turn, an_item_that_is_out_of_the_set_goes_on_nowhere)
{
	item[0].gone = true;
	goes_on(0, 1, 64);
	cr_expect_eq(found(&volume, 1, 64), -1);
}
