/* A volume attached read-only follows its writer, cut after cut (DESIGN 5 "Readers elsewhere", PROTOCOL 22).
 *
 *   is there a later manifest? --no--> again in a while
 *     | follow.c                 load.c                            turn.c
 *     +--yes--> footers above what the index has, folded into it --+--> what changed is shown: in one go,
 *               or all of it anew from layers, under another number +    under the volume's lock
 *
 * Readers go on meanwhile. From the first fold on the index is ahead of what is shown (volume.turning): an extent that
 * is gone from it has been trimmed or deleted by the cut to come. Who misses one waits for that cut, which tells him.
 *
 * No pins: an object that leaves the volume stays in the store for the writer's grace time, in which every reader looks
 * twice. Who finds an object gone looks at once, and reads on where the new cut has it.
 *
 * Whoever has set volume.following, a worker or a loader, has all of this for itself; it does not go with the lock held. */
#ifndef UPLOAD_FOLLOW_H
#define UPLOAD_FOLLOW_H
#include "engine/admit/volume.h"

struct segment_footer;

/* What the index has been told and memory has not. */
struct turn {
	bool all;         /* or: not known any more what; everything is compared */
	uint32_t number;  /* of the volume in the index */
	uint32_t kept;    /* a number before that, which is still shown; 0: none */
	uint32_t n_lost;  /* lost entries of the cut that is shown */
	uint64_t *stream; /* changed */
	size_t n, cap;
	uint64_t *producing; /* and by producers; of those above */
	size_t n_producing, cap_producing;
	struct buf kv;
	uint32_t n_put;
};

struct follow {
	/* volume.lock */
	uint64_t at_ns;          /* no look before, unless ... */
	uint64_t n_begun, asked; /* looks; ... this one, or a later one, is waited for */
	bool good;               /* the last one came to its end */
	pthread_cond_t ended;
	/* following */
	bool behind;      /* the manifest is later than what is shown */
	bool news;        /* the last look found a later one: the next one will, too */
	uint32_t n_quiet; /* looks without, in a row, at the same wait */
	uint64_t wait_ms, news_ns;
	struct turn turn;
};

/* ---- follow.c ---- */
int follow_open(struct volume *v, struct firn_error *err); /* at the end of an attach */
void follow_close(struct volume *v);
bool follow_due(const struct volume *v, uint64_t now_ns); /* locked; nobody looks, and it is time */
void follow_claim(struct volume *v);                      /* locked */
int follow_run(struct volume *v);                         /* a task's work; claimed */
uint64_t follow_ask(struct volume *v); /* locked: the number of a look that begins from now on */
/* [blocks] What has been missed may have left the volume: one look, begun now, by the caller or by somebody else. FIRN_OK:
 * the volume shows what the store says; FIRN_ESTORE: that cannot be known now. No lock held. */
int follow_again(struct volume *v);
/* [blocks] Waits while the index is between two cuts and somebody works on that; *cut is the one that is shown. True:
 * it still is between two. No lock held. */
bool follow_between(struct volume *v, uint64_t *cut);

/* ---- turn.c ---- */
void follow_turn(struct volume *v); /* the index is about to be changed; of a volume that follows */
void follow_note(struct volume *v, struct segment_footer *const *footer, uint32_t n);
void follow_refilled(struct volume *v); /* it has a new number; the one that is shown was kept */
void follow_number(struct volume *v, uint32_t number);
/* All that the index has now is shown. FIRN_ENOMEM: nothing was. */
int follow_show(struct volume *v, struct firn_error *err);
#endif
