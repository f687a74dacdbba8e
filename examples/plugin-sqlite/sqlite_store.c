/* A store in an SQLite database, as a plug-in for firn: an example to start from.
 *
 *	plugin:/usr/lib/firn/sqlite.so?db=/srv/firn.db
 *
 * Two tables. An object is a row of `object`; its bytes are rows of `chunk`, so that a range costs by
 * its length and not by its position. Every PUT takes a new version from `object_version`; the bytes
 * belong to the version, never to the key.
 *
 * One thread per handle performs requests in turn, because SQLite blocks. Each write is one
 * transaction (BEGIN IMMEDIATE: one writer of all processes at a time), durable when it has returned
 * (synchronous=FULL), and gone if the process is killed before that: which is all that store.h asks.
 * Built against the installed header alone. */
#include <firn/store.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>

enum { CHUNK = 256 << 10, BUSY_MS = 20000 };

static const char schema[] =
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
        "BEGIN IMMEDIATE;"
        "CREATE TABLE IF NOT EXISTS object(key BLOB PRIMARY KEY, version INTEGER, size INTEGER,"
        " mtime_ms INTEGER) WITHOUT ROWID;"
        "CREATE TABLE IF NOT EXISTS chunk(version INTEGER, n INTEGER, data BLOB,"
        " UNIQUE(version, n));"
        "CREATE TABLE IF NOT EXISTS object_version(last INTEGER);"
        "INSERT INTO object_version SELECT 0 WHERE NOT EXISTS(SELECT 1 FROM object_version);"
        "COMMIT;";

enum query {
	BEGIN_READ,
	BEGIN_WRITE,
	COMMIT,
	ROLLBACK,
	FIND,
	NEXT_VERSION,
	ADD_CHUNK,
	SET_OBJECT,
	DROP_CHUNKS,
	DROP_OBJECT,
	READ_CHUNKS,
	LIST_KEYS,
	N_QUERIES
};

static const char *const sql[N_QUERIES] = {
	[BEGIN_READ] = "BEGIN",
	[BEGIN_WRITE] = "BEGIN IMMEDIATE",
	[COMMIT] = "COMMIT",
	[ROLLBACK] = "ROLLBACK",
	[FIND] = "SELECT version, size, mtime_ms FROM object WHERE key = ?1",
	[NEXT_VERSION] = "UPDATE object_version SET last = last + 1 RETURNING last",
	[ADD_CHUNK] = "INSERT INTO chunk VALUES(?1, ?2, ?3)",
	[SET_OBJECT] = "INSERT OR REPLACE INTO object VALUES(?1, ?2, ?3, ?4)",
	[DROP_CHUNKS] = "DELETE FROM chunk WHERE version = ?1",
	[DROP_OBJECT] = "DELETE FROM object WHERE key = ?1",
	[READ_CHUNKS] = "SELECT data FROM chunk WHERE version = ?1 AND n >= ?2 ORDER BY n",
	/* BLOBs compare byte by byte, which is the order that LIST promises. */
	[LIST_KEYS] = "SELECT key, size, mtime_ms FROM object WHERE key >= ?1 AND key > ?2"
	              " ORDER BY key",
};

struct object {
	sqlite3_int64 version, size, mtime_ms;
};

struct store {
	const struct firn_store_host *host;
	sqlite3 *db;
	sqlite3_stmt *query[N_QUERIES];
	char *chunk; /* CHUNK bytes, for gathering an iovec */
	pthread_t thread;

	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t work;
	struct firn_store_request *first, *last; /* linked by backend[0] */
	int closing;
};

/* ---- SQLite ---- */

static sqlite3_stmt *prepared(struct store *s, enum query q)
{
	(void)sqlite3_reset(s->query[q]);
	return s->query[q];
}

/* For what gives no row, or one that is read at once. SQLITE_ROW, SQLITE_DONE or an error. */
static int run(struct store *s, enum query q)
{
	return sqlite3_step(prepared(s, q));
}

static void bind_key(sqlite3_stmt *q, int at, const char *key)
{
	(void)sqlite3_bind_blob(q, at, key, (int)strlen(key), SQLITE_STATIC);
}

/* Says why a request failed. What SQLite could not begin or has rolled back was not done. */
static void say(struct store *s, struct firn_store_request *req, int rc)
{
	uint32_t outcome = FIRN_STORE_PERMANENT;
	int32_t code = FIRN_EIO;

	switch (rc & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
	case SQLITE_INTERRUPT:
		outcome = FIRN_STORE_RETRY;
		code = FIRN_ESTORE;
		break;
	case SQLITE_FULL:
		code = FIRN_ENOSPC;
		break;
	case SQLITE_READONLY:
	case SQLITE_PERM:
		code = FIRN_EREADONLY;
		break;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		code = FIRN_ECORRUPT;
		break;
	case SQLITE_NOMEM:
		code = FIRN_ENOMEM;
		break;
	case SQLITE_TOOBIG:
		code = FIRN_ETOOBIG;
		break;
	}
	firn_store_set_error(req, outcome, code, 0, sqlite3_errmsg(s->db));
}

static void no(struct firn_store_request *req, int32_t code, const char *why)
{
	firn_store_set_error(req, FIRN_STORE_PERMANENT, code, 0, why);
}

/* Ends a write. A COMMIT that failed by a disk error may be there after the next opening. */
static void commit(struct store *s, struct firn_store_request *req)
{
	int rc = run(s, COMMIT);

	if (rc == SQLITE_DONE)
		return;
	say(s, req, rc);
	if ((rc & 0xff) == SQLITE_IOERR) {
		req->outcome = FIRN_STORE_AMBIGUOUS;
		req->code = FIRN_ESTORE;
	}
	(void)run(s, ROLLBACK);
}

/* ---- requests ---- */

/* SQLITE_ROW: it is there; SQLITE_DONE: it is not. */
static int find(struct store *s, const char *key, struct object *o)
{
	sqlite3_stmt *q = prepared(s, FIND);

	bind_key(q, 1, key);
	int rc = sqlite3_step(q);

	if (rc == SQLITE_ROW) {
		o->version = sqlite3_column_int64(q, 0);
		o->size = sqlite3_column_int64(q, 1);
		o->mtime_ms = sqlite3_column_int64(q, 2);
	}
	(void)sqlite3_reset(q);
	return rc;
}

static void tell_version(sqlite3_int64 version, struct firn_store_version *v)
{
	v->len = (uint32_t)snprintf(v->text, sizeof v->text, "sqlite-%lld", (long long)version);
}

static int allowed(struct firn_store_request *req, int there, const struct object *o)
{
	struct firn_store_version now = { 0, "" };

	if (there)
		tell_version(o->version, &now);
	if (req->condition == FIRN_STORE_IF_ABSENT && there)
		no(req, FIRN_ECONFLICT, "the key exists");
	else if (req->condition == FIRN_STORE_IF_MATCH && !there)
		no(req, FIRN_ENOENT, "no such key");
	else if (req->condition == FIRN_STORE_IF_MATCH &&
	         (now.len != req->match->len || memcmp(now.text, req->match->text, now.len) != 0))
		no(req, FIRN_ECONFLICT, "the object has another version");
	return req->outcome == FIRN_STORE_DONE;
}

/* Gathers the iovec into chunks. */
static int add_chunks(struct store *s, const struct firn_store_request *req, sqlite3_int64 version)
{
	size_t filled = 0, taken = 0;
	int rc = SQLITE_DONE;
	uint32_t i = 0;

	for (sqlite3_int64 n = 0; rc == SQLITE_DONE && (i < req->n_iov || filled);) {
		if (i < req->n_iov && filled < CHUNK) {
			size_t left = req->iov[i].iov_len - taken;
			size_t part = left < CHUNK - filled ? left : CHUNK - filled;

			if (part)
				memcpy(s->chunk + filled, (char *)req->iov[i].iov_base + taken,
				       part);
			filled += part;
			taken += part;
			if (taken == req->iov[i].iov_len) {
				taken = 0;
				i++;
			}
			continue;
		}
		sqlite3_stmt *q = prepared(s, ADD_CHUNK);

		(void)sqlite3_bind_int64(q, 1, version);
		(void)sqlite3_bind_int64(q, 2, n++);
		(void)sqlite3_bind_blob(q, 3, s->chunk, (int)filled, SQLITE_STATIC);
		rc = sqlite3_step(q);
		filled = 0;
	}
	return rc;
}

static int drop_chunks(struct store *s, sqlite3_int64 version)
{
	(void)sqlite3_bind_int64(prepared(s, DROP_CHUNKS), 1, version);
	return sqlite3_step(s->query[DROP_CHUNKS]);
}

/* New version, its chunks, the row; then the old version's chunks go. */
static int write_object(struct store *s, struct firn_store_request *req, int there,
                        const struct object *old)
{
	const struct firn_env *env = s->host->env;
	sqlite3_stmt *q = prepared(s, SET_OBJECT);
	sqlite3_int64 version = 0;
	int rc = run(s, NEXT_VERSION);

	if (rc == SQLITE_ROW) {
		version = sqlite3_column_int64(s->query[NEXT_VERSION], 0);
		(void)sqlite3_reset(s->query[NEXT_VERSION]);
		rc = add_chunks(s, req, version);
	}
	if (rc == SQLITE_DONE) {
		bind_key(q, 1, req->key);
		(void)sqlite3_bind_int64(q, 2, version);
		(void)sqlite3_bind_int64(q, 3, (sqlite3_int64)req->len);
		(void)sqlite3_bind_int64(q, 4, env->now_ms(env->ctx));
		rc = sqlite3_step(q);
		(void)sqlite3_reset(q);
	}
	if (rc == SQLITE_DONE && there)
		rc = drop_chunks(s, old->version);
	tell_version(version, &req->version);
	return rc;
}

static void do_put(struct store *s, struct firn_store_request *req)
{
	struct object old = { 0 };
	int rc = run(s, BEGIN_WRITE);

	if (rc != SQLITE_DONE) {
		say(s, req, rc);
		return;
	}
	rc = find(s, req->key, &old);
	if (rc != SQLITE_ROW && rc != SQLITE_DONE) {
		say(s, req, rc);
	} else if (allowed(req, rc == SQLITE_ROW, &old)) {
		rc = write_object(s, req, rc == SQLITE_ROW, &old);
		if (rc != SQLITE_DONE)
			say(s, req, rc);
	}
	if (req->outcome == FIRN_STORE_DONE)
		commit(s, req);
	else
		(void)run(s, ROLLBACK);
	if (req->outcome != FIRN_STORE_DONE)
		req->version.len = 0;
}

static void do_delete(struct store *s, struct firn_store_request *req)
{
	struct object old = { 0 };
	int rc = run(s, BEGIN_WRITE);

	if (rc == SQLITE_DONE) {
		rc = find(s, req->key, &old);
		if (rc == SQLITE_ROW)
			rc = drop_chunks(s, old.version);
		if (rc == SQLITE_DONE) {
			bind_key(prepared(s, DROP_OBJECT), 1, req->key);
			rc = sqlite3_step(s->query[DROP_OBJECT]);
		}
		if (rc == SQLITE_DONE) {
			commit(s, req);
			return;
		}
	}
	say(s, req, rc);
	(void)run(s, ROLLBACK);
}

/* Copies chunk bytes into the iovec, from where the last call stopped. */
struct cursor {
	struct firn_store_request *req;
	uint32_t i;
	size_t used; /* of iov[i] */
};

static void copy_out(struct cursor *c, const char *data, size_t len)
{
	while (len && c->i < c->req->n_iov) {
		const struct iovec *iov = &c->req->iov[c->i];
		size_t part = iov->iov_len - c->used;

		part = part < len ? part : len;
		if (part)
			memcpy((char *)iov->iov_base + c->used, data, part);
		c->req->got += part;
		c->used += part;
		data += part;
		len -= part;
		if (c->used == iov->iov_len) {
			c->used = 0;
			c->i++;
		}
	}
}

static int read_chunks(struct store *s, struct firn_store_request *req, const struct object *o)
{
	sqlite3_stmt *q = prepared(s, READ_CHUNKS);
	struct cursor c = { req, 0, 0 };
	size_t skip = (size_t)(req->pos % CHUNK);
	int rc = SQLITE_DONE;

	(void)sqlite3_bind_int64(q, 1, o->version);
	(void)sqlite3_bind_int64(q, 2, (sqlite3_int64)(req->pos / CHUNK));
	while (req->got < req->len && (rc = sqlite3_step(q)) == SQLITE_ROW) {
		const char *data = sqlite3_column_blob(q, 0);
		size_t len = (size_t)sqlite3_column_bytes(q, 0);

		if (skip < len)
			copy_out(&c, data + skip, len - skip);
		skip = 0;
	}
	(void)sqlite3_reset(q);
	return rc == SQLITE_ROW ? SQLITE_DONE : rc;
}

/* In a transaction, so that row and chunks are of one version. */
static void do_get(struct store *s, struct firn_store_request *req)
{
	struct object o = { 0 };
	int rc = run(s, BEGIN_READ);

	if (rc == SQLITE_DONE)
		rc = find(s, req->key, &o);
	if (rc == SQLITE_DONE) {
		no(req, FIRN_ENOENT, "no such key");
	} else if (rc == SQLITE_ROW) {
		req->size = (uint64_t)o.size;
		req->mtime_ms = o.mtime_ms;
		tell_version(o.version, &req->version);
		rc = SQLITE_DONE;
		if (req->op == FIRN_STORE_GET && req->pos < req->size)
			rc = read_chunks(s, req, &o);
	}
	if (rc != SQLITE_DONE) {
		say(s, req, rc);
		req->got = 0;
	}
	(void)run(s, ROLLBACK);
}

static void do_list(struct store *s, struct firn_store_request *req)
{
	sqlite3_stmt *q = prepared(s, LIST_KEYS);
	size_t prefix_len = strlen(req->prefix);
	int rc;

	bind_key(q, 1, req->prefix);
	bind_key(q, 2, req->start_after);
	while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
		const char *key = sqlite3_column_blob(q, 0);
		size_t len = (size_t)sqlite3_column_bytes(q, 0);

		if (len < prefix_len || memcmp(key, req->prefix, prefix_len) != 0 ||
		    firn_store_page_add(req->page, key, len, (uint64_t)sqlite3_column_int64(q, 1),
		                        sqlite3_column_int64(q, 2))) {
			rc = SQLITE_DONE;
			break;
		}
	}
	if (rc != SQLITE_DONE)
		say(s, req, rc);
	(void)sqlite3_reset(q);
}

static void perform(struct store *s, struct firn_store_request *req)
{
	if (req->op == FIRN_STORE_PUT)
		do_put(s, req);
	else if (req->op == FIRN_STORE_GET || req->op == FIRN_STORE_STAT)
		do_get(s, req);
	else if (req->op == FIRN_STORE_DELETE)
		do_delete(s, req);
	else if (req->op == FIRN_STORE_LIST)
		do_list(s, req);
	else
		no(req, FIRN_EUNSUPPORTED, "there are no multipart uploads here");
	for (int q = 0; q < N_QUERIES; q++)
		(void)sqlite3_clear_bindings(
		        prepared(s, (enum query)q)); /* the request's memory goes */
}

/* ---- the queue ---- */

static void *store_main(void *arg)
{
	struct store *s = arg;

	pthread_mutex_lock(&s->lock);
	for (;;) {
		struct firn_store_request *req = s->first;

		if (!req) {
			if (s->closing)
				break;
			pthread_cond_wait(&s->work, &s->lock);
			continue;
		}
		s->first = req->backend[0];
		if (!s->first)
			s->last = NULL;
		pthread_mutex_unlock(&s->lock);
		perform(s, req);
		firn_store_complete(req);
		pthread_mutex_lock(&s->lock);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

static void sqlite_submit(void *handle, struct firn_store_request *req)
{
	struct store *s = handle;

	pthread_mutex_lock(&s->lock);
	if (s->last)
		s->last->backend[0] = req;
	else
		s->first = req;
	s->last = req;
	pthread_cond_signal(&s->work);
	pthread_mutex_unlock(&s->lock);
}

/* Only what still waits in the queue is given back; the request may be long done, so it is looked for
 * and not looked into. */
static void sqlite_cancel(void *handle, struct firn_store_request *req)
{
	struct store *s = handle;
	struct firn_store_request *before = NULL, *r;

	pthread_mutex_lock(&s->lock);
	for (r = s->first; r && r != req; r = r->backend[0])
		before = r;
	if (r) {
		if (before)
			before->backend[0] = req->backend[0];
		else
			s->first = req->backend[0];
		if (s->last == req)
			s->last = before;
	}
	pthread_mutex_unlock(&s->lock);
	if (r)
		firn_store_complete_error(req, FIRN_STORE_PERMANENT, FIRN_ECANCELED, 0,
		                          "cancelled before it was begun");
}

/* ---- open and close ---- */

static int refuse(struct firn_error *err, int code, const char *what, const char *why)
{
	if (err) {
		err->code = code;
		(void)snprintf(err->text, sizeof err->text, "%s%s", what, why);
	}
	return code;
}

static void close_db(struct store *s)
{
	const struct firn_env *env = s->host->env;

	for (int q = 0; q < N_QUERIES; q++)
		(void)sqlite3_finalize(s->query[q]);
	(void)sqlite3_close(s->db);
	env->release(env->ctx, s->chunk);
	env->release(env->ctx, s);
}

static int open_db(struct store *s, const char *path, struct firn_error *err)
{
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
	int rc = sqlite3_open_v2(path, &s->db, flags, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_busy_timeout(s->db, BUSY_MS);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(s->db, schema, NULL, NULL, NULL);
	for (int q = 0; rc == SQLITE_OK && q < N_QUERIES; q++)
		rc = sqlite3_prepare_v3(s->db, sql[q], -1, SQLITE_PREPARE_PERSISTENT, &s->query[q],
		                        NULL);
	if (rc != SQLITE_OK)
		return refuse(err, FIRN_EIO, "opening the database: ",
		              s->db ? sqlite3_errmsg(s->db) : "no memory");
	return FIRN_OK;
}

/* The host's signals are the host's: none is delivered to our thread. */
static int start(struct store *s)
{
	sigset_t all, before;

	(void)pthread_mutex_init(&s->lock, NULL);
	(void)pthread_cond_init(&s->work, NULL);
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	int rc = pthread_create(&s->thread, NULL, store_main, s);

	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return rc;
}

static int sqlite_open(const struct firn_store_config *config, void **handle,
                       struct firn_error *err)
{
	const struct firn_env *env = config->host->env;
	const char *path = NULL;

	for (uint32_t i = 0; i < config->n_param; i++) {
		if (strcmp(config->param[i].name, "db") != 0)
			return refuse(err, FIRN_EINVAL,
			              "no such parameter: ", config->param[i].name);
		path = config->param[i].value;
	}
	if (!path || path[0] != '/')
		return refuse(err, FIRN_EINVAL, "needs ?db= and the absolute path of a database",
		              "");
	struct store *s = env->alloc(env->ctx, sizeof *s, 16);

	if (!s)
		return refuse(err, FIRN_ENOMEM, "no memory", "");
	memset(s, 0, sizeof *s);
	s->host = config->host;
	s->chunk = env->alloc(env->ctx, CHUNK, 16);
	int rc = s->chunk ? open_db(s, path, err) : refuse(err, FIRN_ENOMEM, "no memory", "");

	if (rc == FIRN_OK && start(s))
		rc = refuse(err, FIRN_ENOMEM, "no thread to be had", "");
	if (rc != FIRN_OK) {
		close_db(s);
		return rc;
	}
	*handle = s;
	return FIRN_OK;
}

static void sqlite_close(void *handle)
{
	struct store *s = handle;

	pthread_mutex_lock(&s->lock);
	s->closing = 1;
	pthread_cond_signal(&s->work);
	pthread_mutex_unlock(&s->lock);
	(void)pthread_join(s->thread, NULL);
	(void)pthread_cond_destroy(&s->work);
	(void)pthread_mutex_destroy(&s->lock);
	close_db(s);
}

static void sqlite_info(void *handle, struct firn_store_info *info)
{
	(void)handle;
	info->caps = FIRN_STORE_CAN_PUT_IF_ABSENT | FIRN_STORE_CAN_PUT_IF_MATCH |
	             FIRN_STORE_CAN_LIST | FIRN_STORE_CAN_RANGE | FIRN_STORE_CAN_NESTED_KEYS;
	info->max_in_flight = 1;
}

const struct firn_store_plugin *firn_store_entry(void)
{
	static const struct firn_store_plugin plugin = {
		.struct_size = (uint32_t)sizeof plugin,
		.abi_major = FIRN_STORE_ABI_MAJOR,
		.abi_minor = FIRN_STORE_ABI_MINOR,
		.name = "sqlite",
		.open = sqlite_open,
		.close = sqlite_close,
		.info = sqlite_info,
		.submit = sqlite_submit,
		.cancel = sqlite_cancel,
	};

	return &plugin;
}
