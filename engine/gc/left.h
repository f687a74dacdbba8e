/* What engines leave in a store beside volumes and logs: heartbeats of those that are gone, keys of a probe that was cut off.
 *
 *   sweep n      LIST .firn-beat/ and .firn-probe/ --some of them--> GET --> remembered with a sum
 *   sweep n + 1  the same bytes six hours later --> DELETE
 *
 * No clock of anybody else's is asked. A heartbeat that is renewed has other bytes each minute; one that went too early, of
 * an engine that was stopped for so long, comes back with its next renewal, and an abandon that watches takes a heartbeat that
 * is gone for no sign of life (upload/abandon.c). Keys of a probe are of one run, which takes seconds; a process that was
 * stopped within it for hours does not believe what it found (store/probe.c).
 *
 * What does not begin as we write it, or has another name, is left alone. Some: LEFT_KEYS of each kind in a sweep, beginning
 * behind those of the sweep before; so a sweep costs two LISTs and as many GETs and DELETEs at most, and all have their turn. */
#ifndef GC_LEFT_H
#define GC_LEFT_H
#include <firn/error.h>
#include <stdbool.h>
#include <stdint.h>

struct firn_env;
struct volume;
struct left_list;

enum { LEFT_KEYS = 64 };

/* Of one store. Lock: uploader.lock; the list is whose `busy` it is. */
struct leftovers {
	uint64_t due_ns; /* no look before */
	bool busy;
	struct left_list *list; /* of the sweep before; NULL: none yet */
};

/* Behind the sweep of a volume: its store, and that of the engine's log, if they are due. *n: objects deleted.
 * FIRN_ECANCELED: the volume leaves. */
int left_sweep(struct volume *v, uint64_t *n, struct firn_error *err);
void left_free(struct leftovers *l, const struct firn_env *env);
#endif
