/* The chain, and keys that are fetched again before they end. */
#include "backends/s3/cred.h"
#include "engine/base/error.h"
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EARLY_MS = 5 * 60 * 1000, AGAIN_MS = 10 * 1000, JUST_NOW_MS = 1000 };

static int env_copy(char *out, size_t cap, const char *name, struct firn_error *err)
{
	const char *value = getenv(name);
	size_t n = value ? strlen(value) : 0;

	if (n >= cap)
		return fail(err, FIRN_EINVAL, 0, "s3", "%s in the environment is too long", name);
	memcpy(out, value ? value : "", n);
	out[n] = 0;
	return FIRN_OK;
}

static int env_copy_all(struct cred_env *e, struct firn_error *err)
{
	const struct {
		const char *name;
		char *out;
		size_t cap;
	} all[] = {
		{ "AWS_ACCESS_KEY_ID", e->access_key, sizeof e->access_key },
		{ "AWS_SECRET_ACCESS_KEY", e->secret_key, sizeof e->secret_key },
		{ "AWS_SESSION_TOKEN", e->token, sizeof e->token },
		{ "AWS_REGION", e->region, sizeof e->region },
		{ "AWS_PROFILE", e->profile, sizeof e->profile },
		{ "AWS_SHARED_CREDENTIALS_FILE", e->credentials_file, sizeof e->credentials_file },
		{ "AWS_CONFIG_FILE", e->config_file, sizeof e->config_file },
		{ "AWS_CONTAINER_AUTHORIZATION_TOKEN", e->container_token,
		  sizeof e->container_token },
		{ "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", e->container_token_file,
		  sizeof e->container_token_file },
		{ "AWS_CONTAINER_CREDENTIALS_FULL_URI", e->container_url, sizeof e->container_url },
		{ "AWS_EC2_METADATA_SERVICE_ENDPOINT", e->instance_url, sizeof e->instance_url },
	};
	int rc = FIRN_OK;

	for (size_t i = 0; rc == FIRN_OK && i < sizeof all / sizeof all[0]; i++)
		rc = env_copy(all[i].out, all[i].cap, all[i].name, err);
	if (rc == FIRN_OK && !e->region[0])
		rc = env_copy(e->region, sizeof e->region, "AWS_DEFAULT_REGION", err);
	return rc;
}

/* What a variable that is not set means. */
static void env_defaults(struct cred_env *e)
{
	const char *home = getenv("HOME"), *relative, *off;

	if (home && home[0] == '/' && strlen(home) < CRED_PATH_ROOM - 32) {
		if (!e->credentials_file[0])
			(void)snprintf(e->credentials_file, CRED_PATH_ROOM, "%s/.aws/credentials",
			               home);
		if (!e->config_file[0])
			(void)snprintf(e->config_file, CRED_PATH_ROOM, "%s/.aws/config", home);
	}
	relative = getenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
	if (relative && relative[0] == '/')
		(void)snprintf(e->container_url, CRED_PATH_ROOM, "http://169.254.170.2%.900s",
		               relative);
	off = getenv("AWS_EC2_METADATA_DISABLED");
	if (off && !strcmp(off, "true"))
		e->instance_url[0] = 0;
	else if (!e->instance_url[0])
		(void)strcpy(e->instance_url, "http://169.254.169.254");
}

static int cred_env_read(struct cred_env *e, struct firn_error *err)
{
	int rc = env_copy_all(e, err);

	if (rc == FIRN_OK)
		env_defaults(e);
	return rc;
}

static int choose_env(struct cred *c, struct firn_error *err)
{
	const struct cred_env *e = &c->from;

	if (!e->access_key[0] != !e->secret_key[0])
		return fail(err, FIRN_EINVAL, 0, "s3",
		            "only one of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY is set");
	if (!e->access_key[0])
		return FIRN_OK;
	(void)strcpy(c->keys.access_key, e->access_key);
	(void)strcpy(c->keys.secret_key, e->secret_key);
	(void)strcpy(c->keys.token, e->token);
	c->source = CRED_ENV;
	return FIRN_OK;
}

static int choose_file(struct cred *c, int wanted, struct firn_error *err)
{
	int rc = cred_file_profile(&c->from, &c->keys, c->from.region, sizeof c->from.region, err);

	if (rc < 0)
		return rc;
	if (rc == 0)
		c->source = CRED_FILE;
	else if (wanted)
		return fail(err, FIRN_EINVAL, 0, "s3",
		            "no profile `%.64s` with an access key in the credentials and config "
		            "files",
		            c->from.profile);
	return FIRN_OK;
}

int cred_init(struct cred *c, const struct firn_env *env, const char *profile,
              struct firn_error *err)
{
	int named, rc;

	memset(c, 0, sizeof *c);
	c->env = env;
	rc = cred_env_read(&c->from, err);
	if (profile[0])
		(void)snprintf(c->from.profile, sizeof c->from.profile, "%s", profile);
	named = c->from.profile[0] != 0;
	if (!named)
		(void)strcpy(c->from.profile, "default");
	if (rc == FIRN_OK && !profile[0])
		rc = choose_env(c, err);
	if (rc == FIRN_OK && c->source == CRED_NONE)
		rc = choose_file(c, named, err);
	if (rc == FIRN_OK && c->source == CRED_NONE && c->from.container_url[0])
		c->source = CRED_CONTAINER;
	if (rc == FIRN_OK && c->source == CRED_NONE && c->from.instance_url[0])
		c->source = CRED_INSTANCE;
	if (rc == FIRN_OK && pthread_mutex_init(&c->lock, NULL))
		rc = fail(err, FIRN_ENOMEM, 0, "s3", "no memory for a lock");
	if (rc == FIRN_OK && pthread_mutex_init(&c->fetching, NULL)) {
		pthread_mutex_destroy(&c->lock);
		rc = fail(err, FIRN_ENOMEM, 0, "s3", "no memory for a lock");
	}
	if (rc != FIRN_OK)
		OPENSSL_cleanse(c, sizeof *c);
	return rc;
}

void cred_fini(struct cred *c)
{
	pthread_mutex_destroy(&c->fetching);
	pthread_mutex_destroy(&c->lock);
	OPENSSL_cleanse(c, sizeof *c);
}

static int fetch(const struct cred *c, struct cred_keys *keys, struct firn_error *err)
{
	char region[64] = "";
	int rc;

	if (c->source == CRED_CONTAINER)
		return cred_web_container(&c->from, keys, err);
	if (c->source == CRED_INSTANCE)
		return cred_web_instance(&c->from, keys, err);
	rc = cred_file_profile(&c->from, keys, region, sizeof region, err);
	return rc <= 0 ? rc
	               : fail(err, FIRN_EINVAL, 0, "s3",
	                      "the profile `%.64s` has gone from the credentials file",
	                      c->from.profile);
}

/* 0: good; 1: good, but better fetch others soon; 2: not to be used. With `lock`. */
static int age_locked(const struct cred *c, int64_t now)
{
	if (!c->keys.access_key[0])
		return 2;
	if (c->stale && now - c->tried_ms >= AGAIN_MS)
		return 1;
	if (!c->keys.ends_ms)
		return 0;
	if (now >= c->keys.ends_ms)
		return 2;
	return c->keys.ends_ms - now < EARLY_MS && now - c->tried_ms >= AGAIN_MS ? 1 : 0;
}

static int age(struct cred *c, struct cred_keys *out)
{
	int64_t now = c->env->now_ms(c->env->ctx);

	pthread_mutex_lock(&c->lock);
	int how = age_locked(c, now);

	*out = c->keys;
	pthread_mutex_unlock(&c->lock);
	return how;
}

/* With `fetching` held. What was there stays when nothing comes. */
static int renew(struct cred *c, struct firn_error *err)
{
	struct cred_keys keys;
	int64_t now = c->env->now_ms(c->env->ctx);

	memset(&keys, 0, sizeof keys);
	int rc = fetch(c, &keys, err);

	pthread_mutex_lock(&c->lock);
	c->tried_ms = now;
	c->stale = 0;
	if (rc == FIRN_OK)
		c->keys = keys;
	pthread_mutex_unlock(&c->lock);
	OPENSSL_cleanse(&keys, sizeof keys);
	return rc;
}

static int tried_just_now(struct cred *c)
{
	int64_t now = c->env->now_ms(c->env->ctx);

	pthread_mutex_lock(&c->lock);
	int64_t since = now - c->tried_ms;

	pthread_mutex_unlock(&c->lock);
	return since >= 0 && since < JUST_NOW_MS;
}

int cred_get(struct cred *c, struct cred_keys *out, struct firn_error *err)
{
	int how = age(c, out), rc = FIRN_OK;

	if (how == 0)
		return FIRN_OK;
	if (c->source == CRED_NONE)
		return fail(err, FIRN_EINVAL, 0, "s3",
		            "no access key: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
		            "write them to ~/.aws/credentials");
	if (how == 1 && pthread_mutex_trylock(&c->fetching))
		return FIRN_OK; /* another lane is asking already */
	if (how == 2)
		pthread_mutex_lock(&c->fetching);
	how = age(c, out);
	if (how == 2 && tried_just_now(c)) /* those who queued here need not each find out */
		rc = fail_flags(err,
		                fail(err, FIRN_ESTORE, 0, "s3",
		                     "no credentials: their endpoint failed a moment ago"),
		                FIRN_ERR_RETRY);
	else if (how != 0)
		rc = renew(c, err);
	pthread_mutex_unlock(&c->fetching);
	/* An endpoint that fails while the old ones still serve is no failure. */
	return age(c, out) != 2 ? FIRN_OK : rc;
}

int cred_refused(struct cred *c)
{
	pthread_mutex_lock(&c->lock);
	c->stale = c->source > CRED_ENV;
	int can = c->stale;

	pthread_mutex_unlock(&c->lock);
	return can;
}

static void hide(char *text, const char *secret)
{
	size_t n = strlen(secret);

	if (n < 4)
		return;
	for (char *p = strstr(text, secret); p; p = strstr(p, secret)) {
		memcpy(p, "***", 3);
		memmove(p + 3, p + n, strlen(p + n) + 1);
		p += 3;
	}
}

void cred_scrub(const struct cred *c, char *text)
{
	struct cred *m = (struct cred *)(uintptr_t)c;

	pthread_mutex_lock(&m->lock);
	hide(text, c->keys.secret_key);
	hide(text, c->keys.access_key);
	if (c->keys.token[0])
		hide(text, c->keys.token);
	pthread_mutex_unlock(&m->lock);
}
