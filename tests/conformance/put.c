/* PUT: objects appear whole, at once, and say which version they are. */
#include "tests/conformance/run.h"
#include "tests/conformance/trial.h"

static void comes_back(struct trial *t)
{
	(void)put(t, "a/b/c", "some bytes");
	must_hold(t, "a/b/c", "some bytes");
}

static void at_the_top(struct trial *t)
{
	(void)put(t, "k", "some bytes");
	must_hold(t, "k", "some bytes");
}

static void every_byte(struct trial *t)
{
	uint8_t data[256], back[257];
	size_t got = 0;

	for (int i = 0; i < 256; i++)
		data[i] = (uint8_t)i;
	(void)put_bytes(t, "k", data, sizeof data);
	must(t,
	     get(t, "k", 0, back, sizeof back, &got) == FIRN_OK && got == 256 &&
	             !memcmp(back, data, 256),
	     "expected the 256 byte values as they were put, got %zu bytes or others", got);
}

/* iovecs of n pieces, some of them empty. */
static void pieces(struct trial *t, uint32_t n, size_t each)
{
	uint8_t *data = trial_noise(t, n * each, n), *back = trial_alloc(t, n * each);
	struct iovec *iov = trial_alloc(t, 2 * n * sizeof *iov);
	struct ask *a = ask_new(t, FIRN_STORE_PUT, "k");
	size_t got = 0;

	for (uint32_t i = 0; i < n; i++) {
		iov[2 * i] = (struct iovec){ data + i * each, each };
		iov[2 * i + 1] = (struct iovec){ NULL, 0 };
	}
	a->req.iov = iov;
	a->req.n_iov = 2 * n;
	a->req.len = n * each;
	must_do(t, a, "PUT of %u pieces", n);
	must(t,
	     get(t, "k", 0, back, n * each, &got) == FIRN_OK && got == n * each &&
	             !memcmp(back, data, got),
	     "expected the %u pieces joined, got %zu bytes or others", n, got);
}

static void few_pieces(struct trial *t)
{
	pieces(t, 3, 1000);
}

static void many_pieces(struct trial *t)
{
	pieces(t, 1100, 97); /* above IOV_MAX */
}

static void replaced(struct trial *t)
{
	(void)put(t, "k", "a longer first version");
	(void)put(t, "k", "second");
	must_hold(t, "k", "second");
}

static void replaced_often(struct trial *t)
{
	char text[24] = "";

	for (int i = 0; i < 50; i++) {
		(void)snprintf(text, sizeof text, "version %d", i);
		(void)put(t, "k", text);
	}
	must_hold(t, "k", text);
}

static void grows_and_shrinks(struct trial *t)
{
	static const size_t lens[] = { 10, 100000, 1, 65536, 0, 7 };
	uint64_t size = 0;

	for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
		(void)put_bytes(t, "k", trial_noise(t, lens[i], i), lens[i]);
		must(t, stat_key(t, "k", &size, NULL) == FIRN_OK && size == lens[i],
		     "expected %zu bytes after the PUT, got %llu", lens[i],
		     (unsigned long long)size);
	}
}

static void leaves_others_alone(struct trial *t)
{
	(void)put(t, "k", "one");
	(void)put(t, "k2", "two");
	(void)put(t, "kk/k", "three");
	(void)put(t, "k", "new");
	must_hold(t, "k2", "two");
	must_hold(t, "kk/k", "three");
}

static void other_bytes_other_version(struct trial *t)
{
	struct firn_store_version a = put(t, "k", "A"), b = put(t, "k", "B");

	must(t, !same_version(&a, &b), "expected two versions, got %.*s twice", (int)a.len, a.text);
}

static void keeps_the_source(struct trial *t)
{
	uint8_t *data = trial_noise(t, 70000, 3), *copy = trial_alloc(t, 70000);

	memcpy(copy, data, 70000);
	(void)put_bytes(t, "k", data, 70000);
	must(t, !memcmp(copy, data, 70000), "expected the caller's bytes untouched by PUT");
}

static void holds_k(struct trial *t, void *arg)
{
	(void)arg;
	must_hold(t, "k", "from one handle");
}

static void seen_by_another_handle(struct trial *t)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct host *mine = t->host, *other;

	(void)put(t, "k", "from one handle");
	other = host_open(t->uri, &err);
	must(t, other != NULL, "opening the URI again: expected success, got %s", err.text);
	t->host = other;
	(void)trial_try(t, holds_k, NULL);
	t->host = mine;
	if (!t->run->hung)
		host_close(other);
	must(t, !t->failed, "another handle of the URI: %s", t->why);
}

static const struct check checks[] = {
	{ "an object comes back as it was put", comes_back, 0, NULL },
	{ "a key without a slash is as good", at_the_top, 0, NULL },
	{ "every byte value is kept", every_byte, 0, NULL },
	{ "the pieces of an iovec are joined", few_pieces, 0, NULL },
	{ "an iovec may have more than 1024 pieces", many_pieces, 0, NULL },
	{ "a newer object replaces the older", replaced, 0, NULL },
	{ "after fifty PUTs the last is there", replaced_often, 0, NULL },
	{ "an object may grow and shrink", grows_and_shrinks, 0, NULL },
	{ "other keys stay as they are", leaves_others_alone, 0, NULL },
	{ "other bytes are another version", other_bytes_other_version, 0, NULL },
	{ "the bytes are only read", keeps_the_source, 0, NULL },
	{ "another handle of the URI sees it", seen_by_another_handle, 0, NULL },
};
GROUP(put, checks);
