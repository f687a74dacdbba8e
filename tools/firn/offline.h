/* Looking at what lies on disk and in a store, with no engine: nothing here changes anything.
 *
 * A directory is held by its lock while one looks, so that no engine starts on it meanwhile. The
 * index is opened as a copy, in a process of its own: LMDB trusts its pages, and a damaged one may
 * take the process with it. */
#ifndef TOOL_OFFLINE_H
#define TOOL_OFFLINE_H
#include "engine/index/index.h"
#include "engine/manifest/manifest.h"
#include "engine/store/store.h"
#include "tools/firn/command.h"

/* ---- a directory (offline.c) ---- */

struct held_dir {
	int lock_fd;
	char wal[4096], index[4096];
	bool has_wal, has_index;
	bool has_copy; /* an engine ran on it with its log in a store */
};

/* TROUBLE if it is no engine's directory, or a running engine has it: named with its process. */
int dir_hold(struct held_dir *h, const struct common *c);
void dir_release(struct held_dir *h);
bool dir_in_use(const char *dir); /* an engine, or another tool, has it */
/* For people: with has_copy, where to look. */
void tell_of_copy(const struct held_dir *h);

struct wal_volume_row;
/* Of a WAL's table: an attach was begun, and perhaps a volume came of it, perhaps not. */
bool row_is_intent(const struct wal_volume_row *row);

/* ---- a copy of the index, in another process (offline_index.c) ---- */

struct index_result {
	int code; /* of `work`, or of opening the copy */
	bool crashed;
	struct index_stats stats;
	char text[300];
};

/* Runs work() there; `out` is filled by it or with what went wrong. DONE, or TROUBLE if there is no
 * room for a copy or no process. */
int index_apart(const struct common *c, const char *path,
                int (*work)(struct index *ix, struct index_result *out, struct firn_error *err),
                struct index_result *out);

/* ---- a volume in its store (offline.c) ---- */

struct stored_volume {
	const char *name;
	struct store *store;
	struct store_version version;
	struct manifest manifest;
	uint64_t manifest_bytes;
};

/* As store_open(), but never makes the place: FIRN_ENOENT. */
int store_look(const char *uri, struct store **out, struct firn_error *err);
/* FIRN_ENOENT: no such store or volume. FIRN_ECORRUPT: its manifest. */
int stored_volume_open(struct stored_volume *v, const char *uri, const char *name,
                       struct firn_error *err);
/* Its manifest, by name and store: replaces what is there, which is not freed. */
int stored_volume_read(struct stored_volume *v, struct firn_error *err);
void stored_volume_close(struct stored_volume *v);
const char *stored_volume_state(const struct stored_volume *v); /* "clean", "dirty", "destroyed" */
/* Key of one of its objects; `key` is what segment_key() gives, or "manifest". */
void stored_volume_key(const char *name, const char *key, char *out, size_t cap);
#endif
