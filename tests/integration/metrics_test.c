/* The figures that an engine tells: what its stores were asked. */
#include "tests/integration/site.h"
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

TestSuite(metrics, .timeout = 60);

/* The sum over all metrics of that name, or of one with these labels. */
static uint64_t sum(struct host *h, const char *name, const char *labels)
{
	const struct firn_metrics *m;
	uint64_t value = 0;
	int found = 0;

	cr_assert_eq(firn_engine_metrics(h->engine, &m), 0);
	for (uint32_t i = 0; i < m->n; i++)
		if (!strcmp(m->metric[i].name, name) &&
		    (!labels || !strcmp(m->metric[i].labels, labels))) {
			value += m->metric[i].value;
			found++;
		}
	firn_release(m);
	cr_assert_gt(found, 0, "%s %s", name, labels ? labels : "");
	return value;
}

/* Every request that took its time is one that ended somehow. */
static void histograms_agree(struct host *h)
{
	const struct firn_metrics *m;
	uint64_t timed = 0;

	cr_assert_eq(firn_engine_metrics(h->engine, &m), 0);
	for (uint32_t i = 0; i < m->n; i++) {
		const struct firn_metric *one = &m->metric[i];
		uint64_t count = 0;

		if (one->kind != FIRN_METRIC_HISTOGRAM)
			continue;
		cr_assert_gt(one->n_bucket, 1u);
		for (uint32_t b = 0; b < one->n_bucket; b++)
			count += one->bucket[b];
		cr_assert_eq(count, one->count);
		cr_assert(isinf(one->bound[one->n_bucket - 1]));
		cr_assert_lt(one->bound[0], one->bound[1]);
		timed += count;
	}
	firn_release(m);
	cr_assert_gt(timed, 0u);
}

/* In millionths, of 0.001 a PUT or LIST and 0.0005 a GET or STAT. */
static uint64_t cost_of(const struct firn_metric *one)
{
	static const char *const dear[] = { "op=\"put\"", "op=\"list\"", "op=\"multipart_b",
		                            "op=\"multipart_p", "op=\"multipart_c" };

	if (strcmp(one->name, "firn_store_requests") != 0)
		return 0;
	for (size_t i = 0; i < sizeof dear / sizeof dear[0]; i++)
		if (!strncmp(one->labels, dear[i], strlen(dear[i])))
			return one->value * 1000;
	return strstr(one->labels, "get") || strstr(one->labels, "stat") ? one->value * 500 : 0;
}

Test(metrics, what_requests_cost_is_added_up_by_the_prices_of_the_store)
{
	const struct firn_metrics *m;
	struct site s;
	struct host h;
	uint64_t want = 0, cost = 0, n_ops = 0;

	site_make(&s);
	site_uri_add(&s, "prices=1,0.5");
	host_init(&h, &s, "a");
	host_start(&h);
	(void)say(&h, new_stream(&h, "room"), "x");
	store_all(&h);
	cr_assert_eq(firn_engine_metrics(h.engine, &m), 0);
	for (uint32_t i = 0; i < m->n; i++) {
		want += cost_of(&m->metric[i]);
		if (!strcmp(m->metric[i].name, "firn_store_cost"))
			cost = m->metric[i].value;
		n_ops += !strcmp(m->metric[i].name, "firn_store_request_us");
	}
	firn_release(m);
	cr_assert_geq(cost, 3000u, "the manifest twice, a segment");
	cr_assert_eq(cost, want);
	cr_assert_eq(n_ops, 9u, "multipart uploads have figures of their own");
	host_stop(&h, FIRN_DETACH_DRAIN);
	site_remove(&s);
}

Test(metrics, what_stores_were_asked_is_told_and_stays_when_they_are_closed)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct site s;
	struct host h;

	site_make(&s);
	host_init(&h, &s, "a");
	host_start(&h);
	(void)say(&h, new_stream(&h, "room"), "x");
	store_all(&h);
	uint64_t put = sum(&h, "firn_store_requests", "op=\"put\",outcome=\"done\"");
	uint64_t bytes = sum(&h, "firn_store_bytes", "op=\"put\"");

	cr_assert_geq(put, 3u, "the manifest twice, a segment");
	cr_assert_gt(bytes, 0u);
	cr_assert_gt(sum(&h, "firn_store_requests", NULL), put, "others were asked, too");
	cr_assert_eq(sum(&h, "firn_store_hedges", NULL), 0u);
	histograms_agree(&h);
	cr_assert_eq(host_detach(&h, h.volume, FIRN_DETACH_DRAIN, &err), 0, "%s", err.text);
	cr_assert_geq(sum(&h, "firn_store_requests", "op=\"put\",outcome=\"done\""), put);
	cr_assert_geq(sum(&h, "firn_store_bytes", "op=\"put\""), bytes);
	host_close(&h);
	site_remove(&s);
}
