/* Many requests at once, on one handle and on several; requests that are cancelled. */
#include "tests/conformance/trial.h"

enum { N_THREADS = 8, N_AT_ONCE = 200 };

static void own_keys(struct trial *t, unsigned i, void *arg)
{
	char key[32], text[32];

	(void)arg;
	for (int n = 0; n < 20; n++) {
		(void)snprintf(key, sizeof key, "t%u/k%d", i, n % 5);
		(void)snprintf(text, sizeof text, "thread %u step %d", i, n);
		(void)put(t, key, text);
		must_hold(t, key, text);
		if (n % 4 == 3) {
			delete_key(t, key);
			must_be_absent(t, key);
		}
	}
}

static void threads_apart(struct trial *t)
{
	crew(t, N_THREADS, own_keys, NULL);
}

static void one_key(struct trial *t, unsigned i, void *arg)
{
	char text[65];

	(void)arg;
	memset(text, 'a' + (int)i, 64);
	text[64] = 0;
	for (int n = 0; n < 20; n++) {
		(void)put(t, "k", text);
		const char *found = text_of(t, "k");

		must(t, strlen(found) == 64 && strspn(found, (char[]){ found[0], 0 }) == 64,
		     "expected the 64 equal bytes of one PUT, got `%.64s`", found);
	}
}

static void threads_together(struct trial *t)
{
	crew(t, N_THREADS, one_key, NULL);
}

/* All are submitted before the first is waited for. */
static void send_all(struct trial *t, struct ask **a, uint32_t op, struct iovec *iov)
{
	char key[32];

	for (int i = 0; i < N_AT_ONCE; i++) {
		(void)snprintf(key, sizeof key, "k%03d", i);
		a[i] = ask_new(t, op, key);
		a[i]->req.iov = &iov[i];
		a[i]->req.n_iov = op == FIRN_STORE_PUT || op == FIRN_STORE_GET;
		a[i]->req.len = iov[i].iov_len;
	}
	for (int i = 0; i < N_AT_ONCE; i++)
		host_submit(a[i]);
}

/* What did not stand is asked again, one by one. */
static void take_all(struct trial *t, struct ask **a)
{
	for (int i = 0; i < N_AT_ONCE; i++)
		(void)host_wait(a[i], ANSWER_SECONDS);
	for (int i = 0; i < N_AT_ONCE; i++) {
		ask_wait(t, a[i]);
		if (a[i]->req.outcome > FIRN_STORE_PERMANENT)
			(void)ask_do(t, a[i], false);
	}
}

static struct iovec *numbers(struct trial *t)
{
	struct iovec *iov = trial_alloc(t, N_AT_ONCE * sizeof *iov);

	for (int i = 0; i < N_AT_ONCE; i++) {
		iov[i].iov_base = trial_alloc(t, 16);
		iov[i].iov_len = 8;
		(void)snprintf(iov[i].iov_base, 16, "value%03d", i);
	}
	return iov;
}

static void puts_at_once(struct trial *t)
{
	struct ask **a = trial_alloc(t, N_AT_ONCE * sizeof(struct ask *));
	struct iovec *iov = numbers(t);

	send_all(t, a, FIRN_STORE_PUT, iov);
	take_all(t, a);
	for (int i = 0; i < N_AT_ONCE; i++)
		must(t, a[i]->req.outcome == FIRN_STORE_DONE, "PUT %d: expected DONE, got %s", i,
		     ask_text(a[i]));
	must_hold(t, "k000", "value000");
	must_hold(t, "k199", "value199");
}

static void gets_at_once(struct trial *t)
{
	struct ask **a = trial_alloc(t, N_AT_ONCE * sizeof(struct ask *));
	struct iovec *iov = numbers(t), *back = numbers(t);

	send_all(t, a, FIRN_STORE_PUT, iov);
	take_all(t, a);
	for (int i = 0; i < N_AT_ONCE; i++) {
		host_ask_free(a[i]);
		memset(back[i].iov_base, 0, 8);
	}
	send_all(t, a, FIRN_STORE_GET, back);
	take_all(t, a);
	for (int i = 0; i < N_AT_ONCE; i++) {
		if (a[i]->req.got < 8)
			(void)ask_do(t, a[i], false);
		must(t, a[i]->req.got == 8 && !memcmp(back[i].iov_base, iov[i].iov_base, 8),
		     "GET %d of %d at once: expected %.8s, got %.8s", i, N_AT_ONCE,
		     (const char *)iov[i].iov_base, (const char *)back[i].iov_base);
	}
}

static void list_while_writing(struct trial *t, unsigned i, void *arg)
{
	int *done = arg;
	char key[32];

	if (i == 0) {
		for (int n = 0; n < 150; n++) {
			(void)snprintf(key, sizeof key, "moving/%03d", n);
			(void)put(t, key, "x");
			if (n % 2)
				delete_key(t, key);
		}
		__atomic_store_n(done, 1, __ATOMIC_RELEASE);
		return;
	}
	while (!__atomic_load_n(done, __ATOMIC_ACQUIRE)) {
		const char *found = keys_of(t, "steady/", "", 3);

		must(t, !strcmp(found, "steady/1 steady/2 steady/3 steady/4 "),
		     "expected what stands to be listed whole while others come and go, got `%s`",
		     found);
		(void)list_each(t, "", "", 7, NULL, NULL);
	}
}

static void lists_and_writes(struct trial *t)
{
	int done = 0;

	(void)put(t, "steady/1", "x");
	(void)put(t, "steady/2", "x");
	(void)put(t, "steady/3", "x");
	(void)put(t, "steady/4", "x");
	crew(t, 3, list_while_writing, &done);
}

static void two_lists(struct trial *t, unsigned i, void *arg)
{
	(void)arg;
	for (int n = 0; n < 10; n++) {
		const char *found = keys_of(t, "", "", 1 + i);

		must(t, !strcmp(found, "a b/c b/d e "), "expected `a b/c b/d e `, got `%s`", found);
	}
}

static void lists_at_once(struct trial *t)
{
	(void)put(t, "a", "x");
	(void)put(t, "b/c", "x");
	(void)put(t, "b/d", "x");
	(void)put(t, "e", "x");
	crew(t, N_THREADS, two_lists, NULL);
}

static const struct check concurrency_checks[] = {
	{ "eight threads with keys of their own", threads_apart, 0, NULL },
	{ "eight threads on one key never see a mixture", threads_together, 0, NULL },
	{ "200 PUTs in flight", puts_at_once, 0, NULL },
	{ "200 GETs in flight", gets_at_once, 0, NULL },
	{ "eight LISTs at once", lists_at_once, FIRN_STORE_CAN_LIST, NULL },
	{ "LIST while keys come and go", lists_and_writes, FIRN_STORE_CAN_LIST, NULL },
};
GROUP(concurrency, concurrency_checks);

/* ---- cancel ---- */

/* Cancelled: answered once; FIRN_ECANCELED only if it never happened. */
static void cancel_all(struct trial *t, uint32_t op)
{
	struct ask **a = trial_alloc(t, N_AT_ONCE * sizeof(struct ask *));
	struct iovec *iov = numbers(t);

	send_all(t, a, op, iov);
	for (int i = N_AT_ONCE - 1; i >= 0; i--)
		host_cancel(a[i]);
	for (int i = 0; i < N_AT_ONCE; i++)
		(void)host_wait(a[i], ANSWER_SECONDS);
	for (int i = 0; i < N_AT_ONCE; i++) {
		ask_wait(t, a[i]);
		if (a[i]->req.outcome == FIRN_STORE_AMBIGUOUS)
			continue;
		bool there = stat_key(t, a[i]->key + strlen(t->prefix), NULL, NULL) == FIRN_OK;

		must(t, op != FIRN_STORE_PUT || there == (a[i]->req.outcome == FIRN_STORE_DONE),
		     "cancelled PUT %d: answered %s, but the key is %s", i, ask_text(a[i]),
		     there ? "there" : "absent");
	}
}

static void cancel_puts(struct trial *t)
{
	cancel_all(t, FIRN_STORE_PUT);
}

static void cancel_gets(struct trial *t)
{
	cancel_all(t, FIRN_STORE_GET);
	cancel_all(t, FIRN_STORE_STAT);
}

static void cancel_twice(struct trial *t)
{
	struct ask *a = ask_new(t, FIRN_STORE_STAT, "k");

	for (int i = 0; i < 50; i++) {
		host_submit(a);
		host_cancel(a);
		host_cancel(a);
		ask_wait(t, a);
	}
}

static void canceller(struct trial *t, unsigned i, void *arg)
{
	struct ask **a = arg;

	(void)t;
	for (int n = (int)i; n < N_AT_ONCE; n += 2)
		host_cancel(a[n]);
}

static void cancel_from_threads(struct trial *t)
{
	struct ask **a = trial_alloc(t, N_AT_ONCE * sizeof(struct ask *));
	struct iovec *iov = numbers(t);

	send_all(t, a, FIRN_STORE_PUT, iov);
	crew(t, 2, canceller, a);
	for (int i = 0; i < N_AT_ONCE; i++)
		(void)host_wait(a[i], ANSWER_SECONDS);
	for (int i = 0; i < N_AT_ONCE; i++)
		ask_wait(t, a[i]);
}

static void goes_on(struct trial *t)
{
	cancel_all(t, FIRN_STORE_PUT);
	(void)put(t, "k", "after");
	must_hold(t, "k", "after");
}

static const struct check cancel_checks[] = {
	{ "a cancelled PUT happened or did not, as it says", cancel_puts, 0, NULL },
	{ "cancelled GETs and STATs are answered", cancel_gets, 0, NULL },
	{ "cancelling twice is allowed", cancel_twice, 0, NULL },
	{ "cancelling from other threads is allowed", cancel_from_threads, 0, NULL },
	{ "the store works on afterwards", goes_on, 0, NULL },
};
GROUP(cancel, cancel_checks);
