/* DELETE, and empty objects. */
#include "tests/conformance/trial.h"

static void gone(struct trial *t)
{
	(void)put(t, "a/k", "x");
	delete_key(t, "a/k");
	must_be_absent(t, "a/k");
}

static void absent_is_success(struct trial *t)
{
	delete_key(t, "never");
	delete_key(t, "never/was/there");
}

static void again_is_success(struct trial *t)
{
	(void)put(t, "k", "x");
	delete_key(t, "k");
	delete_key(t, "k");
}

static void only_the_key(struct trial *t)
{
	(void)put(t, "a/k", "1");
	(void)put(t, "a/k2", "2");
	(void)put(t, "a/kk/x", "3");
	delete_key(t, "a/k");
	delete_key(t, "a/kk");
	delete_key(t, "a");
	must_hold(t, "a/k2", "2");
	must_hold(t, "a/kk/x", "3");
}

static void below_an_object(struct trial *t)
{
	(void)put(t, "k", "x");
	delete_key(t, "k/below");
	must_hold(t, "k", "x");
}

static void put_again(struct trial *t)
{
	(void)put(t, "k", "first");
	delete_key(t, "k");
	(void)put(t, "k", "second");
	must_hold(t, "k", "second");
}

static void not_listed(struct trial *t)
{
	(void)put(t, "a", "x");
	(void)put(t, "b", "x");
	delete_key(t, "a");
	must_list(t, "", "", "b ");
}

static void absent_for_if_absent(struct trial *t)
{
	(void)put(t, "k", "x");
	delete_key(t, "k");
	int rc = try_put(t, "k", "anew", FIRN_STORE_IF_ABSENT, NULL, NULL);

	must(t, rc == FIRN_OK, "put-if-absent of a deleted key: expected DONE, got %s",
	     firn_code_name(rc));
}

static const struct check delete_checks[] = {
	{ "a deleted key is absent", gone, 0, NULL },
	{ "an absent key is success", absent_is_success, 0, NULL },
	{ "deleting twice is success", again_is_success, 0, NULL },
	{ "only the key itself goes", only_the_key, 0, NULL },
	{ "what would lie below an object is success", below_an_object, 0, NULL },
	{ "a deleted key can be put again", put_again, 0, NULL },
	{ "a deleted key is not listed", not_listed, FIRN_STORE_CAN_LIST, NULL },
	{ "a deleted key is absent for put-if-absent", absent_for_if_absent,
	  FIRN_STORE_CAN_PUT_IF_ABSENT, NULL },
};
GROUP(delete, delete_checks);

/* ---- empty objects ---- */

static void empty_is_there(struct trial *t)
{
	uint64_t size = 77;

	(void)put(t, "k", "");
	int rc = stat_key(t, "k", &size, NULL);

	must(t, rc == FIRN_OK && size == 0, "STAT: expected DONE and size 0, got %s and %llu",
	     firn_code_name(rc), (unsigned long long)size);
}

static void empty_is_read(struct trial *t)
{
	char byte;
	size_t got = 77;

	(void)put(t, "k", "");
	int rc = get(t, "k", 0, &byte, 1, &got);

	must(t, rc == FIRN_OK && got == 0, "GET: expected DONE and 0 bytes, got %s and %zu",
	     firn_code_name(rc), got);
}

static void empty_beyond(struct trial *t)
{
	char byte;
	size_t got = 77;

	(void)put(t, "k", "");
	int rc = get(t, "k", 5, &byte, 1, &got);

	must(t, rc == FIRN_OK && got == 0, "GET from 5 on: expected DONE and 0 bytes, got %s, %zu",
	     firn_code_name(rc), got);
}

static void empty_is_listed(struct trial *t)
{
	(void)put(t, "a", "");
	(void)put(t, "b", "x");
	must_list(t, "", "", "a b ");
}

static void empty_without_iovec(struct trial *t)
{
	struct ask *a = ask_new(t, FIRN_STORE_PUT, "k");

	must_do(t, a, "PUT with n_iov 0");
	must_hold(t, "k", "");
}

static void empty_condition(struct trial *t)
{
	(void)put(t, "k", "");
	int rc = try_put(t, "k", "x", FIRN_STORE_IF_ABSENT, NULL, NULL);

	must(t, rc == FIRN_ECONFLICT, "put-if-absent over it: expected FIRN_ECONFLICT, got %s",
	     firn_code_name(rc));
	must_hold(t, "k", "");
}

static const struct check empty_checks[] = {
	{ "an empty object is an object", empty_is_there, 0, NULL },
	{ "it is read as no bytes", empty_is_read, 0, NULL },
	{ "beyond its end there is nothing", empty_beyond, FIRN_STORE_CAN_RANGE, NULL },
	{ "it is listed", empty_is_listed, FIRN_STORE_CAN_LIST, NULL },
	{ "it may be put without an iovec", empty_without_iovec, 0, NULL },
	{ "it is not absent", empty_condition, FIRN_STORE_CAN_PUT_IF_ABSENT, NULL },
};
GROUP(empty, empty_checks);
