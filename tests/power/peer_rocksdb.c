/* RocksDB as a peer of peers.c: default options, one put a record; sync as the kind says. */
#include "tests/power/peers.h"
#ifdef FIRN_HAVE_ROCKSDB
#include <rocksdb/c.h>
#include <stdio.h>
#include <stdlib.h>

struct rocksdb_log {
	rocksdb_t *db;
	rocksdb_writeoptions_t *how;
};

static rocksdb_t *db_open(const char *dir, unsigned char create)
{
	char *err = NULL;
	rocksdb_options_t *options = rocksdb_options_create();
	rocksdb_options_set_create_if_missing(options, create);
	rocksdb_t *db = rocksdb_open(options, dir, &err);
	rocksdb_options_destroy(options);
	if (!err)
		return db;
	fprintf(stderr, "rocksdb: %s\n", err);
	rocksdb_free(err);
	return NULL;
}

void *rocksdb_log_make(const struct log_kind *k, const char *dir)
{
	static struct rocksdb_log log;
	log.db = db_open(dir, 1);
	log.how = rocksdb_writeoptions_create();
	rocksdb_writeoptions_set_sync(log.how, k->flushes);
	return log.db ? &log : NULL;
}

int rocksdb_log_append(void *log, uint64_t id, const uint8_t *record)
{
	const struct rocksdb_log *l = log;
	char *err = NULL;
	rocksdb_put(l->db, l->how, (const char *)&id, sizeof id, (const char *)record, RECORD_BYTES,
	            &err);
	rocksdb_free(err);
	return err ? -1 : 0;
}

int rocksdb_log_read(const struct log_kind *k, const char *dir,
                     bool (*keeps)(void *arg, const void *record, uint64_t len), void *arg)
{
	(void)k;
	rocksdb_t *db = db_open(dir, 0);
	if (!db)
		return -1;
	rocksdb_readoptions_t *how = rocksdb_readoptions_create();
	for (uint64_t id = 0;; id++) {
		char *err = NULL;
		size_t len;
		char *value = rocksdb_get(db, how, (const char *)&id, sizeof id, &len, &err);
		bool go_on = value && keeps(arg, value, len);
		rocksdb_free(value);
		rocksdb_free(err);
		if (!go_on)
			break;
	}
	rocksdb_readoptions_destroy(how);
	rocksdb_close(db);
	return 0;
}
#endif
