/* The engine's side of a store: opens one by URI (built-in or plug-in) and turns the asynchronous,
 * never-retrying back end into calls that wait and retry in ONE place. Any thread; calls block. */
#ifndef STORE_STORE_H
#define STORE_STORE_H
#include "engine/base/buf.h"
#include <firn/env.h>
#include <firn/error.h>
#include <firn/store.h>

struct meter; /* meter.h */
struct store; /* reference counted: one per URI and engine is shared by volumes */

/* Opaque version of an object (ETag, generation). len 0 = none. */
struct store_version {
	uint32_t len;
	char text[124];
};

enum store_condition { STORE_ALWAYS = 0, STORE_IF_ABSENT = 1, STORE_IF_MATCH = 2 };

/* `env` is complete (env_complete()) and outlives the store. The URI's parameter deadline_ms (1 to
 * 3600000, else 30000) bounds every call below; max_in_flight, requests_per_s, mib_per_s (gate.c) and hedge_ms
 * (attempt.c), prices (price.c) and exclusive=trust-me (put.c) are ours, too; the other parameters are the back end's. FIRN_EINVAL:
 * the URI; FIRN_EUNSUPPORTED: no such store in this build, or a plug-in of another interface. */
int store_open(const struct firn_env *env, const char *uri, struct store **out,
               struct firn_error *err);
void store_close(struct store *s);
/* Replaces deadline_ms for the calls that follow, by nanoseconds; gives what it was. While nobody else calls. */
uint64_t store_patience(struct store *s, uint64_t deadline_ns);
/* What the back end says it can (FIRN_STORE_CAN_... bits). */
uint64_t store_caps(const struct store *s);
/* What was asked since it was opened, and how it went. A consistent copy. */
void store_meter(struct store *s, struct meter *out);
const char *store_uri_shown(const struct store *s); /* without credentials */

/* Results: FIRN_OK; FIRN_ENOENT; FIRN_ECONFLICT (condition failed); FIRN_ESTORE with flags: AMBIGUOUS (it may
 * have been done), RETRY (not done, try later), THROTTLED; FIRN_EUNSUPPORTED. Reads and unconditional PUTs
 * of unique keys are retried inside up to the store's deadline_ms; a conditional PUT is sent ONCE: settling
 * its unknown outcome is the manifest's business. */
int store_put(struct store *s, const char *key, const struct iovec *iov, uint32_t n_iov,
              enum store_condition condition, const struct store_version *match,
              struct store_version *version, struct firn_error *err);
int store_get(struct store *s, const char *key, uint64_t pos, void *dst, size_t len, size_t *got,
              struct firn_error *err); /* fewer bytes at the end of the object */
int store_get_iov(struct store *s, const char *key, uint64_t pos, const struct iovec *iov,
                  uint32_t n_iov, size_t len, size_t *got,
                  struct firn_error *err); /* len: the sum of iov */
int store_get_all(struct store *s, const char *key, size_t max, struct buf *out,
                  struct store_version *version,
                  struct firn_error *err); /* FIRN_ETOOBIG above max */
int store_stat(struct store *s, const char *key, uint64_t *size, struct store_version *version,
               struct firn_error *err);
int store_delete(struct store *s, const char *key, struct firn_error *err); /* absent = success */
/* Keys with the prefix, in byte order, after `after` ("" = from the first). each() non-zero stops the walk and is
 * returned. */
int store_list(struct store *s, const char *prefix, const char *after,
               int (*each)(void *arg, const char *key, uint64_t size), void *arg,
               struct firn_error *err);
/* Tries claimed conditions on scratch keys (wrong version, absent key, eight racers): PROTOCOL 6.
 * FIRN_EUNSUPPORTED naming what is missing or lied. Done once per store handle. */
int store_probe(struct store *s, struct firn_error *err);
#endif
