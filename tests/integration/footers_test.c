/* Footers that no layer covers: an attach with an empty directory asks for several at once and takes them in order. (P5, P7) */
#include "tests/integration/flaky_bed.h"
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TestSuite(footers, .timeout = 60);

enum { AT_ONCE = 6 };

/* A round each. The text of the volume, to be freed; it is detached. */
static char *rounds(struct host *h, int n)
{
	host_start(h);
	uint64_t room = new_stream(h, "room");
	for (int i = 0; i < n; i++) {
		char text[32];
		(void)snprintf(text, sizeof text, "word%d ", i);
		(void)say(h, room, text);
		if (i % 3 == 2)
			wrote(h, (struct firn_op[]){ op_trim(room, (uint64_t)i / 2) }, 1, NULL);
		store_all(h);
	}
	char *text = volume_text(h, h->volume);
	host_stop(h, FIRN_DETACH_DRAIN);
	return text;
}

static void *start(void *host)
{
	host_start(host);
	return NULL;
}

static void must_be(struct host *h, char *was)
{
	char *now = volume_text(h, h->volume);
	expect_text(was, now, "elsewhere");
	free(now);
	free(was);
	host_stop(h, FIRN_DETACH_DRAIN);
}

Test(footers, are_read_side_by_side)
{
	struct site s;
	struct host a, b;
	pthread_t thread;
	site_make(&s);
	struct flaky *flaky = flaky_bed(&s, "deadline_ms=60000");
	host_init(&a, &s, "a");
	host_init(&b, &s, "b");
	host_way(&b, WAY_PWRITE);
	char *was = rounds(&a, AT_ONCE + 2);
	atomic_store(&flaky->hold_reads, AT_ONCE); /* none is answered before all are there */
	cr_assert_eq(pthread_create(&thread, NULL, start, &b), 0);
	while (atomic_load(&flaky->n_held) < AT_ONCE)
		(void)usleep(1000);
	flaky->let_go();
	cr_assert_eq(pthread_join(thread, NULL), 0);
	must_be(&b, was);
	site_remove(&s);
}

/* More than one batch, with threads and without. */
Test(footers, many_are_the_same_as_the_writer_had)
{
	struct site s;
	struct host a, b;
	site_make(&s);
	host_init(&a, &s, "a");
	host_way(&a, WAY_NO_THREADS);
	char *was = rounds(&a, 80);
	for (int i = 0; i < 2; i++) {
		host_init(&b, &s, i ? "c" : "b");
		host_way(&b, i ? WAY_NO_THREADS : WAY_PWRITE);
		host_start(&b);
		must_be(&b, strdup(was));
	}
	free(was);
	site_remove(&s);
}

/* Whichever answer comes first: what is told is where the volume ends. */
Test(footers, of_two_that_are_gone_the_first_is_named)
{
	struct site s;
	struct host a, b;
	struct firn_volume *v;
	site_make(&s);
	host_init(&a, &s, "a");
	free(rounds(&a, 8));
	site_run(&s, "find . -path '*/seg/*' -name '*-*' -printf '%%f %%p\\n' | sort >segments");
	char *first = site_ask(&s, "sed -n 3p segments | cut -d' ' -f1 | tr -d '\\n'");
	site_run(&s, "rm $(sed -n '3p;5p' segments | cut -d' ' -f2)");
	host_init(&b, &s, "b");
	host_way(&b, WAY_PWRITE);
	host_open(&b);
	for (int i = 0; i < 5; i++) {
		struct firn_error err = FIRN_ERROR_INIT;
		cr_expect_eq(host_try_attach(&b, "v", 0, NULL, &v, &err), FIRN_ECORRUPT);
		cr_expect(strstr(err.text, first), "%s, not %s", err.text, first);
	}
	host_close(&b);
	free(first);
	site_remove(&s);
}
