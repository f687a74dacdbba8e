/* Objects go in whole and come out whole or in ranges. */
#include "tests/conformance/trial.h"

CONFORMS(put, an_object_comes_back_as_it_was_put)
{
	(void)put(t, "a/b/c", "some bytes");
	cr_assert_str_eq(text_of(t, "a/b/c"), "some bytes");
}

CONFORMS(put, the_pieces_of_an_iovec_are_joined)
{
	struct iovec iov[200];
	char expect[201] = { 0 };

	for (int i = 0; i < 200; i++) {
		expect[i] = (char)('a' + i % 26);
		iov[i] = (struct iovec){ &expect[i], i % 7 ? 1 : 0 };
	}
	cr_assert_eq(store_put(t->store, "k", iov, 200, STORE_ALWAYS, NULL, NULL, &t->err),
	             FIRN_OK);
	char joined[201] = { 0 };
	size_t n = 0;

	for (int i = 0; i < 200; i++)
		if (i % 7)
			joined[n++] = expect[i];
	cr_assert_str_eq(text_of(t, "k"), joined);
}

CONFORMS(put, an_empty_object_is_an_object)
{
	uint64_t size = 77;
	size_t got = 77;
	char byte;

	(void)put(t, "empty", "");
	cr_assert_eq(store_stat(t->store, "empty", &size, NULL, &t->err), FIRN_OK);
	cr_assert_eq(size, 0u);
	cr_assert_eq(store_get(t->store, "empty", 0, &byte, 1, &got, &t->err), FIRN_OK);
	cr_assert_eq(got, 0u);
	cr_assert_str_eq(keys_of(t, "", ""), "empty ");
}

CONFORMS(put, the_newer_object_replaces_the_older)
{
	(void)put(t, "k", "a longer first version");
	(void)put(t, "k", "second");
	cr_assert_str_eq(text_of(t, "k"), "second");
	cr_assert_str_eq(keys_of(t, "", ""), "k ");
}

CONFORMS(put, eight_megabytes_come_back)
{
	size_t len = 8u << 20, got = 0;
	uint8_t *data = malloc(len), *back = malloc(len);
	uint64_t x = 42;

	for (size_t i = 0; i < len; i += 8) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		memcpy(data + i, &x, 8);
	}
	struct iovec iov[2] = { { data, 12345 }, { data + 12345, len - 12345 } };

	cr_assert_eq(store_put(t->store, "big", iov, 2, STORE_ALWAYS, NULL, NULL, &t->err),
	             FIRN_OK);
	cr_assert_eq(store_get(t->store, "big", 0, back, len, &got, &t->err), FIRN_OK);
	cr_assert_eq(got, len);
	cr_assert_eq(memcmp(data, back, len), 0);
	free(data);
	free(back);
}

CONFORMS(get, a_range_is_cut_at_the_end_of_the_object)
{
	static const struct {
		uint64_t pos;
		size_t len, got;
		const char *text;
	} ranges[] = {
		{ 0, 10, 10, "0123456789" },
		{ 0, 99, 10, "0123456789" },
		{ 3, 4, 4, "3456" },
		{ 9, 1, 1, "9" },
		{ 9, 9, 1, "9" },
		{ 10, 5, 0, "" },
		{ 1000000, 5, 0, "" },
		{ 5, 0, 0, "" },
	};

	(void)put(t, "k", "0123456789");
	for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
		char back[100] = { 0 };
		size_t got = 77;

		cr_assert_eq(store_get(t->store, "k", ranges[i].pos, back, ranges[i].len, &got,
		                       &t->err),
		             FIRN_OK, "range %zu: %s", i, t->err.text);
		cr_assert_eq(got, ranges[i].got, "range %zu gave %zu bytes", i, got);
		cr_assert_str_eq(back, ranges[i].text);
	}
}

CONFORMS(get, seeded_random_ranges_agree_with_the_bytes)
{
	enum { LEN = 300000 };
	uint8_t *data = malloc(LEN), *back = malloc(LEN);
	uint64_t x = 7;

	for (size_t i = 0; i < LEN; i++)
		data[i] = (uint8_t)((x = x * 6364136223846793005u + 1) >> 33);
	struct iovec iov = { data, LEN };

	cr_assert_eq(store_put(t->store, "r", &iov, 1, STORE_ALWAYS, NULL, NULL, &t->err), FIRN_OK);
	for (int i = 0; i < 300; i++) {
		uint64_t pos = ((x = x * 6364136223846793005u + 1) >> 33) % (LEN + 100);
		size_t len = 1 + (size_t)((x = x * 6364136223846793005u + 1) >> 33) % 5000, got = 0;
		size_t expect = pos >= LEN ? 0 : len < LEN - pos ? len : (size_t)(LEN - pos);

		cr_assert_eq(store_get(t->store, "r", pos, back, len, &got, &t->err), FIRN_OK);
		cr_assert_eq(got, expect);
		cr_assert_eq(memcmp(back, data + (got ? pos : 0), got), 0);
	}
	free(data);
	free(back);
}

CONFORMS(get, an_absent_key_is_enoent)
{
	size_t got = 77;
	char byte;
	struct buf b;

	buf_init(&b, env_default());
	cr_assert_eq(store_get(t->store, "no", 0, &byte, 1, &got, &t->err), FIRN_ENOENT);
	cr_assert_eq(got, 0u);
	cr_assert_eq(store_get(t->store, "no/such/key", 0, &byte, 1, &got, &t->err), FIRN_ENOENT);
	cr_assert_eq(store_get_all(t->store, "no", 100, &b, NULL, &t->err), FIRN_ENOENT);
	cr_assert_eq(store_stat(t->store, "no", NULL, NULL, &t->err), FIRN_ENOENT);
	cr_assert_eq(t->err.flags, 0u, "nothing to retry");
	cr_assert_not_null(strstr(t->err.text, "no"), "the key is named: %s", t->err.text);
	buf_fini(&b);
}

CONFORMS(get, what_is_larger_than_allowed_is_etoobig_and_not_cut)
{
	struct buf b;

	buf_init(&b, env_default());
	(void)put(t, "k", "0123456789");
	cr_assert_eq(store_get_all(t->store, "k", 9, &b, NULL, &t->err), FIRN_ETOOBIG);
	cr_assert_eq(store_get_all(t->store, "k", 10, &b, NULL, &t->err), FIRN_OK);
	cr_assert_eq(b.len, 10u);
	buf_fini(&b);
}

CONFORMS(get, an_object_above_the_first_buffer_is_read_whole)
{
	enum { LEN = 200000 };
	uint8_t *data = calloc(1, LEN);
	struct iovec iov = { data, LEN };
	struct store_version put_version, get_version;
	struct buf b;

	data[LEN - 1] = 9;
	buf_init(&b, env_default());
	cr_assert_eq(store_put(t->store, "k", &iov, 1, STORE_ALWAYS, NULL, &put_version, &t->err),
	             0);
	cr_assert_eq(store_get_all(t->store, "k", 1 << 20, &b, &get_version, &t->err), FIRN_OK);
	cr_assert_eq(b.len, (size_t)LEN);
	cr_assert_eq(memcmp(b.data, data, LEN), 0);
	cr_assert(same_version(&put_version, &get_version));
	buf_fini(&b);
	free(data);
}

CONFORMS(stat, size_and_version_are_those_of_the_put)
{
	struct store_version v = put(t, "k", "12345"), seen;
	uint64_t size = 0;

	cr_assert_eq(store_stat(t->store, "k", &size, &seen, &t->err), FIRN_OK);
	cr_assert_eq(size, 5u);
	cr_assert(same_version(&v, &seen), "%.*s is not %.*s", (int)v.len, v.text, (int)seen.len,
	          seen.text);
}

CONFORMS(delete, a_deleted_key_is_absent_and_deleting_it_again_succeeds)
{
	(void)put(t, "a/k", "x");
	cr_assert_eq(store_delete(t->store, "a/k", &t->err), FIRN_OK);
	cr_assert_str_eq(text_of(t, "a/k"), "FIRN_ENOENT");
	cr_assert_str_eq(keys_of(t, "", ""), "");
	cr_assert_eq(store_delete(t->store, "a/k", &t->err), FIRN_OK);
	cr_assert_eq(store_delete(t->store, "never/was/there", &t->err), FIRN_OK);
}

CONFORMS(delete, only_the_key_itself_is_deleted)
{
	(void)put(t, "a/k", "1");
	(void)put(t, "a/k2", "2");
	(void)put(t, "a/kk/x", "3");
	cr_assert_eq(store_delete(t->store, "a/k", &t->err), FIRN_OK);
	cr_assert_eq(store_delete(t->store, "a/kk", &t->err), FIRN_OK);
	cr_assert_str_eq(keys_of(t, "", ""), "a/k2 a/kk/x ");
}

CONFORMS(open, objects_survive_closing_and_opening)
{
	struct store_version v = put(t, "vol/manifest", "kept"), seen;

	store_close(t->store);
	cr_assert_eq(store_open(env_default(), t->uri, &t->store, &t->err), FIRN_OK);
	cr_assert_str_eq(text_of(t, "vol/manifest"), "kept");
	cr_assert_eq(store_stat(t->store, "vol/manifest", NULL, &seen, &t->err), FIRN_OK);
	cr_assert(same_version(&v, &seen));
}

CONFORMS(open, two_handles_of_one_uri_see_the_same_objects)
{
	struct store *other, *mine = t->store;

	cr_assert_eq(store_open(env_default(), t->uri, &other, &t->err), FIRN_OK);
	(void)put(t, "k", "from one");
	t->store = other;
	cr_assert_str_eq(text_of(t, "k"), "from one");
	t->store = mine;
	store_close(other);
}
