/* The users of the engines: for each attached volume one who writes and some who read, all at once.
 *
 *   make.c   the writes: valid ones, by the model        write.c  who submits them, and what came of it
 *   look.c   who reads                                   cut.c    who reads elsewhere
 *   term.c   what an attach found, and who it replaces   follow.c and stays there
 *   site.c   a life of a node */
#ifndef SIM_WORK_H
#define SIM_WORK_H
#include "tests/sim/check.h"
#include "tests/sim/node.h"

enum site_state { SITE_DOWN, SITE_OPENING, SITE_UP, SITE_FAILED, SITE_CLOSED };

enum { HOMES_MOST = 6, SITE_LOST = 64 };
#define NOBODY UINT32_MAX

/* A volume in the hands of a node, from an attach to a detach or the death of the process. When another has become the
 * owner it is over, but goes on until it is told: by a copy of the model, for what it says from then on. */
struct term {
	struct home *home;
	struct site *site;
	struct firn_volume *volume;
	struct m_volume *m; /* of its home; of its own when it is over */
	uint32_t n_user;    /* who write and read */
	bool checked;       /* what it began with was looked at */
	bool over,
	        given_up; /* given_up: by an abandon, so it may ack, but not store, what nobody gets to see */
	bool leaves;  /* its detach is under way */
	uint64_t cut; /* over: with so many entries the next owner began */
};

/* What a node's log says of a volume that another has by now: it goes on with that if the store is away. */
struct fork {
	struct m_volume *m; /* NULL: nothing */
	bool given_up;
	bool fenced; /* it was told, and let it go */
	bool told;   /* and wrote that down: whatever happens at home, it does not go on */
	uint64_t cut;
};

/* A volume. Not in the memory of a process: it outlives kills. */
struct home {
	struct m_volume m;   /* as its owner has it */
	struct term *term;   /* the owner's, while he has it attached */
	uint32_t owner;      /* who came through with an attach last; NOBODY */
	uint64_t epoch;      /* of that */
	uint32_t site;       /* who attaches it when it opens */
	uint32_t taker;      /* who is about to take it from whoever has it; NOBODY */
	uint32_t haunted_by; /* who attaches it when it opens, as if it still had it; NOBODY */
	bool given_up;       /* refused after damage that was told: no more is asked of it */
	bool clean;          /* the last detach drained it */
	bool maybe_clean; /* the store may say so: a detach began to, no attach came through since */
	uint64_t tries,
	        got; /* attaches begun; which of them was the last that came through, 0 none */
	/* What may have changed the volume, without anybody having seen it, since an attach came through. */
	bool tried[NODES_MOST], trying[NODES_MOST]; /* an attach from there; it is under way */
	bool before[NODES_MOST];                    /* one before that */
	bool giving_up[NODES_MOST]; /* one that says takeover=abandon is under way */
	uint32_t n_abandon;         /* so many said it */
	struct fork fork[NODES_MOST];
};

/* A node as the director sees it. Not in the memory of the process: it outlives kills. */
struct site {
	struct node *node;
	enum site_state state;
	bool stop;   /* finish what is under way and close */
	bool sick;   /* the WAL failed: only a new opening helps */
	bool hurt;   /* a flush lied here, or a bit flipped: loss that is told is allowed */
	bool moved;  /* its disk was put into another machine */
	bool paused; /* its process is stopped */
	uint32_t detach_mode, n_client;
	struct term *lost[SITE_LOST]; /* over, not detached yet */
	uint32_t n_lost;
};

extern struct site sites[NODES_MOST];
extern struct home homes[HOMES_MOST];
extern uint32_t n_homes;

/* An error that may be over when it is tried again. */
bool passing(int code);
uint32_t site_number(const struct site *s);
/* Another than the owner of this term may have become the owner: EFENCED is an answer. */
bool may_be_fenced(const struct term *t);
/* Another than this node may have the volume, for all that the model knows. */
bool not_its_own(const struct home *h, uint32_t site);
/* A short while; a long one if time is to pass. */
void user_sleep(uint64_t ns);

/* ---- make.c */

/* A stream that takes operations: there, and its number known. M_STREAMS: none. */
uint32_t some_stream(const struct m_state *st);
/* An offset of it that says something: of a batch, or at the border of a lost range. */
uint64_t some_offset(const struct m_stream *s);
/* A valid write, by the assigned state. Each stream occurs at most once, but in creations. */
void make_write(struct m_volume *m, struct m_write *w);
/* Where the parts of a submitted write lie. */
struct room {
	uint8_t *bytes[M_OPS];
	char key[M_OPS][16], key_to[M_OPS][16], name[M_OPS][16];
	uint8_t value[M_OPS][64];
	struct iovec iov[M_OPS];
	struct firn_stream_config config[M_OPS];
};
void fill_op(struct room *r, const struct m_volume *m, const struct m_op *mo, struct firn_op *o,
             uint32_t i);

/* ---- write.c, look.c, cut.c, follow.c */

void start_writer(struct term *t);
void start_looker(struct term *t);
/* One reader over all volumes of the site. */
void start_watcher(struct site *s);
/* A reader elsewhere: what is stored is one cut. */
void cut_check(void);
/* The last write of the cut that a volume attached read-only shows. */
uint64_t cut_of(struct firn_volume *v);
/* What it shows is a prefix of the writes that reaches to `least`, no more and no less. False: it moved on meanwhile, and is
 * to be compared anew; results may not have been given back. */
bool cut_compare(struct firn_volume *v, struct home *h, uint64_t least);
/* A reader elsewhere that follows all volumes until its end: begins or goes on, if `may_die` perhaps in a new process. */
void follow_begin(bool may_die);
/* Its process is stopped, or goes on. */
void follow_pause(bool stops);
/* The writers have drained and are gone: it must come to see all of it by itself, and ends. */
void follow_end(void);

/* ---- term.c */

/* An attach came through; who was the owner is so no more. NULL: it was replaced while this was looked at. */
struct term *term_begin(struct site *s, struct home *h, struct firn_volume *volume);
/* Lets it go; mode: enum firn_detach_mode. */
void term_end(struct term *t, uint32_t mode);
/* Handles of volumes that others have taken and nobody uses. */
void drop_lost(struct site *s);

/* ---- site.c */

/* Boots the node, opens the engine, attaches what lives there, starts its users. */
void site_boot(uint32_t site);
/* The process is dead, or has ended. */
void site_gone(uint32_t site);
/* Another node takes the volume, whatever its writer does: out of his log if that lies in the store, with "abandon" without
 * his log. False: not now. */
bool take_over(struct home *h, uint32_t site, const char *takeover);
#endif
