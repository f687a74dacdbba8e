#include "tests/sim/store.h"
#include "tests/sim/gate.h"
#include <firn/store.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HIDDEN_MOST = 8 };

struct object {
	char *key;
	uint8_t *data;
	size_t len;
	uint64_t version, n_put;
	bool shared; /* data belongs to a remembered state too */
};

struct bucket {
	struct object *object;
	size_t n, cap;
};

static struct {
	struct bucket now, then, kept;
	bool has_then;
	uint64_t version, outage_until, n_put;
	uint32_t ignores;    /* conditions, 1 << FIRN_STORE_IF_... */
	uint64_t part_until; /* an outage of some keys */
	char part[32];
	uint32_t n_hidden, hidden_from;
	char hidden[HIDDEN_MOST][64];
	struct {
		uint64_t until;
		enum store_cut how;
	} cut[NODES_MOST];
} store;

/* What travels: the request by value, so that it outlives who asked. */
struct call {
	struct call *next;
	struct opened *from;
	struct firn_store_request *req; /* NULL: nobody waits any more */
	uint32_t process, op, condition;
	char key[FIRN_STORE_KEY_MAX + 1], start_after[FIRN_STORE_KEY_MAX + 1];
	struct firn_store_version match;
	uint8_t *data;
	size_t len;
	/* the answer */
	uint32_t outcome;
	int32_t code;
	uint32_t retry_after_ms;
	const char *text;
	uint64_t size, version;
	uint8_t *got;
	size_t got_len;
	bool found;
};

struct opened {
	const struct firn_store_host *host;
	struct call *done_first, *done_last;
	uint32_t process;
};

void store_outage(uint64_t until_ns)
{
	store.outage_until = until_ns;
}

void store_outage_of(const char *prefix, uint64_t until_ns)
{
	(void)snprintf(store.part, sizeof store.part, "%s", prefix ? prefix : "");
	store.part_until = prefix ? until_ns : 0;
}

void store_hide(uint32_t node, const char *prefix)
{
	store.hidden_from = node;
	if (!prefix)
		store.n_hidden = 0;
	else if (store.n_hidden < HIDDEN_MOST)
		(void)snprintf(store.hidden[store.n_hidden++], sizeof store.hidden[0], "%s",
		               prefix);
}

void store_cut(uint32_t node, enum store_cut how, uint64_t until_ns)
{
	store.cut[node].how = how;
	store.cut[node].until = until_ns;
}

uint64_t store_puts(void)
{
	return store.n_put;
}

uint64_t store_objects(const char *prefix)
{
	uint64_t n = 0;
	for (size_t i = 0; i < store.now.n; i++)
		n += !strncmp(store.now.object[i].key, prefix, strlen(prefix));
	return n;
}

uint64_t store_holders(const void *bytes, size_t len)
{
	uint64_t n = 0;
	for (size_t i = 0; i < store.now.n; i++) {
		const struct object *o = &store.now.object[i];
		n += o->len && memmem(o->data, o->len, bytes, len) != NULL;
	}
	return n;
}

uint64_t store_puts_to(const char *prefix)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < store.now.n; i++)
		if (!strncmp(store.now.object[i].key, prefix, strlen(prefix)))
			sum += store.now.object[i].n_put;
	return sum;
}

bool store_lose(const char *prefix, uint32_t number)
{
	for (size_t i = 0; i < store.now.n; i++) {
		if (strncmp(store.now.object[i].key, prefix, strlen(prefix)) || number--)
			continue;
		store.now.n--;
		memmove(&store.now.object[i], &store.now.object[i + 1],
		        (store.now.n - i) * sizeof *store.now.object);
		return true;
	}
	return false;
}

void store_ignores(uint32_t conditions)
{
	store.ignores = conditions;
}

/* Objects are shared between states: their bytes stay as long as the world. */
static void bucket_copy(struct bucket *to, struct bucket *from)
{
	if (to->cap < from->n + 1) {
		to->cap = from->n + 64;
		to->object = realloc(to->object, to->cap * sizeof *to->object);
	}
	for (size_t i = 0; i < from->n; i++) {
		from->object[i].shared = true;
		to->object[i] = from->object[i];
	}
	to->n = from->n;
}

void store_remember(void)
{
	bucket_copy(&store.then, &store.now);
	store.has_then = true;
}

bool store_roll_back(void)
{
	if (store.has_then)
		bucket_copy(&store.now, &store.then);
	return store.has_then;
}

void store_push(void)
{
	bucket_copy(&store.kept, &store.now);
}

void store_pop(void)
{
	bucket_copy(&store.now, &store.kept);
}

static size_t find(const char *key, bool *there)
{
	const struct bucket *b = &store.now;
	size_t lo = 0, hi = b->n;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (strcmp(b->object[mid].key, key) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	*there = lo < b->n && !strcmp(b->object[lo].key, key);
	return lo;
}

uint8_t *store_bytes(const char *key, size_t *len)
{
	bool there;
	struct object *o = &store.now.object[find(key, &there)];
	if (!there)
		return NULL;
	uint8_t *own = malloc(o->len + 1);
	memcpy(own, o->data, o->len);
	o->data = own;
	o->shared = false;
	*len = o->len;
	return own;
}

static void version_put(uint64_t n, struct firn_store_version *v)
{
	v->len = (uint32_t)snprintf(v->text, sizeof v->text, "v%llu", (unsigned long long)n);
}

static bool condition_holds(struct call *c, const struct object *o)
{
	struct firn_store_version v;
	if (store.ignores & 1u << c->condition)
		return true;
	if (c->condition == FIRN_STORE_IF_ABSENT)
		return !o;
	if (c->condition != FIRN_STORE_IF_MATCH)
		return true;
	if (!o)
		return false;
	version_put(o->version, &v);
	return v.len == c->match.len && !memcmp(v.text, c->match.text, v.len);
}

static void refuse(struct call *c, int code, const char *text)
{
	c->outcome = FIRN_STORE_PERMANENT;
	c->code = code;
	c->text = text;
}

static void put(struct call *c)
{
	bool there;
	size_t at = find(c->key, &there);
	struct bucket *b = &store.now;
	if (!condition_holds(c, there ? &b->object[at] : NULL)) {
		refuse(c, there ? FIRN_ECONFLICT : FIRN_ENOENT, "condition");
		return;
	}
	if (!there) {
		if (b->n == b->cap) {
			b->cap = b->cap ? 2 * b->cap : 64;
			b->object = realloc(b->object, b->cap * sizeof *b->object);
		}
		memmove(&b->object[at + 1], &b->object[at], (b->n - at) * sizeof *b->object);
		b->n++;
		b->object[at] = (struct object){ .key = strdup(c->key), .shared = true };
	}
	struct object *o = &b->object[at];
	if (!o->shared)
		free(o->data);
	o->data = malloc(c->len + 1);
	memcpy(o->data, c->data, c->len);
	o->len = c->len;
	o->shared = false;
	o->version = c->version = ++store.version;
	o->n_put++;
	store.n_put++;
}

static void happen(struct call *c)
{
	bool there;
	size_t at = find(c->key, &there);
	const struct object *o = there ? &store.now.object[at] : NULL;
	c->outcome = FIRN_STORE_DONE;
	c->code = 0;
	switch (c->op) {
	case FIRN_STORE_PUT:
		put(c);
		return;
	case FIRN_STORE_GET:
	case FIRN_STORE_STAT:
		if (!o) {
			refuse(c, FIRN_ENOENT, "no such key");
			return;
		}
		c->size = o->len;
		c->version = o->version;
		c->got = malloc(o->len + 1);
		memcpy(c->got, o->data, o->len);
		c->got_len = o->len;
		return;
	case FIRN_STORE_DELETE:
		if (o) {
			store.now.n--;
			memmove(&store.now.object[at], &store.now.object[at + 1],
			        (store.now.n - at) * sizeof *store.now.object);
		}
		return;
	case FIRN_STORE_LIST:
		return; /* when it is answered */
	default:
		refuse(c, FIRN_EUNSUPPORTED, "no multipart uploads");
	}
}

static void not_done(struct call *c, uint32_t outcome, uint32_t retry_after_ms, const char *text)
{
	c->outcome = outcome;
	c->code = FIRN_ESTORE;
	c->retry_after_ms = retry_after_ms;
	c->text = text;
}

static void answer(struct call *c)
{
	struct opened *from = c->from;
	if (!c->req)
		return;
	c->next = NULL;
	if (from->done_last)
		from->done_last->next = c;
	else
		from->done_first = c;
	from->done_last = c;
	sched_wake(from, 1);
}

/* Of which nobody waits for an answer. */
static struct call *twin_of(const struct call *c)
{
	struct call *twin = malloc(sizeof *twin);
	*twin = *c;
	twin->req = NULL;
	twin->data = malloc(c->len + 1);
	if (c->len)
		memcpy(twin->data, c->data, c->len);
	return twin;
}

/* Told as lost now; happens when `gate` opens, or some time later. */
static void late(struct call *c, struct gate *gate)
{
	struct call *twin = twin_of(c);
	not_done(c, FIRN_STORE_AMBIGUOUS, 0, "no answer");
	answer(c);
	if (gate)
		gate_pass(gate);
	else
		sched_sleep(rng_below(&W.rng, 5000000000));
	happen(twin);
	sim_trace("store: a late %s of %s: %s", twin->op == FIRN_STORE_PUT ? "PUT" : "request",
	          twin->key, twin->outcome == FIRN_STORE_DONE ? "done" : "refused");
}

/* What a script wants of this request; true: it is answered. */
static bool scripted(struct call *c)
{
	struct gate *gate = NULL;
	enum gate_how how = GATE_PASS;
	if (c->op == FIRN_STORE_PUT || c->op == FIRN_STORE_GET)
		how = gate_at(c->op == FIRN_STORE_PUT ? GATE_PUT : GATE_GET, c->key, &gate);
	switch (how) {
	case GATE_LATE:
		late(c, gate);
		return true;
	case GATE_DONE_LOST:
	case GATE_LOST:
		if (how == GATE_DONE_LOST)
			happen(c);
		not_done(c, FIRN_STORE_AMBIGUOUS, 0, "no answer");
		break;
	case GATE_FAIL:
		not_done(c, FIRN_STORE_RETRY, 0, "503");
		break;
	default:
		gate_pass(gate);
		return false;
	}
	answer(c);
	return true;
}

static bool is_hidden(const struct call *c)
{
	bool is = false;
	for (uint32_t i = 0; i < store.n_hidden && c->process / 1000 == store.hidden_from + 1; i++)
		is |= !strncmp(c->key, store.hidden[i], strlen(store.hidden[i]));
	return is;
}

static bool away(const struct call *c)
{
	return is_hidden(c) || store.outage_until > sched_now() ||
	       (store.part_until > sched_now() && !strncmp(c->key, store.part, strlen(store.part)));
}

static bool is_cut(const struct call *c)
{
	uint32_t node = c->process / 1000 - 1;
	return node < NODES_MOST && store.cut[node].until > sched_now();
}

/* Stands in a buffer until the network is whole again, and arrives when who sent it has given up long ago. */
static void arrive_behind(void *arg)
{
	struct call *c = arg;
	while (is_cut(c))
		sched_sleep(1 + rng_below(&W.rng, 1000000000));
	sched_sleep(1 + rng_below(&W.rng, 2000000000));
	happen(c);
	sim_trace("store: a request for %s arrives behind the partition: %s", c->key,
	          c->outcome == FIRN_STORE_DONE ? "done" : "refused");
}

/* True: the node was cut off, and is told that no answer came. */
static bool partitioned(struct call *c)
{
	if (!is_cut(c))
		return false;
	bool arrives = store.cut[c->process / 1000 - 1].how == STORE_CUT_ANSWERS;
	if (arrives) {
		happen(c);
	} else if (c->op == FIRN_STORE_PUT && fault_strikes(FAULT_STORE_LATE, 8)) {
		struct call *twin = twin_of(c);
		(void)sched_spawn(0, "request", arrive_behind, twin);
	}
	sched_sleep(rng_below(&W.rng, 3000000000));
	not_done(c, FIRN_STORE_AMBIGUOUS, 0, "no answer");
	answer(c);
	return true;
}

/* A request on its way: a fibre of the world's, which goes on when the process that asked is dead. */
static void travel(void *arg)
{
	struct call *c = arg;
	sched_sleep(100000 + rng_below(&W.rng, 3000000));
	if (scripted(c) || partitioned(c))
		return;
	if (away(c)) {
		sched_sleep(rng_below(&W.rng, 2000000000));
		if (away(c)) {
			not_done(c, rng_one_in(&W.rng, 2) ? FIRN_STORE_RETRY : FIRN_STORE_AMBIGUOUS,
			         0, "the store is away");
			answer(c);
			return;
		}
	}
	if (fault_strikes(FAULT_STORE_RETRY, 60)) {
		not_done(c, FIRN_STORE_RETRY, 0, "503");
		answer(c);
		return;
	}
	if (fault_strikes(FAULT_STORE_THROTTLED, 100)) {
		not_done(c, FIRN_STORE_THROTTLED, (uint32_t)rng_below(&W.rng, 500), "slow down");
		answer(c);
		return;
	}
	if (fault_strikes(FAULT_STORE_LOST, 40)) {
		uint32_t how = (uint32_t)rng_below(&W.rng, 3);
		if (how == 2 && fault_strikes(FAULT_STORE_LATE, 1)) {
			late(c, NULL);
			return;
		}
		if (how == 1)
			happen(c);
		not_done(c, FIRN_STORE_AMBIGUOUS, 0, "no answer");
		answer(c);
		return;
	}
	happen(c);
	bool twice = c->op == FIRN_STORE_PUT && fault_strikes(FAULT_STORE_TWICE, 60);
	struct call twin = *c;
	answer(c);
	if (twice) { /* its data lives until the answer is taken: at once, or never (the process died) */
		happen(&twin);
	}
}

static void list(struct firn_store_request *req)
{
	size_t len = strlen(req->prefix);
	for (size_t i = 0; i < store.now.n; i++) {
		const struct object *o = &store.now.object[i];
		if (strncmp(o->key, req->prefix, len) || strcmp(o->key, req->start_after) <= 0)
			continue;
		if (firn_store_page_add(req->page, o->key, strlen(o->key), o->len, 0))
			return;
	}
}

/* In the process that asked: what came back is copied to where it wants it. */
static void deliver(struct call *c)
{
	struct firn_store_request *req = c->req;
	if (c->outcome == FIRN_STORE_DONE) {
		req->size = c->size;
		if (c->version)
			version_put(c->version, &req->version);
		size_t pos = req->pos < c->got_len ? (size_t)req->pos : c->got_len;
		for (uint32_t i = 0; req->op == FIRN_STORE_GET && i < req->n_iov; i++) {
			size_t n = req->iov[i].iov_len < c->got_len - pos ? req->iov[i].iov_len
			                                                  : c->got_len - pos;
			if (n)
				memcpy(req->iov[i].iov_base, c->got + pos, n);
			pos += n;
			req->got += n;
		}
		if (req->op == FIRN_STORE_LIST)
			list(req);
	} else {
		firn_store_set_error(req, c->outcome, c->code, 0, c->text);
		req->error->retry_after_ms = c->retry_after_ms;
	}
	free(c->got);
	firn_store_complete(req);
}

static void s_submit(void *handle, struct firn_store_request *req)
{
	struct opened *o = handle;
	struct call *c = calloc(1, sizeof *c);
	c->from = o;
	c->req = req;
	c->process = sched_process();
	c->op = req->op;
	c->condition = req->condition;
	if (req->key)
		(void)snprintf(c->key, sizeof c->key, "%s", req->key);
	if (req->match)
		c->match = *req->match;
	if (req->op == FIRN_STORE_PUT) {
		c->data = malloc((size_t)req->len + 1);
		for (uint32_t i = 0; i < req->n_iov; i++) {
			if (req->iov[i].iov_len)
				memcpy(c->data + c->len, req->iov[i].iov_base, req->iov[i].iov_len);
			c->len += req->iov[i].iov_len;
		}
	}
	(void)sched_spawn(0, "request", travel, c);
}

static void s_poll(void *handle, uint32_t timeout_ms)
{
	struct opened *o = handle;
	if (!o->done_first)
		(void)sched_block(o, (uint64_t)timeout_ms * 1000000u);
	struct call *c;
	while ((c = o->done_first) != NULL) {
		o->done_first = c->next;
		if (!o->done_first)
			o->done_last = NULL;
		deliver(c);
	}
}

static int s_open(const struct firn_store_config *config, void **handle, struct firn_error *err)
{
	(void)err;
	struct opened *o = calloc(1, sizeof *o); /* outlives the process: answers may come later */
	o->host = config->host;
	o->process = sched_process();
	*handle = o;
	return FIRN_OK;
}

static void s_close(void *handle)
{
	(void)handle;
}

static void s_info(void *handle, struct firn_store_info *info)
{
	(void)handle;
	info->caps = FIRN_STORE_CAN_PUT_IF_ABSENT | FIRN_STORE_CAN_PUT_IF_MATCH |
	             FIRN_STORE_CAN_LIST | FIRN_STORE_CAN_RANGE | FIRN_STORE_CAN_NESTED_KEYS;
}

static void s_cancel(void *handle, struct firn_store_request *req)
{
	(void)handle, (void)req;
}

const struct firn_store_plugin *__wrap_mem_store_entry(void);
const struct firn_store_plugin *__wrap_mem_store_entry(void)
{
	static const struct firn_store_plugin plugin = {
		.struct_size = (uint32_t)sizeof plugin,
		.abi_major = FIRN_STORE_ABI_MAJOR,
		.abi_minor = FIRN_STORE_ABI_MINOR,
		.name = "sim",
		.open = s_open,
		.close = s_close,
		.info = s_info,
		.submit = s_submit,
		.cancel = s_cancel,
		.poll = s_poll,
	};
	return &plugin;
}
