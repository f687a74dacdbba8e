/* GET of a range, GET of a whole object, STAT. */
#include "engine/base/error.h"
#include "engine/store/internal.h"

static void version_out(const struct firn_store_request *answer, struct store_version *version)
{
	if (!version)
		return;
	memset(version, 0, sizeof *version);
	version->len = answer->version.len;
	memcpy(version->text, answer->version.text, answer->version.len);
}

int store_stat(struct store *s, const char *key, uint64_t *size, struct store_version *version,
               struct firn_error *err)
{
	struct firn_store_request ask = { .op = FIRN_STORE_STAT, .key = key }, answer;
	int rc = store_check_key(s, key, err);

	if (rc != FIRN_OK)
		return rc;
	if (version)
		ask.flags = FIRN_STORE_WANT_VERSION;
	rc = store_call(s, &ask, 0, &answer, err);
	if (rc == FIRN_OK) {
		if (size)
			*size = answer.size;
		version_out(&answer, version);
	}
	return rc;
}

int store_get(struct store *s, const char *key, uint64_t pos, void *dst, size_t len, size_t *got,
              struct firn_error *err)
{
	struct iovec iov = { dst, len };
	return store_get_iov(s, key, pos, &iov, 1, len, got, err);
}

int store_get_iov(struct store *s, const char *key, uint64_t pos, const struct iovec *iov,
                  uint32_t n_iov, size_t len, size_t *got, struct firn_error *err)
{
	struct firn_store_request ask = {
		.op = FIRN_STORE_GET, .key = key, .iov = iov, .n_iov = n_iov, .pos = pos, .len = len
	};
	struct firn_store_request answer;
	int rc = store_check_key(s, key, err);

	*got = 0;
	if (rc != FIRN_OK)
		return rc;
	if (len == 0) /* stores differ in what an empty range is; presence is all that is asked */
		return store_stat(s, key, NULL, NULL, err);
	if (pos && !(s->info.caps & FIRN_STORE_CAN_RANGE))
		return fail(err, FIRN_EUNSUPPORTED, 0, "store", "%s cannot read ranges",
		            s->plugin.name);
	rc = store_call(s, &ask, 0, &answer, err);
	if (rc == FIRN_OK)
		*got = (size_t)answer.got;
	return rc;
}

/* One GET is of one version, so the object is read again when the buffer proved too small: never
 * pieces of two versions. */
int store_get_all(struct store *s, const char *key, size_t max, struct buf *out,
                  struct store_version *version, struct firn_error *err)
{
	enum { FIRST = 64 << 10, TRIES = 16 };
	size_t room = max < FIRST ? max + 1 : FIRST;
	int rc = store_check_key(s, key, err);

	for (int i = 0; rc == FIRN_OK && i < TRIES; i++) {
		struct firn_store_request ask = { .op = FIRN_STORE_GET,
			                          .key = key,
			                          .n_iov = 1,
			                          .len = room },
		                          answer;
		struct iovec iov = { NULL, room };

		out->len = 0;
		iov.iov_base = buf_add(out, room);
		if (!iov.iov_base)
			return fail(err, FIRN_ENOMEM, 0, "store",
			            "get %.70s: no memory for %zu bytes", key, room);
		ask.iov = &iov;
		ask.flags = version ? FIRN_STORE_WANT_VERSION : 0;
		rc = store_call(s, &ask, 0, &answer, err);
		out->len = 0;
		if (rc != FIRN_OK)
			return rc;
		if (answer.size > max)
			return fail(err, FIRN_ETOOBIG, 0, "store",
			            "get %.70s: it has %llu bytes, at most %zu are expected", key,
			            (unsigned long long)answer.size, max);
		if (answer.got == answer.size) {
			out->len = (size_t)answer.got;
			version_out(&answer, version);
			return FIRN_OK;
		}
		if (answer.size <= room)
			break; /* it would have fitted: the store cut it */
		room = (size_t)answer.size;
	}
	if (rc == FIRN_OK) {
		rc = fail(err, FIRN_ESTORE, 0, "store",
		          "get %.70s: the store gave fewer bytes than the object has", key);
		rc = fail_flags(err, rc, FIRN_ERR_RETRY);
	}
	return rc;
}
