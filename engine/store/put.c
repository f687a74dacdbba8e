/* PUT and DELETE. */
#include "engine/base/error.h"
#include "engine/store/internal.h"

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
