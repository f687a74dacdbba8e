/* From the URI to an endpoint. A parameter that is not known is refused: a typing error must not
 * silently become a default. */
#include "backends/s3/s3_store.h"
#include "engine/base/error.h"
#include "engine/store/key.h"
#include <stdio.h>
#include <stdlib.h>

enum { CONNECTIONS_DEFAULT = 32, CONNECTIONS_MAX = 256 };

static int bad(struct firn_error *err, const char *text)
{
	return fail(err, FIRN_EINVAL, 0, "s3", "%s", text);
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
	static const char *const known[] = {
		"endpoint",   "region",  "style",       "ca",          "proxy",
		"profile",    "payload", "connections", "nested_keys", "multipart_conditions",
		"start_after"
	};

	for (uint32_t i = 0; i < from->n_param; i++) {
		size_t k = 0;

		while (k < sizeof known / sizeof known[0] && strcmp(known[k], from->param[i].name))
			k++;
		if (k == sizeof known / sizeof known[0])
			return fail(err, FIRN_EINVAL, 0, "s3",
			            "no parameter `%.32s`; there are endpoint, region, style, ca, "
			            "proxy, profile, payload, connections, nested_keys, "
			            "multipart_conditions, start_after",
			            from->param[i].name);
	}
	return FIRN_OK;
}

static int copy(char *out, size_t cap, const char *text, const char *name, struct firn_error *err)
{
	if (text && strlen(text) >= cap)
		return fail(err, FIRN_EINVAL, 0, "s3", "%s is too long", name);
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
		return fail(err, FIRN_EINVAL, 0, "s3", "%s is %s or %s", name, first, second);
	return FIRN_OK;
}

static int read_bucket(const struct firn_store_config *from, struct s3_config *to,
                       struct firn_error *err)
{
	const char *path = from->path;
	size_t n;

	if (!from->authority[0])
		return bad(err, "no bucket: write s3://bucket/prefix?endpoint=...");
	if (strpbrk(from->authority, ":"))
		return bad(err, "a bucket's name has no colon; a server goes into endpoint=");
	if (copy(to->bucket, sizeof to->bucket, from->authority, "the bucket's name", err))
		return FIRN_EINVAL;
	path += strspn(path, "/");
	if (!path[0])
		return FIRN_OK;
	n = strlen(path);
	while (n && path[n - 1] == '/')
		n--;
	if (n > FIRN_STORE_KEY_MAX / 2)
		return bad(err, "the prefix is longer than 512 bytes");
	memcpy(to->prefix, path, n);
	if (key_check(to->prefix))
		return fail(err, FIRN_EINVAL, 0, "s3", "the prefix: %s", key_check(to->prefix));
	to->prefix[n] = '/';
	return FIRN_OK;
}

static int read_numbers(const struct firn_store_config *from, struct s3_config *to,
                        struct firn_error *err)
{
	const char *text = param(from, "connections");
	uint32_t is_unsigned;
	char *end = NULL;
	unsigned long n = text ? strtoul(text, &end, 10) : CONNECTIONS_DEFAULT;

	if (n < 1 || n > CONNECTIONS_MAX || (text && (*end || text[0] < '0' || text[0] > '9')))
		return bad(err, "connections is 1 to 256");
	to->connections = (uint32_t)n;
	int rc = choice(from, "payload", "signed", "unsigned", &is_unsigned, err);

	to->payload_signed = !is_unsigned;
	if (rc == FIRN_OK)
		rc = choice(from, "multipart_conditions", "no", "yes", &to->multipart_conditions,
		            err);
	if (rc == FIRN_OK)
		rc = choice(from, "nested_keys", "no", "yes", &to->nested_keys, err);
	if (rc == FIRN_OK)
		rc = choice(from, "start_after", "no", "yes", &to->trust_start_after, err);
	if (!param(from, "start_after"))
		to->trust_start_after = !param(from, "endpoint");
	/* Amazon's can. MinIO takes `a/b` beside `a` and does not list it. */
	if (!param(from, "nested_keys"))
		to->nested_keys = !param(from, "endpoint");
	return rc;
}

/* Scheme, host and port of the endpoint, for the URL and for the Host header. */
struct endpoint {
	char *scheme, *host, *port, *path, *query, *user;
};

static void endpoint_free(struct endpoint *e)
{
	curl_free(e->scheme);
	curl_free(e->host);
	curl_free(e->port);
	curl_free(e->path);
	curl_free(e->query);
	curl_free(e->user);
}

static int endpoint_parse(const char *text, struct endpoint *e, struct firn_error *err)
{
	CURLU *u = curl_url();
	int ok;

	memset(e, 0, sizeof *e);
	ok = u && !curl_url_set(u, CURLUPART_URL, text, 0) &&
	     !curl_url_get(u, CURLUPART_SCHEME, &e->scheme, 0) &&
	     !curl_url_get(u, CURLUPART_HOST, &e->host, 0) &&
	     !curl_url_get(u, CURLUPART_PATH, &e->path, 0);
	if (ok) {
		(void)curl_url_get(u, CURLUPART_PORT, &e->port, CURLU_NO_DEFAULT_PORT);
		(void)curl_url_get(u, CURLUPART_QUERY, &e->query, 0);
		(void)curl_url_get(u, CURLUPART_USER, &e->user, 0);
	}
	curl_url_cleanup(u);
	if (!ok || (strcmp(e->scheme, "http") && strcmp(e->scheme, "https")))
		return bad(err, "endpoint must be like http://127.0.0.1:9000 or https://host");
	if (e->user)
		return bad(err, "credentials do not belong into endpoint");
	if (strcmp(e->path, "/") || e->query)
		return bad(err, "endpoint ends after host and port");
	return FIRN_OK;
}

/* Path style: host/bucket/key. Virtual-host style: bucket.host/key. */
static int set_endpoint(struct s3_config *c, const struct endpoint *e, int is_virtual,
                        struct firn_error *err)
{
	int n = snprintf(c->host, sizeof c->host, "%s%s%s%s%s", is_virtual ? c->bucket : "",
	                 is_virtual ? "." : "", e->host, e->port ? ":" : "",
	                 e->port ? e->port : "");

	if (n < 0 || n >= (int)sizeof c->host)
		return bad(err, "bucket and endpoint together are too long");
	if (is_virtual && strchr(c->bucket, '.') && !strcmp(e->scheme, "https"))
		return bad(err, "a bucket with a dot has no certificate of its own: style=path");
	(void)snprintf(c->base_path, sizeof c->base_path, "%s%.250s", is_virtual ? "" : "/",
	               is_virtual ? "" : c->bucket);
	(void)snprintf(c->base_url, sizeof c->base_url, "%.8s://%s", e->scheme, c->host);
	return FIRN_OK;
}

int config_read(const struct firn_store_config *from, struct s3_config *to, struct firn_error *err)
{
	const char *style = param(from, "style"), *endpoint = param(from, "endpoint");
	const char *ca = param(from, "ca");
	int rc = check_names(from, err);

	memset(to, 0, sizeof *to);
	if (rc == FIRN_OK)
		rc = read_bucket(from, to, err);
	if (rc == FIRN_OK)
		rc = read_numbers(from, to, err);
	if (rc == FIRN_OK)
		rc = copy(to->region, sizeof to->region, param(from, "region"), "region", err);
	if (rc == FIRN_OK)
		rc = copy(to->ca, sizeof to->ca, ca, "ca", err);
	if (rc == FIRN_OK)
		rc = copy(to->proxy, sizeof to->proxy, param(from, "proxy"), "proxy", err);
	if (rc == FIRN_OK)
		rc = copy(to->profile, sizeof to->profile, param(from, "profile"), "profile", err);
	if (rc == FIRN_OK && ca && ca[0] != '/')
		rc = bad(err, "ca is the absolute path of a file of certificates");
	if (rc == FIRN_OK && to->proxy[0] && strchr(to->proxy, '@'))
		rc = bad(err, "credentials do not belong into proxy");
	if (rc == FIRN_OK && style && strcmp(style, "path") && strcmp(style, "virtual"))
		rc = bad(err, "style is path or virtual");
	if (rc != FIRN_OK)
		return rc;
	to->is_virtual = style ? !strcmp(style, "virtual") : !endpoint;
	return copy(to->endpoint, sizeof to->endpoint, endpoint, "endpoint", err);
}

int config_finish(struct s3_config *c, const char *region, struct firn_error *err)
{
	struct endpoint e;
	char aws[128];

	if (!c->region[0])
		(void)snprintf(c->region, sizeof c->region, "%s", region[0] ? region : "us-east-1");
	for (const char *p = c->region; *p; p++)
		if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789-", *p))
			return bad(err, "a region is of a-z, 0-9 and -");
	(void)snprintf(aws, sizeof aws, "https://s3.%s.amazonaws.com", c->region);
	int rc = endpoint_parse(c->endpoint[0] ? c->endpoint : aws, &e, err);

	if (rc == FIRN_OK)
		rc = set_endpoint(c, &e, (int)c->is_virtual, err);
	endpoint_free(&e);
	return rc;
}
