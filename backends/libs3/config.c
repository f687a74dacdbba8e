/* From the URI to an endpoint. A parameter that is not known is refused: a typing error must not
 * silently become a default. */
#include "backends/libs3/libs3_store.h"
#include "engine/base/error.h"
#include "engine/store/key.h"
#include <stdio.h>
#include <stdlib.h>

static int bad(struct firn_error *err, const char *text)
{
	return fail(err, FIRN_EINVAL, 0, "libs3", "%s", text);
}

static const char *param(const struct firn_store_config *from, const char *name)
{
	for (uint32_t i = 0; i < from->n_param; i++)
		if (!strcmp(from->param[i].name, name))
			return from->param[i].value;
	return NULL;
}

static int check_names(const struct firn_store_config *from, struct firn_error *err)
{
	static const char *const known[] = { "endpoint", "style",       "profile",
		                             "threads",  "start_after", "region" };

	for (uint32_t i = 0; i < from->n_param; i++) {
		size_t k = 0, n = sizeof known / sizeof known[0];

		while (k < n && strcmp(known[k], from->param[i].name))
			k++;
		if (k == n)
			return fail(err, FIRN_EINVAL, 0, "libs3",
			            "no parameter `%.32s`; there are endpoint, style, profile, "
			            "threads, start_after, region",
			            from->param[i].name);
	}
	return FIRN_OK;
}

static int copy(char *out, size_t cap, const char *text, const char *name, struct firn_error *err)
{
	if (text && strlen(text) >= cap)
		return fail(err, FIRN_EINVAL, 0, "libs3", "%s is too long", name);
	(void)strcpy(out, text ? text : "");
	return FIRN_OK;
}

/* One of two words, the first being the default. */
static int choice(const struct firn_store_config *from, const char *name, const char *first,
                  const char *second, uint32_t *out, struct firn_error *err)
{
	const char *value = param(from, name);

	*out = value && !strcmp(value, second);
	if (value && !*out && strcmp(value, first))
		return fail(err, FIRN_EINVAL, 0, "libs3", "%s is %s or %s", name, first, second);
	return FIRN_OK;
}

static int read_bucket(const struct firn_store_config *from, struct libs3_config *to,
                       struct firn_error *err)
{
	const char *path = from->path + strspn(from->path, "/");
	size_t n = strlen(path);

	if (!from->authority[0])
		return bad(err, "no bucket: write libs3://bucket/prefix?endpoint=...");
	if (strchr(from->authority, ':'))
		return bad(err, "a bucket's name has no colon; a server goes into endpoint=");
	if (copy(to->bucket, sizeof to->bucket, from->authority, "the bucket's name", err))
		return FIRN_EINVAL;
	while (n && path[n - 1] == '/')
		n--;
	if (n > FIRN_STORE_KEY_MAX / 2)
		return bad(err, "the prefix is longer than 512 bytes");
	memcpy(to->prefix, path, n);
	to->prefix[n] = 0;
	if (n == 0)
		return FIRN_OK;
	if (key_check(to->prefix))
		return fail(err, FIRN_EINVAL, 0, "libs3", "the prefix: %s", key_check(to->prefix));
	if (!LIBS3_IS_4 && strchr(to->prefix, ' '))
		return bad(err, "the prefix has a space, which libs3 2.0 would write as a plus");
	to->prefix[n] = '/';
	to->prefix[n + 1] = 0;
	return FIRN_OK;
}

/* "http://host[:port]" */
static int read_endpoint(const struct firn_store_config *from, struct libs3_config *to,
                         struct firn_error *err)
{
	const char *text = param(from, "endpoint"), *host = text;

	if (!text)
		return bad(err, "endpoint is missing: http://host[:port]");
	if (!strncmp(text, "https://", 8)) {
		to->is_https = 1;
		host += 8;
	} else if (!strncmp(text, "http://", 7)) {
		host += 7;
	}
	if (host == text || !host[0] ||
	    host[strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:")])
		return bad(err, "endpoint must be like http://127.0.0.1:9000, nothing behind it");
	/* It sends keys that anyone in between could read and use. */
	if (to->is_https && !LIBS3_IS_4)
		return bad(err, "libs3 2.0 does not verify certificates, so https is refused; "
		                "libs3 4 does, and s3: does");
	return copy(to->host, sizeof to->host, host, "endpoint", err);
}

static int read_numbers(const struct firn_store_config *from, struct libs3_config *to,
                        struct firn_error *err)
{
	const char *text = param(from, "threads");
	char *end = NULL;
	unsigned long n = text ? strtoul(text, &end, 10) : LIBS3_THREADS_DEFAULT;

	if (n < 1 || n > POOL_THREADS_MAX || (text && (*end || text[0] < '0' || text[0] > '9')))
		return bad(err, "threads is 1 to 64");
	to->n_threads = (uint32_t)n;
	int rc = choice(from, "start_after", "no", "yes", &to->trust_start_after, err);

	return rc == FIRN_OK ? choice(from, "style", "path", "virtual", &to->is_virtual, err) : rc;
}

int libs3_config_read(const struct firn_store_config *from, struct libs3_config *to,
                      struct firn_error *err)
{
	int rc = check_names(from, err);

	memset(to, 0, sizeof *to);
	if (rc == FIRN_OK)
		rc = read_bucket(from, to, err);
	if (rc == FIRN_OK)
		rc = read_endpoint(from, to, err);
	if (rc == FIRN_OK)
		rc = read_numbers(from, to, err);
	if (rc == FIRN_OK)
		rc = copy(to->profile, sizeof to->profile, param(from, "profile"), "profile", err);
	if (rc == FIRN_OK)
		rc = copy(to->region, sizeof to->region, param(from, "region"), "region", err);
	if (rc == FIRN_OK &&
	    S3_validate_bucket_name(to->bucket,
	                            to->is_virtual ? S3UriStyleVirtualHost : S3UriStylePath))
		rc = bad(err, "the bucket's name is none that libs3 takes");
	return rc;
}
