/* The users of the engines: for each attached volume one who writes and some who read, all at once. */
#ifndef SIM_WORK_H
#define SIM_WORK_H
#include "tests/sim/check.h"
#include "tests/sim/node.h"

enum site_state { SITE_DOWN, SITE_OPENING, SITE_UP, SITE_FAILED, SITE_CLOSED };

enum { HOME_OWNERS = 256, SITE_LOST = 64 };

struct home {
	struct m_volume m;
	uint32_t site;              /* where it lives, or will next */
	struct firn_volume *volume; /* attached */
	bool attached;              /* and looked at */
	bool changes;               /* hands, right now */
	bool given_up;              /* refused after damage that was told: no more is asked of it */
	bool clean;                 /* the last detach drained it */
	bool maybe_clean; /* the store may say so: a detach began to, no attach came through since */
	uint32_t got_site;
	uint32_t n_owner; /* attaches that came through: who was let in before is cut off */
	uint64_t cut[HOME_OWNERS]; /* with how many writes each began */
	uint64_t tries,
	        got; /* attaches begun; which of them was the last that came through, 0 none */
};

/* A node as the director sees it. Not in the memory of the process: it outlives kills. */
struct site {
	struct node *node;
	enum site_state state;
	bool stop; /* finish what is under way and close */
	bool sick; /* the WAL failed: only a new opening helps */
	bool hurt; /* a flush lied here, or a bit flipped: loss that is told is allowed */
	uint32_t detach_mode, n_client;
	struct firn_volume *lost[SITE_LOST]; /* taken by others, not detached yet */
	uint32_t n_lost;
};

enum { N_SITES = 2, N_HOMES = 3 };
extern struct site sites[N_SITES];
extern struct home homes[N_HOMES];

/* An error that may be over when it is tried again. */
bool passing(int code);
/* A stream that takes operations: there, and its number known. M_STREAMS: none. */
uint32_t some_stream(const struct m_state *st);
/* Boots the node, opens the engine, attaches what lives there, starts its users. */
void site_boot(uint32_t site);
/* With the log in a store: another node takes the volume, whatever its writer does. False: not now. */
bool take_over(struct home *h, uint32_t site);
/* A reader elsewhere: what is stored is one cut. */
void cut_check(void);
#endif
