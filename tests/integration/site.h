/* Any number of engine directories ("hosts") in a site (site_store.h); writes and attaches in one line; all
 * that can be read of a volume as text, so that two moments compare. Nothing in here has to be in time, by whatever clock the
 * engine has: what never ends is the suite's to notice. */
#ifndef TESTS_SITE_H
#define TESTS_SITE_H
#include "tests/integration/site_store.h"
#include <firn/firn.h>
#include <stdbool.h>

struct host {
	const struct site *site;
	char dir[80];
	struct firn_engine_opts opts;
	struct firn_engine *engine;
	struct firn_volume *volume; /* the one attached last with host_attach() */
	struct firn_cq *cq;
};

/* A host with small limits, directory `name` of the site; not open yet. */
void host_init(struct host *h, const struct site *s, const char *name);
int host_try_open(struct host *h, struct firn_error *err); /* engine and queue */
void host_open(struct host *h);
int host_try_attach(struct host *h, const char *name, uint32_t flags, const char *takeover,
                    struct firn_volume **out, struct firn_error *err);
void host_attach(struct host *h, const char *name);
int host_detach(struct host *h, struct firn_volume *v, uint32_t mode, struct firn_error *err);
void host_close(struct host *h);               /* the engine; its volumes are detached */
void host_start(struct host *h);               /* open and attach "v" */
void host_stop(struct host *h, uint32_t mode); /* detach h->volume and close */

/* The ways an engine can run. EACH_WAY(suite, truth) makes one test of each way out of
 * static void truth(struct host *h): a site, one host, "v" attached; detached and removed after. */
enum way { WAY_URING, WAY_PWRITE, WAY_NO_THREADS };
void host_way(struct host *h, enum way way);
void each_way(enum way way, void (*truth)(struct host *h));
#define EACH_WAY(suite, truth)                   \
	static void truth(struct host *h);       \
	Test(suite, truth##_by_uring)            \
	{                                        \
		each_way(WAY_URING, truth);      \
	}                                        \
	Test(suite, truth##_by_pwrite)           \
	{                                        \
		each_way(WAY_PWRITE, truth);     \
	}                                        \
	Test(suite, truth##_without_threads)     \
	{                                        \
		each_way(WAY_NO_THREADS, truth); \
	}                                        \
	static void truth(struct host *h)

/* Runs `work` in a child that then dies as by kill -9: nothing is closed, detached or flushed. What the
 * child's asserts find ends the child with status 1, which is asserted here. */
void crash_after(void (*work)(void *arg), void *arg);

/* ---- operations ---- */

struct iovec io_of(const char *text);
struct firn_op op_append(uint64_t stream, const struct iovec *iov);
struct firn_op op_create(const char *name);
struct firn_op op_delete(uint64_t stream);
struct firn_op op_trim(uint64_t stream, uint64_t from);
struct firn_op op_kv(uint16_t kind, uint64_t stream, const char *key, const char *value);

/* One write, waited for; *ev (may be NULL) has no result any more; its code. */
int writes(struct host *h, const struct firn_op *op, uint32_t n, struct firn_event *ev);
int write_one(struct host *h, struct firn_op op, struct firn_event *ev);
/* The same, which must succeed. */
void wrote(struct host *h, const struct firn_op *op, uint32_t n, struct firn_event *ev);
uint64_t new_stream(struct host *h, const char *name);
uint64_t say(struct host *h, uint64_t stream, const char *text); /* its offset */
void store_all(struct host *h);                                  /* flush to STORED */
uint64_t mark_of(struct host *h, uint64_t stream, uint32_t mark);
/* The sum of a metric over those of its rows whose labels contain `label`; there must be one. */
uint64_t metric_of(struct firn_engine *e, const char *name, const char *label);
/* Submits to h->cq. */
int submit_ops(struct host *h, const struct firn_op *op, uint32_t n, uint32_t ack, uint16_t flags,
               uint64_t user_data, struct firn_error *err);
bool reap_one(struct host *h, struct firn_event *ev, uint32_t ms);
/* One write, tried again while there is no room for it: FIRN_ETIMEDOUT if none comes for so long that none will. What was
 * taken is waited for, however slow the disk is. Nothing else is in flight in h->cq. */
int write_if_room(struct host *h, struct firn_op op);

/* ---- everything that a volume shows: streams, marks, batches, gaps, pairs, producers ---- */
char *volume_text(struct host *h, struct firn_volume *v); /* to be freed */
void expect_text(const char *was, const char *now, const char *when);
/* `firn verify` finds nothing wrong with "v", and no object that its manifest does not name. */
void expect_sound(const struct site *s, const char *when);
/* Reads [from, end) of a stream: 0, or the first code that a part or fetch gave. Payloads are joined in
 * *joined (may be NULL; to be freed). */
int read_stream(struct host *h, uint64_t stream, uint64_t from, char **joined);
#endif
