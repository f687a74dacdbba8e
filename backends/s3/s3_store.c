#include "backends/s3/s3_store.h"
#include "engine/base/error.h"
#include "engine/store/builtin.h"

/* Amazon's limits, which others share. */
#define PUT_MAX (5ull << 30)
#define PART_MIN (5ull << 20)
#define PARTS_MAX 10000u

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;
static CURLcode curl_ready;

/* libcurl is one per process; that is its own rule. It is never cleaned up: others may use it. */
static void curl_begin(void)
{
	curl_ready = curl_global_init(CURL_GLOBAL_DEFAULT);
}

static int start_lanes(struct s3_store *s, struct firn_error *err)
{
	int n = 0;

	while (n < S3_N_LANES && !lane_start(&s->lane[n], s))
		n++;
	if (n == S3_N_LANES)
		return FIRN_OK;
	while (n--)
		lane_stop(&s->lane[n]);
	return fail(err, FIRN_ENOMEM, 0, "s3", "no threads for the store");
}

/* Asks nobody: an engine that opens while the store is away must open. */
static int s3_open(const struct firn_store_config *config, void **handle, struct firn_error *err)
{
	const struct firn_env *env = config->host->env;
	struct s3_store *s = env->alloc(env->ctx, sizeof *s, 16);
	int rc;

	if (!s)
		return fail(err, FIRN_ENOMEM, 0, "s3", "no memory");
	memset(s, 0, sizeof *s);
	s->host = config->host;
	(void)pthread_once(&curl_once, curl_begin);
	rc = curl_ready == CURLE_OK ? config_read(config, &s->config, err)
	                            : fail(err, FIRN_ENOMEM, 0, "s3", "libcurl does not start");
	if (rc == FIRN_OK)
		rc = cred_init(&s->cred, env, s->config.profile, err);
	if (rc != FIRN_OK)
		goto fail_cred;
	rc = config_finish(&s->config, s->cred.from.region, err);
	if (rc == FIRN_OK)
		rc = start_lanes(s, err);
	if (rc != FIRN_OK)
		goto fail_lanes;
	*handle = s;
	return FIRN_OK;

fail_lanes:
	cred_fini(&s->cred);
fail_cred:
	env->release(env->ctx, s);
	return rc;
}

static void s3_close(void *handle)
{
	struct s3_store *s = handle;
	const struct firn_env *env = s->host->env;

	for (int i = 0; i < S3_N_LANES; i++)
		lane_stop(&s->lane[i]);
	cred_fini(&s->cred);
	env->release(env->ctx, s);
}

static void s3_info(void *handle, struct firn_store_info *info)
{
	const struct s3_store *s = handle;

	info->caps = FIRN_STORE_CAN_PUT_IF_ABSENT | FIRN_STORE_CAN_PUT_IF_MATCH |
	             FIRN_STORE_CAN_LIST | FIRN_STORE_CAN_RANGE | FIRN_STORE_CAN_MULTIPART;
	if (s->config.nested_keys)
		info->caps |= FIRN_STORE_CAN_NESTED_KEYS;
	if (s->config.multipart_conditions)
		info->caps |= FIRN_STORE_CAN_MULTIPART_CONDITIONS;
	info->max_put_bytes = PUT_MAX;
	info->min_part_bytes = PART_MIN;
	info->max_part_bytes = PUT_MAX;
	info->max_parts = PARTS_MAX;
	info->max_in_flight = s->config.connections * S3_N_LANES;
}

static struct s3_lane *lane_of(struct s3_store *s, const struct firn_store_request *req)
{
	int uploads = req->op == FIRN_STORE_PUT || req->op == FIRN_STORE_MULTIPART_PUT;

	return &s->lane[uploads];
}

static void s3_submit(void *handle, struct firn_store_request *req)
{
	lane_submit(lane_of(handle, req), req);
}

static void s3_cancel(void *handle, struct firn_store_request *req)
{
	lane_cancel(lane_of(handle, req), req);
}

const struct firn_store_plugin *s3_store_entry(void)
{
	static const struct firn_store_plugin plugin = {
		.struct_size = (uint32_t)sizeof plugin,
		.abi_major = FIRN_STORE_ABI_MAJOR,
		.abi_minor = FIRN_STORE_ABI_MINOR,
		.name = "s3",
		.open = s3_open,
		.close = s3_close,
		.info = s3_info,
		.submit = s3_submit,
		.cancel = s3_cancel,
	};

	return &plugin;
}
