/* A mutex that spins a little before it sleeps: for locks held for well under a microsecond on a path where
 * a system call would cost more than the wait. */
#ifndef BASE_MUTEX_H
#define BASE_MUTEX_H
#include <pthread.h>

static inline void mutex_init(pthread_mutex_t *m)
{
#ifdef PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP
	pthread_mutexattr_t attr;
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ADAPTIVE_NP);
	pthread_mutex_init(m, &attr);
	pthread_mutexattr_destroy(&attr);
#else
	pthread_mutex_init(m, NULL);
#endif
}
#endif
