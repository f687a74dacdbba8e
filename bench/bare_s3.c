/* Baseline of s3: stores: threads that do nothing but PUT or GET, one libcurl handle and connection each, to the
 * same server, unsigned payload. What is got is thrown away as it leaves libcurl's buffer, which nobody who wants the
 * bytes can do; or it is kept, copied into one buffer of each thread's: the least that a reader of it has to do. */
#include "bench/bench.h"
#ifdef FIRN_HAVE_S3
#include "engine/store/uri.h"
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

enum { CALLERS_MAX = 16, OBJECTS = 8, URL_MAX = 3072 };

struct bare {
	CURL *curl[CALLERS_MAX];
	struct curl_slist *headers;
	uint8_t *noise, *keep[CALLERS_MAX]; /* keep: NULL, or room for a GET */
	size_t len, range;                  /* of an object; of a GET, 0 = all of it */
	char url[URL_MAX];                  /* without the object's number */
};

struct body {
	const uint8_t *at;
	size_t left;
};

static size_t on_read(char *to, size_t one, size_t n, void *arg)
{
	struct body *b = arg;
	size_t k = one * n < b->left ? one * n : b->left;
	memcpy(to, b->at, k);
	b->at += k;
	b->left -= k;
	return k;
}

struct arrival {
	uint8_t *keep;
	size_t got, room;
};

static size_t on_write(char *data, size_t one, size_t n, void *arg)
{
	struct arrival *a = arg;
	if (one * n > a->room - a->got)
		return 0; /* more than was asked for: libcurl fails the request */
	if (a->keep)
		memcpy(a->keep + a->got, data, one * n);
	a->got += one * n;
	return one * n;
}

/* "http://host:port/bucket/prefix/bare-" */
static int make_url(struct bare *r, const char *store_uri)
{
	struct uri u;
	struct firn_error err = FIRN_ERROR_INIT;
	if (uri_parse(store_uri, &u, &err))
		return bench_fail(err.text);
	const char *endpoint = uri_param(&u, "endpoint"), *region = uri_param(&u, "region");
	char host[512];
	if (strcmp(u.scheme, "s3") != 0)
		return 1;
	if (!endpoint)
		(void)snprintf(host, sizeof host, "https://%s.s3.%s.amazonaws.com", u.authority,
		               region ? region : "us-east-1");
	else
		(void)snprintf(host, sizeof host, "%s/%s", endpoint, u.authority);
	(void)snprintf(r->url, sizeof r->url, "%s%s/bare-", host, u.path);
	return 0;
}

static CURL *new_handle(const struct bare *r, const char *store_uri)
{
	CURL *c = curl_easy_init();
	char login[512], sigv4[128], region[64] = "us-east-1";
	const char *id = getenv("AWS_ACCESS_KEY_ID"), *secret = getenv("AWS_SECRET_ACCESS_KEY");
	const char *given = strstr(store_uri, "region=");
	if (!c)
		return NULL;
	if (given)
		(void)snprintf(region, sizeof region, "%.*s", (int)strcspn(given + 7, "&"),
		               given + 7);
	(void)snprintf(login, sizeof login, "%s:%s", id ? id : "", secret ? secret : "");
	(void)snprintf(sigv4, sizeof sigv4, "aws:amz:%s:s3", region);
	(void)curl_easy_setopt(c, CURLOPT_AWS_SIGV4, sigv4);
	(void)curl_easy_setopt(c, CURLOPT_USERPWD, login);
	(void)curl_easy_setopt(c, CURLOPT_HTTPHEADER, r->headers);
	(void)curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(c, CURLOPT_FAILONERROR, 1L);
	(void)curl_easy_setopt(c, CURLOPT_UPLOAD_BUFFERSIZE, 2L << 20);
	(void)curl_easy_setopt(c, CURLOPT_BUFFERSIZE, 512L << 10);
	(void)curl_easy_setopt(c, CURLOPT_READFUNCTION, on_read);
	(void)curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_write);
	return c;
}

static int perform(CURL *c)
{
	CURLcode rc = curl_easy_perform(c);
	if (rc == CURLE_OK)
		return 0;
	(void)fprintf(stderr, "firn-bench: bare request: %s\n", curl_easy_strerror(rc));
	return -1;
}

static int put_one(void *ctx, unsigned caller, uint64_t i)
{
	struct bare *r = ctx;
	CURL *c = r->curl[caller];
	char url[URL_MAX + 32];
	struct body body = { r->noise, r->len };
	struct arrival answer = { .room = SIZE_MAX };
	(void)snprintf(url, sizeof url, "%s%u-%u", r->url, caller, (unsigned)(i % OBJECTS));
	(void)curl_easy_setopt(c, CURLOPT_URL, url);
	(void)curl_easy_setopt(c, CURLOPT_UPLOAD, 1L);
	(void)curl_easy_setopt(c, CURLOPT_INFILESIZE_LARGE, (curl_off_t)r->len);
	(void)curl_easy_setopt(c, CURLOPT_READDATA, &body);
	(void)curl_easy_setopt(c, CURLOPT_WRITEDATA, &answer);
	return perform(c);
}

static int get_one(void *ctx, unsigned caller, uint64_t i)
{
	struct bare *r = ctx;
	CURL *c = r->curl[caller];
	char url[URL_MAX + 32], range[64];
	size_t want = r->range ? r->range : r->len;
	struct arrival answer = { .keep = r->keep[caller], .room = want };
	uint64_t pos = i * want;
	(void)snprintf(url, sizeof url, "%s0-%u", r->url,
	               (unsigned)((pos / r->len + caller) % OBJECTS));
	pos %= r->len;
	(void)snprintf(range, sizeof range, "%llu-%llu", (unsigned long long)pos,
	               (unsigned long long)(pos + want - 1));
	(void)curl_easy_setopt(c, CURLOPT_URL, url);
	(void)curl_easy_setopt(c, CURLOPT_UPLOAD, 0L);
	(void)curl_easy_setopt(c, CURLOPT_HTTPGET, 1L);
	(void)curl_easy_setopt(c, CURLOPT_RANGE, r->range ? range : NULL);
	(void)curl_easy_setopt(c, CURLOPT_WRITEDATA, &answer);
	int rc = perform(c);
	return rc == 0 && answer.got != want ? bench_fail("bare GET: not all of it came") : rc;
}

static int run(const struct bench *b, const struct workload *w, struct bare *r, struct sample *out)
{
	size_t each = w->bytes && w->bytes < r->len ? w->bytes : r->len;
	struct callers put = { w->n, b->seconds, r->len, put_one, r };
	struct callers get = { w->n, b->seconds, each, get_one, r };
	int rc = 0;
	r->range = each < r->len ? each : 0;
	for (unsigned i = 0; w->mode == BARE_GET_KEPT && i < w->n; i++)
		if (!(r->keep[i] = scratch_noise(each)))
			return bench_fail(w->name);
	if (w->mode == BARE_PUT)
		return callers_run(&put, out);
	for (uint64_t i = 0; rc == 0 && i < OBJECTS; i++)
		rc = put_one(r, 0, i);
	return rc ? rc : callers_run(&get, out);
}

int bare_s3_run(const struct bench *b, const struct workload *w, struct sample *out)
{
	char uri[URL_MAX];
	struct bare r = { .len = (b->small ? 2u : 64u) << 20 };
	int rc = store_place(b, w->name, uri, sizeof uri);
	rc = rc ? rc : make_url(&r, uri);
	if (rc)
		return rc;
	r.noise = scratch_noise(r.len);
	(void)curl_global_init(CURL_GLOBAL_DEFAULT);
	r.headers = curl_slist_append(NULL, "x-amz-content-sha256: UNSIGNED-PAYLOAD");
	rc = r.noise && r.headers ? 0 : bench_fail(w->name);
	for (unsigned i = 0; rc == 0 && i < w->n; i++) {
		r.curl[i] = new_handle(&r, uri);
		rc = r.curl[i] ? 0 : bench_fail(w->name);
	}
	rc = rc ? rc : run(b, w, &r, out);
	for (unsigned i = 0; i < w->n; i++) {
		curl_easy_cleanup(r.curl[i]);
		free(r.keep[i]);
	}
	curl_slist_free_all(r.headers);
	free(r.noise);
	store_clear(uri);
	return rc;
}
#else
int bare_s3_run(const struct bench *b, const struct workload *w, struct sample *out)
{
	(void)b;
	(void)w;
	(void)out;
	return 1;
}
#endif
