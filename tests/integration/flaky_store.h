/* What a test may tell the store plug-in of flaky_store.c, found by dlsym(flaky_control). Numbers count
 * down: so many requests are treated like that. */
#ifndef TESTS_FLAKY_STORE_H
#define TESTS_FLAKY_STORE_H
#include <stdatomic.h>

enum flaky_cas {
	FLAKY_LOST = 1,    /* the answer is lost; it was done */
	FLAKY_DROPPED = 2, /* the answer is lost; it was never done */
	FLAKY_LATE =
	        3 /* the answer is lost; it is done when the next PUT of the key comes, before that */
};

struct flaky {
	atomic_int away;      /* not 0: nothing is done, everything may be tried again */
	atomic_int throttled; /* so many requests: not now, wait 5 ms */
	atomic_int cas;       /* so many PUTs of a manifest are treated as cas_how says */
	atomic_int cas_how;   /* enum flaky_cas */
	atomic_int fail_at;   /* 1: this request ends as fail_how says; counts down */
	atomic_int fail_how;  /* enum firn_store_outcome; AMBIGUOUS has been done */
	atomic_int n_failed;
	atomic_int hold;          /* so many requests are not answered, nor done, before let_go() */
	atomic_int hold_segments; /* not 0: only PUTs of segments count */
	atomic_int hold_manifests; /* as hold, of PUTs of manifests */
	atomic_int hold_reads;     /* as hold, of GETs of segments */
	atomic_int n_held;
	atomic_int n_request, n_put, n_manifest, n_segment;
	void (*let_go)(void); /* does what is held, and answers */
};

struct flaky *flaky_control(void);
#endif
