/* Keys from an endpoint beside us: a container's agent, or the instance's metadata service in its
 * second version (a token by PUT, then the role's name, then its keys).
 *
 * Both are on the local link and answer at once or not at all, so they get seconds. No proxy, no
 * redirect: a request that carries a token goes where it was meant to go. */
#include "backends/s3/cred.h"
#include "engine/base/error.h"
#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { CONNECT_MS = 1000, TOTAL_MS = 3000, BODY_ROOM = 16 << 10 };

struct body {
	size_t len;
	char text[BODY_ROOM];
};

static size_t on_body(char *data, size_t one, size_t n, void *arg)
{
	struct body *b = arg;

	if (n * one >= BODY_ROOM - b->len)
		return 0;
	memcpy(b->text + b->len, data, n * one);
	b->len += n * one;
	b->text[b->len] = 0;
	return n * one;
}

static int away(struct firn_error *err, const char *who, const char *why)
{
	int rc = fail(err, FIRN_ESTORE, 0, "s3", "credentials from the %s: %.120s", who, why);

	return fail_flags(err, rc, FIRN_ERR_RETRY);
}

/* One request; the body of a 200 in *b. `header` may be NULL. */
static int ask(const char *who, const char *method, const char *url, const char *header,
               struct body *b, struct firn_error *err)
{
	CURL *easy = curl_easy_init();
	struct curl_slist *list = header ? curl_slist_append(NULL, header) : NULL;
	char why[64];
	long status = 0;
	int rc = FIRN_OK;

	b->len = 0;
	b->text[0] = 0;
	if (!easy || (header && !list)) {
		rc = fail(err, FIRN_ENOMEM, 0, "s3", "no memory for a request");
		goto out;
	}
	(void)curl_easy_setopt(easy, CURLOPT_URL, url);
	(void)curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
	(void)curl_easy_setopt(easy, CURLOPT_HTTPHEADER, list);
	(void)curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	(void)curl_easy_setopt(easy, CURLOPT_PROXY, "");
	(void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
	(void)curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)TOTAL_MS);
	(void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	(void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, b);
	CURLcode result = curl_easy_perform(easy);

	(void)curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
	if (result != CURLE_OK) {
		rc = away(err, who, curl_easy_strerror(result));
	} else if (status != 200) {
		(void)snprintf(why, sizeof why, "it answers with status %ld", status);
		rc = away(err, who, why);
		if (err)
			err->sys = (int)status;
	}
out:
	curl_slist_free_all(list);
	curl_easy_cleanup(easy);
	return rc;
}

static int take(json_t *root, const char *name, char *out, size_t cap)
{
	const char *text = json_string_value(json_object_get(root, name));

	if (!text || strlen(text) >= cap || strpbrk(text, "\r\n"))
		return -1;
	(void)strcpy(out, text);
	return 0;
}

static int64_t parse_time(const char *text)
{
	struct tm tm;

	memset(&tm, 0, sizeof tm);
	return strptime(text, "%Y-%m-%dT%H:%M:%S", &tm) ? (int64_t)timegm(&tm) * 1000 : 0;
}

int cred_web_parse(const char *json, size_t len, struct cred_keys *keys, struct firn_error *err)
{
	json_t *root = json_loadb(json, len, 0, NULL);
	char expiration[64] = "";
	int bad = !root || take(root, "AccessKeyId", keys->access_key, sizeof keys->access_key) ||
	          take(root, "SecretAccessKey", keys->secret_key, sizeof keys->secret_key);

	/* A token is nearly always there; an end, too, but an agent may serve lasting keys. */
	if (!bad && json_object_get(root, "Token"))
		bad = take(root, "Token", keys->token, sizeof keys->token);
	if (!bad && json_object_get(root, "Expiration")) {
		bad = take(root, "Expiration", expiration, sizeof expiration);
		keys->ends_ms = bad ? 0 : parse_time(expiration);
		bad = bad || keys->ends_ms <= 0;
	}
	json_decref(root);
	return bad ? away(err, "endpoint", "its answer holds no access key") : FIRN_OK;
}

/* A container's token goes over plain HTTP to this machine or the local link only. */
static int url_is_near(const char *url)
{
	CURLU *u = curl_url();
	char *host = NULL, *scheme = NULL;
	struct in_addr a;
	int near = 0;

	if (u && !curl_url_set(u, CURLUPART_URL, url, 0) &&
	    !curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) &&
	    !curl_url_get(u, CURLUPART_HOST, &host, 0)) {
		uint32_t ip = inet_pton(AF_INET, host, &a) == 1 ? ntohl(a.s_addr) : 0;

		near = !strcmp(scheme, "https") || ip >> 24 == 127 || ip == 0xa9feaa02u ||
		       ip == 0xa9feaa17u || !strcmp(host, "localhost") || !strcmp(host, "[::1]") ||
		       !strcmp(host, "[fd00:ec2::23]");
	}
	curl_free(host);
	curl_free(scheme);
	curl_url_cleanup(u);
	return near;
}

static int container_token(const struct cred_env *from, char *out, size_t cap,
                           struct firn_error *err)
{
	int fd;
	ssize_t n;

	(void)snprintf(out, cap, "%s", from->container_token);
	if (!from->container_token_file[0])
		return FIRN_OK;
	/* Read each time: it is replaced while we run. */
	fd = open(from->container_token_file, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, out, cap - 1);
	int sys = errno;

	if (fd >= 0)
		(void)close(fd);
	if (n < 0)
		return fail(err, FIRN_EINVAL, sys, "s3", "reading %.120s",
		            from->container_token_file);
	out[n] = 0;
	out[strcspn(out, "\r\n")] = 0;
	return FIRN_OK;
}

int cred_web_container(const struct cred_env *from, struct cred_keys *keys, struct firn_error *err)
{
	char token[CRED_TOKEN_ROOM], header[CRED_TOKEN_ROOM + 32];
	struct body b;
	int rc = container_token(from, token, sizeof token, err);

	if (rc != FIRN_OK)
		return rc;
	if (!url_is_near(from->container_url))
		return fail(err, FIRN_EINVAL, 0, "s3",
		            "AWS_CONTAINER_CREDENTIALS_FULL_URI is plain http and not on this "
		            "machine: refused");
	(void)snprintf(header, sizeof header, "Authorization: %s", token);
	rc = ask("container endpoint", "GET", from->container_url, token[0] ? header : NULL, &b,
	         err);
	if (rc == FIRN_OK)
		rc = cred_web_parse(b.text, b.len, keys, err);
	OPENSSL_cleanse(&b, sizeof b);
	OPENSSL_cleanse(token, sizeof token);
	OPENSSL_cleanse(header, sizeof header);
	return rc;
}

int cred_web_instance(const struct cred_env *from, struct cred_keys *keys, struct firn_error *err)
{
	static const char path[] = "/latest/meta-data/iam/security-credentials/";
	char url[CRED_PATH_ROOM + CRED_ROOM + sizeof path], header[BODY_ROOM + 64];
	struct body b;
	size_t base = strlen(from->instance_url);

	if (base && from->instance_url[base - 1] == '/')
		base--;
	(void)snprintf(url, sizeof url, "%.*s/latest/api/token", (int)base, from->instance_url);
	int rc = ask("instance endpoint", "PUT", url, "X-aws-ec2-metadata-token-ttl-seconds: 300",
	             &b, err);

	if (rc != FIRN_OK)
		return rc;
	b.text[strcspn(b.text, "\r\n")] = 0;
	(void)snprintf(header, sizeof header, "X-aws-ec2-metadata-token: %s", b.text);
	(void)snprintf(url, sizeof url, "%.*s%s", (int)base, from->instance_url, path);
	rc = ask("instance endpoint", "GET", url, header, &b, err);
	if (rc == FIRN_OK) {
		b.text[strcspn(b.text, "\r\n")] = 0; /* the first role */
		if (!b.text[0] || strlen(b.text) >= CRED_ROOM || strpbrk(b.text, "/?# "))
			rc = away(err, "instance endpoint", "the instance has no role");
	}
	if (rc == FIRN_OK) {
		(void)snprintf(url, sizeof url, "%.*s%s%.255s", (int)base, from->instance_url, path,
		               b.text);
		rc = ask("instance endpoint", "GET", url, header, &b, err);
	}
	if (rc == FIRN_OK)
		rc = cred_web_parse(b.text, b.len, keys, err);
	OPENSSL_cleanse(&b, sizeof b);
	return rc;
}
