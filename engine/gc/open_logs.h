/* Logs without a seal that nobody writes any more: the next sweep but one makes an end of them.
 *
 *   sweep n      LIST: a log, not ours, without an end --by chance, OPEN_LOGS of them--> remembered with its last slot
 *   sweep n + 1  its last slot is still the last --> all that lies in it is stored, nobody names it (logs.h) --> PUT a seal
 *                behind the last slot, if absent
 *   sweep n + 2  it is a sealed log like others
 *
 * They are left by engines that ended or died with no volume attached: no taker comes who would walk them. (An engine that
 * ends with all its volumes detached deletes its slots itself, slots_end(); it may not have the time, or the store.)
 *
 * Its writer may live, stopped for however long, and that it stood still proves nothing. What makes it safe is the seal:
 *   - z, the slot of the seal, was never there: then it never will be, its writer acks nothing at or above z (slots.h), goes on in
 *     a new log, and this one is the slots below z, as behind a seal of a taker;
 *   - or z was there, and went before we came: by its writer, and then each manifest that names the log, or will, gives a position
 *     above z, as he deletes only below all of these and joins only at what is acked (slots_join, S2); or by a sweep of a
 *     log that ended above z. Such a seal ends nothing, but what lies below z is needed by nobody.
 * So whichever it was, what is below z may go once it is stored and nobody names the log, and says nothing of what is above. A
 * taker's seal stands in a hole that he had to pass: what is above it is in no log. Therefore the two differ in their bytes
 * (slots_seal_of_sweep), and of a log with no seal but of sweeps nothing goes while a slot stands above the last of them: a
 * further seal is put behind that.
 *
 * By chance and few at a time, since each costs GETs of its slots and of manifests: of logs that are written to, which most are, the
 * last slot moves, and they cost nothing but their keys in the LIST. */
#ifndef GC_OPEN_LOGS_H
#define GC_OPEN_LOGS_H
#include <firn/error.h>
#include <stdbool.h>
#include <stdint.h>

struct firn_env;
struct store;

enum { OPEN_LOGS = 8 };

struct open_log {
	uint8_t id[16];
	uint64_t last;
};

/* Only of the sweep of logs, one at a time. */
struct open_logs {
	uint32_t n_was, n_now;
	uint64_t n_seen;
	struct open_log was[OPEN_LOGS], now[OPEN_LOGS]; /* of the sweep before, of this one */
};

void open_logs_begin(struct open_logs *o);
/* Remembers it, perhaps. True: it stood so in the sweep before. */
bool open_logs_look(struct open_logs *o, const struct firn_env *env, const uint8_t id[16],
                    uint64_t last);
/* Behind `last`. FIRN_ECONFLICT: something is there by now; FIRN_ESTORE, FIRN_ENOMEM. */
int open_logs_seal(struct store *store, const struct firn_env *env, const uint8_t id[16],
                   uint64_t last, struct firn_error *err);
#endif
