/* The n-th system call, or thread, of the whole program fails: what the engine asks of the system
 * through firn_env, and what goes past it (file store, LMDB, io_uring). This file's functions stand
 * before libc's in every program that is linked with syscalls.c; unarmed they only hand on. */
#ifndef TESTS_SYSCALLS_H
#define TESTS_SYSCALLS_H
#include <stdbool.h>
#include <stdint.h>

enum syscalls_kind {
	SYSCALLS_IO = 1,      /* open, read, write, flush, names, sizes, eventfd, rings */
	SYSCALLS_THREADS = 2, /* pthread_create: EAGAIN */
};

/* From now on the n-th call (from 1) of these kinds fails with this errno; `lasting`: and all after
 * it. kinds 0: none does. */
void syscalls_arm(uint32_t kinds, int error, long long n, bool lasting);
void syscalls_disarm(void); /* none fails any more; what has failed stays known */
/* How many have failed since; and the name of the first of them ("" for none). */
long long syscalls_failed(const char **first);
#endif
