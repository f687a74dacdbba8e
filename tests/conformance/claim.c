/* Answers that are failures, and claims: what is not claimed is refused as not supported. */
#include "tests/conformance/run.h"
#include "tests/conformance/trial.h"

/* ---- errors ---- */

/* The request fails for good with that code, and says why. */
static void must_be_permanent(struct trial *t, struct ask *a, int code)
{
	int rc = ask_do(t, a, true);

	while (rc == FIRN_EUNKNOWN)
		rc = ask_do(t, a, true);
	must(t, rc == code, "expected PERMANENT %s, got %s", firn_code_name(code), ask_text(a));
	must(t, a->req.outcome == FIRN_STORE_PERMANENT, "expected outcome PERMANENT, got %s",
	     ask_text(a));
}

static void absent_get(struct trial *t)
{
	struct ask *a = ask_new(t, FIRN_STORE_GET, "no");
	char byte;
	struct iovec iov = { &byte, 1 };

	a->req.iov = &iov;
	a->req.n_iov = 1;
	a->req.len = 1;
	must_be_permanent(t, a, FIRN_ENOENT);
	must(t, a->req.got == 0, "expected got 0 of an absent key");
}

static void absent_stat(struct trial *t)
{
	must_be_permanent(t, ask_new(t, FIRN_STORE_STAT, "no"), FIRN_ENOENT);
}

static struct ask *put_of(struct trial *t, const char *key, struct iovec *iov, size_t len)
{
	struct ask *a = ask_new(t, FIRN_STORE_PUT, key);

	iov->iov_base = trial_alloc(t, len);
	iov->iov_len = len;
	a->req.iov = iov;
	a->req.n_iov = 1;
	a->req.len = len;
	return a;
}

static void conflict(struct trial *t)
{
	struct iovec iov;

	(void)put(t, "k", "x");
	struct ask *a = put_of(t, "k", &iov, 3);

	a->req.condition = FIRN_STORE_IF_ABSENT;
	must_be_permanent(t, a, FIRN_ECONFLICT);
	must(t, a->req.version.len == 0, "expected no version with a refused PUT");
}

static void above_the_limit(struct trial *t)
{
	uint64_t most = t->host->info.max_put_bytes;
	struct iovec iov;

	if (most == 0 || most > 256 << 20)
		not_asked(t); /* no limit, or one that this machine should not try */
	struct ask *a = put_of(t, "k", &iov, (size_t)most + 1);

	must_be_permanent(t, a, FIRN_ETOOBIG);
	must_be_absent(t, "k");
}

static void unknown_op(struct trial *t)
{
	struct ask *a = ask_new(t, FIRN_STORE_STAT, "k");

	a->req.op = 77;
	host_submit(a);
	must(t, host_wait(a, ANSWER_SECONDS), "expected an answer to an operation of the future");
	must(t,
	     a->req.outcome == FIRN_STORE_PERMANENT ? a->req.code == FIRN_EUNSUPPORTED
	                                            : a->req.outcome > FIRN_STORE_PERMANENT,
	     "an operation of the future: expected PERMANENT FIRN_EUNSUPPORTED, got %s",
	     ask_text(a));
}

static void no_such_parameter(struct trial *t)
{
	struct firn_error err = FIRN_ERROR_INIT;
	char uri[4096];

	(void)snprintf(uri, sizeof uri, "%s%cno_such_parameter=1", t->uri,
	               strchr(t->uri, '?') ? '&' : '?');
	struct host *h = host_open(uri, &err);

	host_close(h);
	must(t, h == NULL, "a parameter nobody knows: expected FIRN_EINVAL at open, got a store");
	must(t, err.code == FIRN_EINVAL,
	     "a parameter nobody knows: expected FIRN_EINVAL, got %s: %s", firn_code_name(err.code),
	     err.text);
	must(t, strstr(err.text, t->host->plugin->name) != NULL,
	     "expected the back end's name, %s, in the text, got: %s", t->host->plugin->name,
	     err.text);
}

static void once_each(struct trial *t)
{
	must(t, host_n_stray(t->host) == 0,
	     "expected every request completed once, got %u completions too many",
	     host_n_stray(t->host));
}

static const struct check error_checks[] = {
	{ "GET of an absent key is PERMANENT FIRN_ENOENT", absent_get, 0, NULL },
	{ "STAT of an absent key is PERMANENT FIRN_ENOENT", absent_stat, 0, NULL },
	{ "a condition not met is PERMANENT FIRN_ECONFLICT", conflict, FIRN_STORE_CAN_PUT_IF_ABSENT,
	  NULL },
	{ "more than max_put_bytes is FIRN_ETOOBIG", above_the_limit, 0, NULL },
	{ "an operation it does not know is FIRN_EUNSUPPORTED", unknown_op, 0, NULL },
	{ "a parameter it does not know is FIRN_EINVAL at open", no_such_parameter, 0, NULL },
	{ "every request so far was completed once", once_each, 0, NULL },
};
GROUP(error, error_checks);

/* ---- claims ---- */

static void same_info(struct trial *t)
{
	struct firn_store_info *now = trial_alloc(t, sizeof *now);

	now->struct_size = (uint32_t)sizeof *now;
	t->host->plugin->info(t->host->handle, now);
	must(t, !memcmp(now, &t->host->info, sizeof *now),
	     "expected info() to answer the same twice");
}

static void known_bits(struct trial *t)
{
	uint64_t alien = t->host->info.caps & ~(uint64_t)(FIRN_STORE_CAN_NESTED_KEYS * 2 - 1);

	must(t, alien == 0, "expected only capability bits that store.h knows, got %#llx too",
	     (unsigned long long)alien);
}

static void sane_limits(struct trial *t)
{
	const struct firn_store_info *i = &t->host->info;

	must(t, i->max_part_bytes == 0 || i->min_part_bytes <= i->max_part_bytes,
	     "expected min_part_bytes <= max_part_bytes");
	must(t, can(t, FIRN_STORE_CAN_MULTIPART) || !can(t, FIRN_STORE_CAN_MULTIPART_CONDITIONS),
	     "claims conditions on multipart commits, but no multipart");
}

static void unsupported(struct trial *t, struct ask *a, uint64_t cap)
{
	if (can(t, cap))
		not_asked(t); /* claimed: the other groups ask for it */
	must_be_permanent(t, a, FIRN_EUNSUPPORTED);
}

static void not_absent(struct trial *t)
{
	struct iovec iov;
	struct ask *a = put_of(t, "k", &iov, 3);

	a->req.condition = FIRN_STORE_IF_ABSENT;
	unsupported(t, a, FIRN_STORE_CAN_PUT_IF_ABSENT);
}

static void not_match(struct trial *t)
{
	struct iovec iov;
	struct ask *a = put_of(t, "k", &iov, 3);

	a->match = put(t, "k", "x");
	a->req.match = &a->match;
	a->req.condition = FIRN_STORE_IF_MATCH;
	unsupported(t, a, FIRN_STORE_CAN_PUT_IF_MATCH);
}

static void not_list(struct trial *t)
{
	struct ask *a = ask_new(t, FIRN_STORE_LIST, "");
	struct firn_store_page page = { .struct_size = (uint32_t)sizeof page,
		                        .max = 10,
		                        .data = trial_alloc(t, 8192),
		                        .cap = 8192 };

	a->req.page = &page;
	unsupported(t, a, FIRN_STORE_CAN_LIST);
}

static void not_range(struct trial *t)
{
	struct ask *a = ask_new(t, FIRN_STORE_GET, "k");
	char byte;
	struct iovec iov = { &byte, 1 };

	(void)put(t, "k", "xyz");
	a->req.iov = &iov;
	a->req.n_iov = 1;
	a->req.len = 1;
	a->req.pos = 1;
	unsupported(t, a, FIRN_STORE_CAN_RANGE);
}

static void not_multipart(struct trial *t)
{
	static const uint32_t ops[] = { FIRN_STORE_MULTIPART_BEGIN, FIRN_STORE_MULTIPART_PUT,
		                        FIRN_STORE_MULTIPART_COMMIT, FIRN_STORE_MULTIPART_ABORT };

	for (size_t i = 0; i < 4; i++) {
		struct ask *a = ask_new(t, ops[i], "k");
		struct firn_store_part part = { .part = 1, .version = { 1, "x" } };

		(void)strcpy(a->upload, "none");
		a->req.part = 1;
		a->req.parts = &part;
		a->req.n_parts = ops[i] == FIRN_STORE_MULTIPART_COMMIT;
		unsupported(t, a, FIRN_STORE_CAN_MULTIPART);
	}
}

static void not_multipart_if(struct trial *t)
{
	if (!can(t, FIRN_STORE_CAN_MULTIPART) || can(t, FIRN_STORE_CAN_MULTIPART_CONDITIONS))
		not_asked(t); /* asked for elsewhere */
	char *name = multipart_begin(t, "k");
	struct firn_store_part part = multipart_put(t, "k", name, 1, "x", 1);
	int rc = multipart_commit(t, "k", name, &part, 1, FIRN_STORE_IF_ABSENT, NULL, NULL);

	must(t, rc == FIRN_EUNSUPPORTED, "commit if absent: expected FIRN_EUNSUPPORTED, got %s",
	     firn_code_name(rc));
	must_be_absent(t, "k");
}

/* The engine's own probe, which decides whether volumes may live there. */
static void probed(struct trial *t)
{
	struct firn_error err = FIRN_ERROR_INIT;
	bool swaps = can(t, FIRN_STORE_CAN_PUT_IF_ABSENT | FIRN_STORE_CAN_PUT_IF_MATCH);
	int rc = store_probe(t->host->store, &err);

	must(t, rc == (swaps ? FIRN_OK : FIRN_EUNSUPPORTED),
	     "the engine's probe: expected %s, got %s", swaps ? "FIRN_OK" : "FIRN_EUNSUPPORTED",
	     rc ? err.text : "FIRN_OK");
}

static const struct check claim_checks[] = {
	{ "info answers the same every time", same_info, 0, NULL },
	{ "no capability is claimed that does not exist", known_bits, 0, NULL },
	{ "limits and claims do not contradict themselves", sane_limits, 0, NULL },
	{ "put-if-absent is claimed or refused", not_absent, 0, NULL },
	{ "put-if-match is claimed or refused", not_match, 0, NULL },
	{ "LIST is claimed or refused", not_list, 0, NULL },
	{ "ranges are claimed or refused", not_range, 0, NULL },
	{ "multipart is claimed or refused", not_multipart, 0, NULL },
	{ "conditions on commits are claimed or refused", not_multipart_if, 0, NULL },
	{ "the engine's probe agrees with the claims", probed, 0, NULL },
};
GROUP(claim, claim_checks);
