/* Retention: the attached writer trims what a stream's configuration says has to go.
 *
 *   stored, configured, loaded --> due by age or bytes --> heap --> look at the oldest blocks --> TRIM, an ordinary write
 *
 * A TRIM goes through the WAL as a user's does, so readers, takeovers and the stored cut see it like any other (P10), and
 * one that a crash loses is found due again. Only what is stored goes, whole blocks of it.
 *
 * What it costs: nothing for a stream without retention, a place in a heap for one with. A look at a stream is made when
 * its oldest block comes of age or what is stored of it exceeds its bound; at most RETAIN_LOOKS of a volume a second.
 * How much of a stream is stored is counted as it is stored; only after a trim of the user, or an attach, and only if the
 * upper bound exceeds what is allowed, are its extents added up. */
#ifndef GC_RETAIN_H
#define GC_RETAIN_H
#include "engine/admit/volume.h"

enum { RETAIN_LOOKS = 1024 };

/* Volume locked, all but retain_run(). */
/* The configuration has become durable, or was loaded. */
void retain_config(struct volume *v, struct stream *s);
/* More of it is stored: its last batch, and `bytes` of payload; `was`: what was stored before ended there. */
void retain_stored(struct volume *v, struct stream *s, int64_t last_append_ms, uint64_t was,
                   uint64_t bytes);
/* A trim has become durable. */
void retain_trimmed(struct stream *s);
/* Blocks of it have become one: it may begin below what was trimmed, so what is kept is counted anew. */
void retain_gathered(struct stream *s);
/* It is deleted, or leaves memory. */
void retain_gone(struct volume *v, struct stream *s);
bool retain_due(const struct volume *v, int64_t now_ms);
/* A task's work: trims what is due. 1: progress. */
int retain_run(struct volume *v);
#endif
