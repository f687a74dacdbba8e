#include "backends/libs3/libs3_store.h"
#include "engine/base/error.h"
#include "engine/store/key.h"
#include <curl/curl.h>

#define PUT_MAX (5ull << 30)

/* ---- libs3 is one per process, and its count of users is guarded by no lock ---- */

static pthread_mutex_t library_lock = PTHREAD_MUTEX_INITIALIZER;

static int library_begin(void)
{
	pthread_mutex_lock(&library_lock);
	/* The credentials' libcurl, which need not be libs3's. Never cleaned up: others may use it. */
	int rc = curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK;

#if LIBS3_IS_4
	rc = rc || S3_initialize("firn", S3_INIT_ALL | S3_INIT_VERIFY_PEER, NULL) != S3StatusOK;
#else
	rc = rc || S3_initialize("firn", S3_INIT_ALL, NULL) != S3StatusOK;
#endif
	pthread_mutex_unlock(&library_lock);
	return rc ? -1 : 0;
}

static void library_end(void)
{
	pthread_mutex_lock(&library_lock);
	S3_deinitialize();
	pthread_mutex_unlock(&library_lock);
}

/* ---- requests ---- */

/* XML has no U+FFFE and U+FFFF: such a key could be put, but never listed. */
static const char *cannot_take(const struct libs3_store *s, const char *key)
{
	const char *wrong = key_check(key);

	if (!wrong && (strstr(key, "\xef\xbf\xbe") || strstr(key, "\xef\xbf\xbf")))
		wrong = "libs3: a key with a noncharacter (U+FFFE, U+FFFF) cannot be listed";
	if (!wrong && !LIBS3_IS_4 && strchr(key, ' '))
		wrong = "libs3 2.0 writes a space in a key as a plus";
	if (!wrong && strlen(s->config.prefix) + strlen(key) > LIBS3_KEY_MAX)
		wrong = "libs3: a key has at most 1023 bytes with the URI's prefix";
	return wrong;
}

static const char *cannot_list(const struct libs3_store *s, const char *prefix)
{
	const char *wrong = key_check_prefix(prefix);

	if (!wrong && strlen(s->config.prefix) + strlen(prefix) > LIBS3_KEY_MAX)
		wrong = "libs3: a key has at most 1023 bytes with the URI's prefix";
	return wrong;
}

static void (*verb_of(uint32_t op))(struct libs3_call *c)
{
	static void (*const verbs[])(struct libs3_call * c) = {
		[FIRN_STORE_PUT] = libs3_put,       [FIRN_STORE_GET] = libs3_get,
		[FIRN_STORE_STAT] = libs3_stat,     [FIRN_STORE_LIST] = libs3_list,
		[FIRN_STORE_DELETE] = libs3_delete,
	};

	return op < sizeof verbs / sizeof verbs[0] ? verbs[op] : NULL;
}

static void perform(void *arg, struct firn_store_request *req)
{
	void (*verb)(struct libs3_call * c) = verb_of(req->op);
	struct libs3_store *s = arg;
	struct libs3_call c;
	const char *wrong;

	if (!verb) {
		firn_store_set_error(req, FIRN_STORE_PERMANENT, FIRN_EUNSUPPORTED, 0,
		                     "libs3: has no such request");
		return;
	}
	wrong = req->op == FIRN_STORE_LIST ? cannot_list(s, req->prefix) : cannot_take(s, req->key);
	if (wrong) {
		firn_store_set_error(req, FIRN_STORE_PERMANENT, FIRN_EINVAL, 0, wrong);
		return;
	}
	if (!call_begin(&c, s, req))
		verb(&c);
	call_end(&c);
}

/* ---- the table ---- */

static int start(struct libs3_store *s, struct firn_error *err)
{
	if (library_begin())
		return fail(err, FIRN_ENOMEM, 0, "libs3", "libs3 does not start");
	if (pthread_mutex_init(&s->marks_lock, NULL))
		goto fail_lock;
	if (!pool_start(&s->pool, s->config.n_threads, perform, s))
		return FIRN_OK;
	pthread_mutex_destroy(&s->marks_lock);
fail_lock:
	library_end();
	return fail(err, FIRN_ENOMEM, 0, "libs3", "no threads for the store");
}

/* Asks nobody: an engine that opens while the store is away must open. */
static int libs3_open(const struct firn_store_config *config, void **handle, struct firn_error *err)
{
	const struct firn_env *env = config->host->env;
	struct libs3_store *s = env->alloc(env->ctx, sizeof *s, 16);
	int rc;

	if (!s)
		return fail(err, FIRN_ENOMEM, 0, "libs3", "no memory");
	memset(s, 0, sizeof *s);
	s->host = config->host;
	rc = libs3_config_read(config, &s->config, err);
	if (rc != FIRN_OK)
		goto fail_cred;
	rc = cred_init(&s->cred, env, s->config.profile, err);
	if (rc != FIRN_OK)
		goto fail_cred;
	if (!s->config.region[0])
		(void)strcpy(s->config.region,
		             s->cred.from.region[0] ? s->cred.from.region : "us-east-1");
	rc = start(s, err);
	if (rc != FIRN_OK)
		goto fail_start;
	*handle = s;
	return FIRN_OK;

fail_start:
	cred_fini(&s->cred);
fail_cred:
	env->release(env->ctx, s);
	return rc;
}

static void libs3_close(void *handle)
{
	struct libs3_store *s = handle;
	const struct firn_env *env = s->host->env;

	pool_stop(&s->pool);
	library_end();
	pthread_mutex_destroy(&s->marks_lock);
	cred_fini(&s->cred);
	env->release(env->ctx, s);
}

/* No conditions, which no libs3 has. Multipart uploads, which 4.x has, are not used by anyone here. */
static void libs3_info(void *handle, struct firn_store_info *info)
{
	const struct libs3_store *s = handle;

	info->caps = FIRN_STORE_CAN_LIST | FIRN_STORE_CAN_RANGE;
	info->max_put_bytes = PUT_MAX;
	info->max_in_flight = s->pool.n_threads;
}

static void libs3_submit(void *handle, struct firn_store_request *req)
{
	struct libs3_store *s = handle;

	pool_submit(&s->pool, req);
}

static void libs3_cancel(void *handle, struct firn_store_request *req)
{
	struct libs3_store *s = handle;

	pool_cancel(&s->pool, req);
}

/* The one symbol of this shared object. */
__attribute__((visibility("default"))) const struct firn_store_plugin *firn_store_entry(void)
{
	static const struct firn_store_plugin plugin = {
		.struct_size = (uint32_t)sizeof plugin,
		.abi_major = FIRN_STORE_ABI_MAJOR,
		.abi_minor = FIRN_STORE_ABI_MINOR,
		.name = "libs3",
		.open = libs3_open,
		.close = libs3_close,
		.info = libs3_info,
		.submit = libs3_submit,
		.cancel = libs3_cancel,
	};

	return &plugin;
}
