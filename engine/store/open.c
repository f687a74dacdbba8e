/* Opening and closing a store by URI. */
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/store/fault.h"
#include "engine/store/internal.h"
#include <stdlib.h>

#define DEADLINE_DEFAULT_MS 30000u
#define MS_MAX 3600000u

/* Takes a parameter of ours out of the others: the back end must not stumble over it. NULL: it is not
 * there. */
static const char *take(struct store *s, const char *name)
{
	const char *text = uri_param(&s->uri, name);
	uint32_t i = 0;

	if (!text)
		return NULL;
	while (s->uri.param[i].value != text)
		i++;
	s->uri.n_param--;
	memmove(&s->uri.param[i], &s->uri.param[i + 1],
	        (s->uri.n_param - i) * sizeof s->uri.param[0]);
	return text;
}

static int take_number(struct store *s, const char *name, uint64_t most, uint64_t *value,
                       struct firn_error *err)
{
	const char *text = take(s, name);
	char *end = NULL;

	if (!text)
		return FIRN_OK;
	*value = text[0] >= '0' && text[0] <= '9' ? strtoull(text, &end, 10) : 0;
	if (*value == 0 || *value > most || *end)
		return fail(err, FIRN_EINVAL, 0, "store",
		            "store URI: %s must be a number from 1 to %llu", name,
		            (unsigned long long)most);
	return FIRN_OK;
}

/* In so many words, so that nobody says it by accident. */
static int take_trust(struct store *s, struct firn_error *err)
{
	const char *text = take(s, "exclusive");

	if (text && strcmp(text, "trust-me"))
		return fail(err, FIRN_EINVAL, 0, "store",
		            "store URI: exclusive can only be trust-me");
	if (text)
		s->trusted = FIRN_STORE_CAN_PUT_IF_ABSENT | FIRN_STORE_CAN_PUT_IF_MATCH;
	return FIRN_OK;
}

/* Where nobody says what it costs, only Amazon's own is known to cost something. */
static int take_prices(struct store *s, struct firn_error *err)
{
	const char *text = take(s, "prices");
	int s3 = !strcmp(s->uri.scheme, "s3") || !strcmp(s->uri.scheme, "libs3");

	if (text && meter_prices_parse(text, &s->prices))
		return fail(
		        err, FIRN_EINVAL, 0, "store",
		        "store URI: prices are up to four numbers, such as 0.005,0.0004,0.09,0: "
		        "of 1000 PUTs, of 1000 GETs, of a GiB read, of a GiB written");
	if (!text && s3 && !uri_param(&s->uri, "endpoint"))
		s->prices = meter_prices_s3;
	return FIRN_OK;
}

/* What is between us and any back end. */
static int take_ours(struct store *s, struct firn_error *err)
{
	uint64_t deadline = DEADLINE_DEFAULT_MS, hedge = 0, in_flight = 0, requests = 0, mib = 0;
	int rc = take_number(s, "deadline_ms", MS_MAX, &deadline, err);

	if (rc == FIRN_OK)
		rc = take_number(s, "hedge_ms", MS_MAX, &hedge, err);
	if (rc == FIRN_OK)
		rc = take_number(s, "max_in_flight", 65536, &in_flight, err);
	if (rc == FIRN_OK)
		rc = take_number(s, "requests_per_s", 1000000, &requests, err);
	if (rc == FIRN_OK)
		rc = take_number(s, "mib_per_s", 1000000, &mib, err);
	if (rc == FIRN_OK)
		rc = take_trust(s, err);
	if (rc == FIRN_OK)
		rc = take_prices(s, err);
	s->deadline_ns = deadline * 1000000u;
	s->hedge_ns = hedge * 1000000u;
	s->gate.max_in_flight = (uint32_t)in_flight;
	s->gate.request_ns = requests ? UINT64_C(1000000000) / requests : 0;
	s->gate.mib_ns = mib ? UINT64_C(1000000000) / mib : 0;
	return rc;
}

static int open_backend(struct store *s, struct firn_error *err)
{
	struct firn_error inner = { .struct_size = (uint32_t)sizeof inner };
	struct firn_store_config config = {
		.struct_size = (uint32_t)sizeof config,
		.n_param = s->uri.n_param,
		.host = &s->host,
		.scheme = s->uri.scheme,
		.authority = s->uri.authority,
		.path = s->uri.path,
		.param = s->uri.param,
	};

	s->host.struct_size = (uint32_t)sizeof s->host;
	s->host.abi_major = FIRN_STORE_ABI_MAJOR;
	s->host.abi_minor = FIRN_STORE_ABI_MINOR;
	s->host.env = s->env;
	s->host.complete = slot_complete;
	int rc = s->plugin.open(&config, &s->handle, &inner);

	if (rc == FIRN_OK && s->handle) {
		s->info.struct_size = (uint32_t)sizeof s->info;
		s->plugin.info(s->handle, &s->info);
		s->trusted &= ~s->info.caps; /* what the store can, it does itself */
		return FIRN_OK;
	}
	inner.text[sizeof inner.text - 1] = 0;
	if (rc >= 0) {
		rc = FIRN_ESTORE;
		(void)strcpy(inner.text, "its open() succeeded without a handle");
	}
	(void)fail(err, rc, 0, "store", "%s: %s", s->plugin.name, inner.text);
	if (err)
		err->sys = inner.sys;
	return fail_flags(err, rc, inner.flags);
}

/* What stands in front of the back end's own URI. */
struct wrappers {
	struct fault_script script[FAULT_DEPTH_MAX];
	uint32_t n;
};

/* Cuts wrappers off the URI; the rest is parsed. */
static int parse(struct store *s, const char *uri, struct wrappers *w, struct firn_error *err)
{
	const char *inner = uri;
	int rc = 1;

	for (w->n = 0; rc == 1; w->n += rc == 1) {
		if (w->n == FAULT_DEPTH_MAX && !strncmp(inner, "fault:", 6))
			return fail(err, FIRN_EINVAL, 0, "store",
			            "more than %d times fault:", FAULT_DEPTH_MAX);
		if (w->n == FAULT_DEPTH_MAX)
			break;
		rc = fault_parse(inner, &w->script[w->n], &inner, err);
	}
	size_t len = (size_t)(inner - uri);

	if (rc >= 0 && len > URI_MAX)
		rc = fail(err, FIRN_EINVAL, 0, "store", "a store URI has at most %d bytes",
		          URI_MAX);
	if (rc >= 0)
		rc = uri_parse(inner, &s->uri, err);
	if (rc == FIRN_OK && len + strlen(s->uri.shown) >= sizeof s->uri.shown)
		rc = fail(err, FIRN_EINVAL, 0, "store", "a store URI has at most %d bytes",
		          URI_MAX);
	if (rc == FIRN_OK) {
		memmove(s->uri.shown + len, s->uri.shown, strlen(s->uri.shown) + 1);
		memcpy(s->uri.shown, uri, len);
	}
	return rc == FIRN_OK ? take_ours(s, err) : rc;
}

/* The innermost first. */
static int wrap(struct store *s, const struct wrappers *w, struct firn_error *err)
{
	int rc = FIRN_OK;

	for (uint32_t i = w->n; rc == FIRN_OK && i > 0; i--)
		rc = fault_wrap(s, &w->script[i - 1], err);
	return rc;
}

int store_open(const struct firn_env *env, const char *uri, struct store **out,
               struct firn_error *err)
{
	struct store *s = mem_zalloc(env, sizeof *s);
	struct wrappers wrappers;
	int rc;

	*out = NULL;
	if (!s)
		return fail(err, FIRN_ENOMEM, 0, "store", "no memory to open a store");
	s->env = env;
	rc = parse(s, uri, &wrappers, err);
	if (rc != FIRN_OK)
		goto fail_parse;
	rc = slot_init(s);
	if (rc != FIRN_OK) {
		(void)fail(err, rc, 0, "store", "no memory to open a store");
		goto fail_parse;
	}
	rc = plugin_load(s, err);
	if (rc != FIRN_OK)
		goto fail_load;
	rc = open_backend(s, err);
	if (rc != FIRN_OK)
		goto fail_open;
	rc = wrap(s, &wrappers, err);
	if (rc != FIRN_OK)
		goto fail_wrap;
	rc = slot_start_poller(s);
	if (rc != FIRN_OK) {
		(void)fail(err, rc, 0, "store", "no thread for the store");
		goto fail_wrap;
	}
	*out = s;
	return FIRN_OK;

fail_wrap:
	s->plugin.close(s->handle);
fail_open:
	plugin_unload(s);
fail_load:
	slot_fini(s);
fail_parse:
	mem_free(env, s);
	return rc;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	slot_stop_poller(s);
	/* Where a request was never answered, all that it may still touch stays: the back end's handle,
	 * its code, and this. */
	int drained = slot_drain(s);

	totals_leave(s);
	if (!drained)
		return;
	s->plugin.close(s->handle);
	plugin_unload(s);
	slot_fini(s);
	mem_free(s->env, s);
}

uint64_t store_patience(struct store *s, uint64_t deadline_ns)
{
	uint64_t was = s->deadline_ns;

	s->deadline_ns = deadline_ns;
	return was;
}

uint64_t store_caps(const struct store *s)
{
	return s->info.caps;
}

const char *store_uri_shown(const struct store *s)
{
	return s->uri.shown;
}

void store_meter(struct store *s, struct meter *out)
{
	pthread_mutex_lock(&s->lock);
	*out = s->meter;
	pthread_mutex_unlock(&s->lock);
	out->money = meter_money(out, &s->prices);
}
