/* fault:SCRIPT:URI -- any store, made unreliable on purpose and repeatably.
 *
 *	fault:seed=7,throttle=5,retry_after_ms=20,lost=2:file:///srv/firn
 *
 * A script is a list of name=value, separated by commas:
 *
 *	seed=N             what happens to the n-th request depends on seed and n alone (0)
 *	latency_ms=N       every answer comes so much later
 *	jitter_ms=N        and by chance up to so much more
 *	throttle=P         P per cent (0 to 100, decimals allowed) are throttled, nothing is done ...
 *	retry_after_ms=N   ... with this time to wait
 *	reset=P            ... fail before they had an effect: RETRY
 *	dropped=P          ... are never done, and the answer is a time-out: AMBIGUOUS
 *	lost=P             ... are done, and the answer is a time-out: AMBIGUOUS
 *	truncate=P         ... of the GETs give fewer bytes than the range has, and say DONE
 *	flip=P             ... of the GETs have one bit flipped, and say DONE
 *	outage=FROM+FOR    from FROM ms after opening, for FOR ms, nothing gets through: RETRY
 *	outage_while=PATH  nothing gets through as long as there is a file of that name; an absolute path
 *	                   without , and :
 *	cut=N              the N-th request after opening is done and the answer is a time-out; from then on nothing gets
 *	                   through: as a crash right behind it
 *	ignore=absent      put-if-absent is done without its condition, although claimed;
 *	ignore=match       put-if-match likewise; ignore=both
 *
 * What the inner store claims is claimed. Faults may be stacked: fault:...:fault:...:mem:x. */
#ifndef STORE_FAULT_H
#define STORE_FAULT_H
#include "engine/store/internal.h"

enum { FAULT_DEPTH_MAX = 4, FAULT_PATH_MAX = 255 };

struct fault_script {
	uint64_t seed, cut;
	/* in millionths of all requests */
	uint32_t throttle, reset, dropped, lost, truncate, flip;
	uint32_t latency_ms, jitter_ms, retry_after_ms;
	uint32_t outage_from_ms, outage_for_ms;
	uint32_t ignore; /* bits: 1 << enum firn_store_condition */
	char outage_while[FAULT_PATH_MAX + 1];
};

/* If the URI begins with fault: reads the script, sets *rest to what follows it and returns 1;
 * 0: it does not; FIRN_EINVAL: the script is wrong, *err says where. */
int fault_parse(const char *uri, struct fault_script *script, const char **rest,
                struct firn_error *err);
/* Puts itself between the store and its opened back end: s->plugin and s->handle become the
 * wrapper's, whose close() closes the back end. */
int fault_wrap(struct store *s, const struct fault_script *script, struct firn_error *err);
#endif
