/* Completion queues and blocked callers: where every request ends. */
#ifndef API_CQ_H
#define API_CQ_H
#include "engine/api/engine.h"

enum { CQ_NOTICES = 64, CQ_LOG_LINES = 32 };

struct firn_cq {
	struct firn_cq *next; /* of the engine's list, under engine.lock */
	struct engine *engine;
	int fd; /* eventfd */
	uint32_t depth;
	pthread_mutex_t lock;
	/* guarded */
	uint32_t n_reserved; /* requests in flight and events not reaped: at most depth */
	struct firn_event *ring;
	uint32_t cap; /* depth + room for notices, which grows with the volumes */
	uint32_t head, n, n_notice, n_lines;
	bool signalled, reaping, woken;
	bool wants_room;      /* refused with EFULL since the last WRITABLE */
	uint32_t room_volume; /* number of the volume whose share was full; 0: the engine was */
	uint64_t room_len, room_user_data;
	uint32_t ev_mask;
	uint64_t ev_user_data, n_dropped;
};
/* Does it want notices of this kind? Its user_data for lines of the log. */
bool cq_asked(struct firn_cq *cq, uint32_t kind, uint64_t *user_data);

/* A blocked caller. The caller may give up first: then the completion frees it. All wait on a few words
 * of the engine's, so that one system call wakes everybody whose group became durable. */
struct call {
	struct engine *engine;
	atomic_uint refs, done;
	uint32_t shard;
	bool abandoned;       /* set before the caller's reference goes */
	struct firn_event ev; /* valid once done */
	struct firn_error err;
};
void call_release(struct call *c);
void call_done(struct call *c, const struct firn_event *ev);
#endif
