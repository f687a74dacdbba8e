#include "backends/file/file_store.h"
#include "engine/store/builtin.h"
#include "engine/store/key.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { THREADS_DEFAULT = 3 };

/* On a thread of the pool. */
static void perform(void *arg, struct firn_store_request *req)
{
	struct file_store *s = arg;
	/* The host has checked the key; here it becomes a path, so it is checked again. */
	const char *wrong = req->op == FIRN_STORE_LIST ? key_check_prefix(req->prefix)
	                                               : key_check(req->key);

	if (wrong)
		firn_store_set_error(req, FIRN_STORE_PERMANENT, FIRN_EINVAL, 0, wrong);
	else if (req->op == FIRN_STORE_PUT)
		file_put(s, req);
	else if (req->op == FIRN_STORE_GET || req->op == FIRN_STORE_STAT)
		file_get(s, req);
	else if (req->op == FIRN_STORE_DELETE)
		file_delete(s, req);
	else if (req->op == FIRN_STORE_LIST)
		file_list(s, req);
	else
		firn_store_set_error(req, FIRN_STORE_PERMANENT, FIRN_EUNSUPPORTED, 0,
		                     "file: has no multipart uploads");
}

static int open_error(struct firn_error *err, int code, int sys, const char *text)
{
	if (err) {
		char reason[96];

		err->code = code;
		err->sys = sys;
		(void)snprintf(err->text, sizeof err->text, "%s%s%s", text, sys ? ": " : "",
		               sys ? strerror_r(sys, reason, sizeof reason) : "");
	}
	return code;
}

static int check_path(const struct firn_store_config *config, struct firn_error *err)
{
	const char *path = config->path;

	if (config->authority[0] && strcmp(config->authority, "localhost"))
		return open_error(err, FIRN_EINVAL, 0,
		                  "file: names no host; write file:///path with three slashes");
	if (path[0] != '/')
		return open_error(err, FIRN_EINVAL, 0,
		                  "file: needs an absolute path, file:///path");
	for (const char *p = path; p; p = strchr(p + 1, '/')) {
		size_t n = strcspn(p + 1, "/");

		if ((n == 1 && p[1] == '.') || (n == 2 && p[1] == '.' && p[2] == '.'))
			return open_error(err, FIRN_EINVAL, 0,
			                  "file: the path has a . or .. in it");
	}
	return FIRN_OK;
}

static int read_params(const struct firn_store_config *config, uint32_t *n_threads,
                       struct firn_error *err)
{
	*n_threads = THREADS_DEFAULT;
	for (uint32_t i = 0; i < config->n_param; i++) {
		char *end = NULL;

		if (strcmp(config->param[i].name, "threads"))
			return open_error(err, FIRN_EINVAL, 0,
			                  "file: knows no such parameter; there is threads=N");
		unsigned long n = strtoul(config->param[i].value, &end, 10);

		if (n < 1 || n > FILE_THREADS_MAX || *end)
			return open_error(err, FIRN_EINVAL, 0, "file: threads is 1 to 16");
		*n_threads = (uint32_t)n;
	}
	return FIRN_OK;
}

static int file_open(const struct firn_store_config *config, void **handle, struct firn_error *err)
{
	const struct firn_env *env = config->host->env;
	uint32_t n_threads = 0;
	int rc = check_path(config, err);

	if (rc == FIRN_OK)
		rc = read_params(config, &n_threads, err);
	if (rc != FIRN_OK)
		return rc;
	struct file_store *s = env->alloc(env->ctx, sizeof *s, 16);

	if (!s)
		return open_error(err, FIRN_ENOMEM, 0, "no memory");
	memset(s, 0, sizeof *s);
	s->host = config->host;
	rc = path_make_root(config->path, &s->root);
	if (rc < 0) {
		env->release(env->ctx, s);
		if (rc == -ENOSPC || rc == -EDQUOT)
			return open_error(err, FIRN_ENOSPC, -rc, "creating the store's directory");
		if (rc == -EACCES || rc == -EROFS || rc == -EPERM)
			return open_error(err, FIRN_EREADONLY, -rc,
			                  "creating the store's directory");
		if (rc == -EMFILE || rc == -ENFILE || rc == -ENOMEM)
			return open_error(err, FIRN_ENOMEM, -rc, "opening the store's directory");
		return open_error(err, FIRN_EIO, -rc, "opening the store's directory");
	}
	if (pthread_mutex_init(&s->lock, NULL))
		goto fail_lock;
	if (pool_start(&s->pool, n_threads, perform, s))
		goto fail_pool;
	*handle = s;
	return FIRN_OK;

fail_pool:
	pthread_mutex_destroy(&s->lock);
fail_lock:
	(void)close(s->root);
	env->release(env->ctx, s);
	return open_error(err, FIRN_ENOMEM, 0, "no threads for the store");
}

static void file_close(void *handle)
{
	struct file_store *s = handle;
	const struct firn_env *env = s->host->env;

	pool_stop(&s->pool);
	pthread_mutex_destroy(&s->lock);
	(void)close(s->root);
	env->release(env->ctx, s);
}

static void file_info(void *handle, struct firn_store_info *info)
{
	struct file_store *s = handle;

	info->caps = FIRN_STORE_CAN_PUT_IF_ABSENT | FIRN_STORE_CAN_PUT_IF_MATCH |
	             FIRN_STORE_CAN_LIST | FIRN_STORE_CAN_RANGE;
	info->max_in_flight = s->pool.n_threads;
}

static void file_submit(void *handle, struct firn_store_request *req)
{
	struct file_store *s = handle;

	pool_submit(&s->pool, req);
}

static void file_cancel(void *handle, struct firn_store_request *req)
{
	struct file_store *s = handle;

	pool_cancel(&s->pool, req);
}

const struct firn_store_plugin *file_store_entry(void)
{
	static const struct firn_store_plugin plugin = {
		.struct_size = (uint32_t)sizeof plugin,
		.abi_major = FIRN_STORE_ABI_MAJOR,
		.abi_minor = FIRN_STORE_ABI_MINOR,
		.name = "file",
		.open = file_open,
		.close = file_close,
		.info = file_info,
		.submit = file_submit,
		.cancel = file_cancel,
	};

	return &plugin;
}
