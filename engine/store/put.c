/* PUT and DELETE.
 *
 * A store without conditions is refused at attach, unless its URI says exclusive=trust-me: the caller
 * vouches that no other engine writes to his volumes there. Then a condition is looked at first and the
 * PUT is sent without it. That is not atomic: against a second writer it protects nothing, and a PUT
 * that was given up and lands late replaces what was put after it (the next attach that has this
 * engine's WAL says that the manifest went backwards, and refuses). */
#include "engine/base/error.h"
#include "engine/store/internal.h"

/* FIRN_OK: the condition holds at this moment, and is taken out of *ask. */
static int look_first(struct store *s, struct firn_store_request *ask, struct firn_error *err)
{
	struct firn_store_request stat = { .op = FIRN_STORE_STAT,
		                           .flags = FIRN_STORE_WANT_VERSION,
		                           .key = ask->key };
	struct firn_store_request answer;
	int rc = store_call(s, &stat, 0, &answer, err);

	if (rc == FIRN_OK && ask->condition == FIRN_STORE_IF_ABSENT)
		return fail(err, FIRN_ECONFLICT, 0, "store", "put %.70s: the key exists", ask->key);
	if (rc == FIRN_OK && (answer.version.len != ask->match->len ||
	                      memcmp(answer.version.text, ask->match->text, ask->match->len)))
		return fail(err, FIRN_ECONFLICT, 0, "store", "put %.70s: not the version asked for",
		            ask->key);
	if (rc == FIRN_ENOENT && ask->condition == FIRN_STORE_IF_ABSENT)
		rc = FIRN_OK;
	ask->condition = FIRN_STORE_ALWAYS;
	ask->match = NULL;
	return rc;
}

static uint64_t cap_of(enum store_condition condition)
{
	return condition == STORE_IF_ABSENT  ? FIRN_STORE_CAN_PUT_IF_ABSENT
	       : condition == STORE_IF_MATCH ? FIRN_STORE_CAN_PUT_IF_MATCH
	                                     : 0;
}

int store_put(struct store *s, const char *key, const struct iovec *iov, uint32_t n_iov,
              enum store_condition condition, const struct store_version *match,
              struct store_version *version, struct firn_error *err)
{
	struct firn_store_request ask = {
		.op = FIRN_STORE_PUT, .key = key, .iov = iov, .n_iov = n_iov, .condition = condition
	};
	struct firn_store_request answer;
	struct firn_store_version expected = { 0 };
	int rc = store_check_key(s, key, err);

	if (rc != FIRN_OK)
		return rc;
	for (uint32_t i = 0; i < n_iov; i++)
		ask.len += iov[i].iov_len;
	if (s->info.max_put_bytes && ask.len > s->info.max_put_bytes)
		return fail(err, FIRN_ETOOBIG, 0, "store", "put %.70s: %s takes %llu bytes at once",
		            key, s->plugin.name, (unsigned long long)s->info.max_put_bytes);
	if (condition == STORE_IF_MATCH) {
		if (!match || match->len == 0 || match->len > FIRN_STORE_VERSION_MAX)
			return fail(err, FIRN_EINVAL, 0, "store", "put %.70s: no version to match",
			            key);
		expected.len = match->len;
		memcpy(expected.text, match->text, match->len);
		ask.match = &expected;
	}
	if (s->trusted & cap_of(condition))
		rc = look_first(s, &ask, err);
	if (rc == FIRN_OK)
		rc = store_call(s, &ask, condition != STORE_ALWAYS, &answer, err);
	if (version) {
		memset(version, 0, sizeof *version);
		if (rc == FIRN_OK) {
			version->len = answer.version.len;
			memcpy(version->text, answer.version.text, answer.version.len);
		}
	}
	return rc;
}

int store_delete(struct store *s, const char *key, struct firn_error *err)
{
	struct firn_store_request ask = { .op = FIRN_STORE_DELETE, .key = key }, answer;
	int rc = store_check_key(s, key, err);

	return rc != FIRN_OK ? rc : store_call(s, &ask, 0, &answer, err);
}
