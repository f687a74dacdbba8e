/* Deadlines for waits on conditions whose clock is CLOCK_MONOTONIC, as all of the engine's are. */
#ifndef BASE_WAIT_H
#define BASE_WAIT_H
#include <stdint.h>
#include <time.h>

/* The moment `ns` from now, as pthread_cond_timedwait() takes it. */
static inline struct timespec mono_after(uint64_t ns)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += (time_t)(ns / 1000000000u);
	t.tv_nsec += (long)(ns % 1000000000u);
	if (t.tv_nsec >= 1000000000) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000;
	}
	return t;
}
#endif
