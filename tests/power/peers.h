/* Logs that append one record after another on a disk that loses its power: who keeps what it acked?
 * Each is driven by the same calls, in a process that the cut kills. */
#ifndef PEERS_H
#define PEERS_H
#include <stdbool.h>
#include <stdint.h>

enum { RECORD_BYTES = 200 };

struct log_kind {
	const char *name;
	bool flushes; /* it must lose nothing; the others must be seen to lose something */
	/* Makes a log in `dir`, which is not there yet. */
	void *(*make)(const struct log_kind *k, const char *dir);
	/* 0: acked. Record `id` counts from 0. */
	int (*append)(void *log, uint64_t id, const uint8_t *record);
	/* After the cut: opens it again and gives each record from 0 on to `keeps`, until that says
	 * false or there are no more. Non-zero: it does not open, the records cannot be had. */
	int (*read)(const struct log_kind *k, const char *dir,
	            bool (*keeps)(void *arg, const void *record, uint64_t len), void *arg);
	const char *lie; /* of the files given to firn, lying.h */
};

void *firn_log_make(const struct log_kind *k, const char *dir);
int firn_log_append(void *log, uint64_t id, const uint8_t *record);
int firn_log_read(const struct log_kind *k, const char *dir,
                  bool (*keeps)(void *arg, const void *record, uint64_t len), void *arg);

void *rocksdb_log_make(const struct log_kind *k, const char *dir);
int rocksdb_log_append(void *log, uint64_t id, const uint8_t *record);
int rocksdb_log_read(const struct log_kind *k, const char *dir,
                     bool (*keeps)(void *arg, const void *record, uint64_t len), void *arg);
#endif
