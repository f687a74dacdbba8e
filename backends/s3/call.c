/* A request in flight: from the verb's question to an answer. Calls are kept by their lane and used
 * again, easy handle and all. */
#include "backends/s3/s3_store.h"
#include "engine/store/key.h"
#include <stdio.h>
#include <strings.h>

struct verb {
	void (*ask)(struct s3_call *c);
	int (*answer)(struct s3_call *c);
};

static const struct verb *verb_of(uint32_t op)
{
	static const struct verb verbs[] = {
		[FIRN_STORE_PUT] = { put_ask, put_answer },
		[FIRN_STORE_GET] = { get_ask, get_answer },
		[FIRN_STORE_STAT] = { get_ask, get_answer },
		[FIRN_STORE_LIST] = { list_ask, list_answer },
		[FIRN_STORE_DELETE] = { delete_ask, delete_answer },
		[FIRN_STORE_MULTIPART_BEGIN] = { multipart_ask, multipart_answer },
		[FIRN_STORE_MULTIPART_PUT] = { multipart_ask, multipart_answer },
		[FIRN_STORE_MULTIPART_COMMIT] = { multipart_ask, multipart_answer },
		[FIRN_STORE_MULTIPART_ABORT] = { multipart_ask, multipart_answer },
	};

	return op && op < sizeof verbs / sizeof verbs[0] ? &verbs[op] : NULL;
}

int call_writes(const struct s3_call *c)
{
	return c->req->op != FIRN_STORE_GET && c->req->op != FIRN_STORE_STAT &&
	       c->req->op != FIRN_STORE_LIST;
}

struct s3_call *call_new(struct s3_lane *lane)
{
	const struct firn_env *env = lane->store->host->env;
	struct s3_call *c = env->alloc(env->ctx, sizeof *c, 16);

	if (!c)
		return NULL;
	memset(c, 0, sizeof *c);
	c->lane = lane;
	c->easy = curl_easy_init();
	if (!c->easy) {
		env->release(env->ctx, c);
		return NULL;
	}
	return c;
}

/* Ready for another step or another request; connections live in the multi and stay. */
void call_reset(struct s3_call *c)
{
	const struct firn_env *env = c->lane->store->host->env;

	curl_easy_reset(c->easy);
	curl_slist_free_all(c->slist);
	xml_free(c->xml);
	env->release(env->ctx, c->text);
	c->slist = NULL;
	c->xml = NULL;
	c->text = NULL;
	c->query[0] = c->key[0] = c->curl_text[0] = 0;
	c->n_header = c->body_is_iov = c->sends_twice_badly = 0;
	c->body_len = c->sent = c->iov_pos = c->body_got = 0;
	c->iov_at = c->bad_answer = c->is_truncated = c->is_past = c->has_size = 0;
	c->status = 0;
	memset(&c->head, 0, sizeof c->head);
	c->head.date = c->head.last_modified = -1;
}

void call_free(struct s3_call *c)
{
	const struct firn_env *env = c->lane->store->host->env;

	call_reset(c);
	curl_easy_cleanup(c->easy);
	env->release(env->ctx, c);
}

/* XML has no U+FFFE and U+FFFF: such a key could be put, but never listed. */
static const char *cannot_take(const char *key)
{
	const char *wrong = key_check(key);

	if (!wrong && (strstr(key, "\xef\xbf\xbe") || strstr(key, "\xef\xbf\xbf")))
		wrong = "s3: a key with a noncharacter (U+FFFE, U+FFFF) cannot be listed";
	return wrong;
}

static int refused(struct s3_call *c)
{
	struct firn_store_request *req = c->req;
	const char *wrong = req->op == FIRN_STORE_LIST ? key_check_prefix(req->prefix)
	                                               : cannot_take(req->key);
	int conditional = req->op == FIRN_STORE_MULTIPART_COMMIT && req->condition;

	if (!verb_of(req->op))
		firn_store_set_error(req, FIRN_STORE_PERMANENT, FIRN_EUNSUPPORTED, 0,
		                     "s3: no such request");
	else if (wrong)
		firn_store_set_error(req, FIRN_STORE_PERMANENT, FIRN_EINVAL, 0, wrong);
	else if (conditional && !c->lane->store->config.multipart_conditions)
		firn_store_set_error(req, FIRN_STORE_PERMANENT, FIRN_EUNSUPPORTED, 0,
		                     "s3: conditions on a multipart commit need "
		                     "multipart_conditions=yes in the URI");
	else if (req->condition == FIRN_STORE_IF_MATCH && !put_is_etag(req->match))
		firn_store_set_error(req, FIRN_STORE_PERMANENT, FIRN_ECONFLICT, 0,
		                     "no object has such a version");
	else
		return 0;
	return 1;
}

int call_start(struct s3_call *c)
{
	call_reset(c);
	if (refused(c))
		return 1;
	if (c->req->op != FIRN_STORE_LIST)
		(void)snprintf(c->key, sizeof c->key, "%s%s", c->lane->store->config.prefix,
		               c->req->key);
	verb_of(c->req->op)->ask(c);
	/* A verb that has no memory for its body has answered. */
	return c->req->outcome != FIRN_STORE_DONE || http_prepare(c);
}

int call_end(struct s3_call *c, CURLcode result)
{
	(void)curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &c->status);
	if (result != CURLE_OK &&
	    !(c->status == 200 && c->req->op == FIRN_STORE_GET && c->body_got == c->req->len)) {
		answer_curl(c, result);
		return 1;
	}
	if (c->xml && c->status / 100 == 2 && (c->bad_answer || xml_end(c->xml))) {
		answer_nonsense(c, "the server's answer is not the XML that it should be");
		return 1;
	}
	if (c->status == 416 && c->req->op == FIRN_STORE_GET)
		return get_past_the_end(c);
	/* A commit answers 200 before it knows, and says in the body that it failed. */
	if (c->status / 100 != 2 || (c->xml && !strcmp(xml_root(c->xml), "Error"))) {
		answer_status(c);
		if (c->req->op == FIRN_STORE_LIST)
			list_failed(c);
		return 1;
	}
	return verb_of(c->req->op)->answer(c);
}

/* Before anything was sent it did not happen; afterwards a write may have. */
void call_cancelled(struct s3_call *c)
{
	curl_off_t us = 0;

	(void)curl_easy_getinfo(c->easy, CURLINFO_PRETRANSFER_TIME_T, &us);
	if (us > 0 && call_writes(c))
		firn_store_set_error(c->req, FIRN_STORE_AMBIGUOUS, FIRN_ESTORE, 0,
		                     "cancelled before the server answered");
	else
		firn_store_set_error(c->req, FIRN_STORE_PERMANENT, FIRN_ECANCELED, 0, "cancelled");
}
