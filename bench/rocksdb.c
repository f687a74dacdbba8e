/* Peer: RocksDB's synced WAL, as shipped: default options, one put a record, sync = true. It groups
 * the commits of concurrent writers. Built in only where the library was found. */
#include "bench/bench.h"

#ifndef FIRN_HAVE_ROCKSDB

int rocksdb_run(const struct bench *b, const struct workload *w, struct sample *out)
{
	(void)b, (void)w, (void)out;
	return 1;
}

#else
#include <rocksdb/c.h>
#include <stdlib.h>
#include <string.h>

struct peer {
	rocksdb_t *db;
	rocksdb_writeoptions_t *synced;
	const char *noise;
	size_t len;
};

static int complain(char *text)
{
	(void)fprintf(stderr, "firn-bench: rocksdb: %s\n", text);
	rocksdb_free(text);
	return -1;
}

static int put_one(void *ctx, unsigned caller, uint64_t i)
{
	const struct peer *p = ctx;
	char key[16], *err = NULL;
	uint64_t c = caller;
	memcpy(key, &c, 8);
	memcpy(key + 8, &i, 8);
	rocksdb_put(p->db, p->synced, key, sizeof key, p->noise, p->len, &err);
	return err ? complain(err) : 0;
}

static int measure(const struct bench *b, const struct workload *w, const char *dir,
                   rocksdb_options_t *options, struct sample *out)
{
	char *err = NULL;
	struct peer p = { .len = w->bytes };
	rocksdb_options_set_create_if_missing(options, 1);
	p.db = rocksdb_open(options, dir, &err);
	if (err)
		return complain(err);
	p.synced = rocksdb_writeoptions_create();
	rocksdb_writeoptions_set_sync(p.synced, 1);
	uint8_t *noise = scratch_noise(w->bytes);
	p.noise = (const char *)noise;
	struct callers c = { w->n, b->seconds, w->bytes, put_one, &p };
	int rc = noise ? callers_run(&c, out) : -1;
	free(noise);
	rocksdb_writeoptions_destroy(p.synced);
	rocksdb_close(p.db);
	return rc;
}

int rocksdb_run(const struct bench *b, const struct workload *w, struct sample *out)
{
	char dir[4096];
	if (scratch_make(b->dir, w->name, dir, sizeof dir) < 0)
		return -1;
	rocksdb_options_t *options = rocksdb_options_create();
	int rc = measure(b, w, dir, options, out);
	rocksdb_options_destroy(options);
	scratch_remove(dir);
	return rc;
}
#endif
