#include "tests/sim/sched.h"
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

enum { STACK = 256 << 10, STACKS = 256, STEP_NS = 200 };

enum fibre_state { RUNS, BLOCKED, ENDED, DEAD };

/* A switch saves registers only: swapcontext() asks the kernel about signals each time, which costs ten times as much. It
 * begins a fibre. AddressSanitizer takes a jump to another stack for an error, so there swapcontext() does it all. */
#if defined(__SANITIZE_ADDRESS__)
#define SWITCHES_SLOWLY 1
#else
#define SWITCHES_SLOWLY 0
#endif

struct fibre {
	ucontext_t at;
	jmp_buf jump;
	bool begun, paused;
	void *stack;
	uint32_t id, process;
	enum fibre_state state;
	const void *on;
	uint64_t wake_ns; /* 0 none */
	bool timed_out;
	void (*run)(void *);
	void *(*thread)(void *); /* of pthread_create */
	void *arg;
	char name[24];
};

static struct {
	struct fibre **all; /* by id - 1 */
	uint32_t n, cap, n_world;
	struct fibre *now;
	ucontext_t home;
	jmp_buf home_jump;
	uint64_t ns, steps;
	uint32_t one_in;
	struct rng rng;
	struct fibre **live; /* those that are not ended: runnable or blocked */
	uint32_t n_live, n_stack;
	void *stack[STACKS]; /* of fibres that have ended, for the next */
} S;

uint64_t rng_next(struct rng *r)
{
	uint64_t z = r->s += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64, public domain, Vigna */
	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

uint64_t rng_below(struct rng *r, uint64_t n)
{
	return rng_next(r) % n;
}

bool rng_one_in(struct rng *r, uint32_t n)
{
	return rng_next(r) % n == 0;
}

void sched_init(uint64_t seed)
{
	memset(&S, 0, sizeof S);
	S.rng.s = seed ^ UINT64_C(0x5c4ed);
	S.ns = UINT64_C(1000000000);
	S.one_in = 16;
}

uint64_t sched_now(void)
{
	return S.ns;
}

uint64_t sched_steps(void)
{
	return S.steps;
}

uint32_t sched_process(void)
{
	return S.now ? S.now->process : 0;
}

const char *sched_name(void)
{
	return S.now ? S.now->name : "main";
}

static void to_home(void)
{
	struct fibre *f = S.now;
	if (SWITCHES_SLOWLY)
		(void)swapcontext(&f->at, &S.home);
	else if (!_setjmp(f->jump))
		_longjmp(S.home_jump, 1);
}

/* The fibre runs until it waits or ends. */
static void to_fibre(struct fibre *f)
{
	if (SWITCHES_SLOWLY) {
		(void)swapcontext(&S.home, &f->at);
	} else if (!_setjmp(S.home_jump)) {
		if (f->begun)
			_longjmp(f->jump, 1);
		f->begun = true;
		(void)setcontext(&f->at);
		abort();
	}
}

static void fibre_main(void)
{
	struct fibre *f = S.now;
	if (f->thread)
		(void)f->thread(f->arg);
	else
		f->run(f->arg);
	f->state = ENDED;
	sched_wake(f, UINT32_MAX);
	to_home();
	abort();
}

static struct fibre *fibre_new(uint32_t process, const char *name)
{
	struct fibre *f = calloc(1, sizeof *f);
	if (S.n == S.cap) {
		S.cap = S.cap ? 2 * S.cap : 64;
		S.all = realloc(S.all, S.cap * sizeof *S.all);
		S.live = realloc(S.live, S.cap * sizeof *S.live);
	}
	f->stack = S.n_stack ? S.stack[--S.n_stack]
	                     : mmap(NULL, STACK, PROT_READ | PROT_WRITE,
	                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (!S.all || !S.live || f->stack == MAP_FAILED)
		abort();
	S.all[S.n++] = f;
	S.live[S.n_live++] = f;
	f->id = S.n;
	f->process = process;
	(void)snprintf(f->name, sizeof f->name, "%s", name);
	(void)getcontext(&f->at);
	f->at.uc_stack.ss_sp = f->stack;
	f->at.uc_stack.ss_size = STACK;
	f->at.uc_link = NULL;
	makecontext(&f->at, fibre_main, 0);
	S.n_world += process == 0;
	return f;
}

struct fibre *sched_spawn(uint32_t process, const char *name, void (*run)(void *), void *arg)
{
	struct fibre *f = fibre_new(process, name);
	f->run = run;
	f->arg = arg;
	return f;
}

static void reap(uint32_t i)
{
	struct fibre *f = S.live[i];
	S.live[i] = S.live[--S.n_live];
	S.n_world -= f->process == 0;
	/* Where AddressSanitizer watches, a stack has marks of what died on it. */
	if (SWITCHES_SLOWLY || S.n_stack == STACKS)
		(void)munmap(f->stack, STACK);
	else
		S.stack[S.n_stack++] = f->stack;
	f->stack = NULL;
}

/* The next to run, by the seed; time moves when nobody can. NULL: a hang. */
static struct fibre *pick(void)
{
	for (;;) {
		uint32_t n = 0;
		uint64_t next = UINT64_MAX;
		for (uint32_t i = 0; i < S.n_live; i++) {
			struct fibre *f = S.live[i];
			if (f->paused)
				continue;
			if (f->state == BLOCKED && f->wake_ns && f->wake_ns <= S.ns) {
				f->state = RUNS;
				f->timed_out = true;
			}
			n += f->state == RUNS;
			if (f->state == BLOCKED && f->wake_ns && f->wake_ns < next)
				next = f->wake_ns;
		}
		if (n) {
			uint64_t k = rng_below(&S.rng, n);
			for (uint32_t i = 0;; i++)
				if (S.live[i]->state == RUNS && !S.live[i]->paused && k-- == 0)
					return S.live[i];
		}
		if (next == UINT64_MAX)
			return NULL;
		S.ns = next;
	}
}

bool sched_run(void)
{
	while (S.n_world) {
		struct fibre *f = pick();
		if (!f)
			return false;
		S.now = f;
		S.ns += STEP_NS;
		S.steps++;
		to_fibre(f);
		S.now = NULL;
		for (uint32_t i = 0; i < S.n_live;)
			if (S.live[i]->state >= ENDED)
				reap(i);
			else
				i++;
	}
	return true;
}

void sched_hang_text(char *text, uint32_t cap)
{
	uint32_t at = 0;
	text[0] = 0;
	for (uint32_t i = 0; i < S.n_live && at < cap; i++)
		at += (uint32_t)snprintf(text + at, cap - at, "%s%s/%u", i ? ", " : "",
		                         S.live[i]->name, S.live[i]->process);
}

void sched_kill(uint32_t process)
{
	bool self = S.now && S.now->process == process;
	for (uint32_t i = 0; i < S.n_live; i++)
		if (S.live[i]->process == process && S.live[i]->state != ENDED)
			S.live[i]->state = DEAD;
	if (self) {
		if (SWITCHES_SLOWLY)
			(void)setcontext(&S.home);
		else
			_longjmp(S.home_jump, 1);
		abort();
	}
}

void sched_pause(uint32_t process, bool stops)
{
	for (uint32_t i = 0; i < S.n_live; i++)
		if (S.live[i]->process == process)
			S.live[i]->paused = stops;
}

void sched_become(uint32_t process)
{
	S.now->process = process;
}

void sched_yield_now(void)
{
	if (S.now)
		to_home();
}

void sched_maybe_yield(void)
{
	if (S.now && rng_one_in(&S.rng, S.one_in))
		to_home();
}

bool sched_block(const void *on, uint64_t ns)
{
	struct fibre *f = S.now;
	if (!f)
		abort();
	f->state = BLOCKED;
	f->on = on;
	f->wake_ns = ns ? S.ns + ns : 0;
	f->timed_out = false;
	to_home();
	f->on = NULL;
	f->wake_ns = 0;
	return !f->timed_out;
}

void sched_sleep(uint64_t ns)
{
	static const char nobody;
	(void)sched_block(&nobody, ns ? ns : 1);
}

/* Whom it meets is up to the seed. */
void sched_wake(const void *on, uint32_t n)
{
	while (n) {
		uint32_t waiting = 0;
		for (uint32_t i = 0; i < S.n_live; i++)
			waiting += S.live[i]->state == BLOCKED && S.live[i]->on == on;
		if (!waiting)
			return;
		uint64_t k = n >= waiting ? 0 : rng_below(&S.rng, waiting);
		for (uint32_t i = 0; i < S.n_live; i++) {
			struct fibre *f = S.live[i];
			if (f->state != BLOCKED || f->on != on)
				continue;
			if (n >= waiting) {
				f->state = RUNS;
				continue;
			}
			if (k-- == 0) {
				f->state = RUNS;
				n--;
				break;
			}
		}
		if (n >= waiting)
			return;
	}
}

/* ---- the primitives of the engine: linked in their place by -Wl,--wrap ------------------------------ */

/* What a mutex, a condition or a lock is here, in the memory of the real one: zero is free. */
struct sim_lock {
	uint32_t owner, readers; /* owner: id of a fibre, 0 none */
};

int __wrap_pthread_mutex_init(pthread_mutex_t *m, const pthread_mutexattr_t *a);
int __wrap_pthread_mutex_destroy(pthread_mutex_t *m);
int __wrap_pthread_mutex_lock(pthread_mutex_t *m);
int __wrap_pthread_mutex_trylock(pthread_mutex_t *m);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *m);
int __wrap_pthread_cond_init(pthread_cond_t *c, const pthread_condattr_t *a);
int __wrap_pthread_cond_destroy(pthread_cond_t *c);
int __wrap_pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m);
int __wrap_pthread_cond_timedwait(pthread_cond_t *c, pthread_mutex_t *m, const struct timespec *t);
int __wrap_pthread_cond_signal(pthread_cond_t *c);
int __wrap_pthread_cond_broadcast(pthread_cond_t *c);
int __wrap_pthread_rwlock_init(pthread_rwlock_t *l, const pthread_rwlockattr_t *a);
int __wrap_pthread_rwlock_destroy(pthread_rwlock_t *l);
int __wrap_pthread_rwlock_rdlock(pthread_rwlock_t *l);
int __wrap_pthread_rwlock_wrlock(pthread_rwlock_t *l);
int __wrap_pthread_rwlock_unlock(pthread_rwlock_t *l);
int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*run)(void *), void *arg);
int __wrap_pthread_join(pthread_t t, void **result);
int __wrap_pthread_sigmask(int how, const sigset_t *set, sigset_t *old);
int __wrap_usleep(useconds_t us);
int __wrap_nanosleep(const struct timespec *t, struct timespec *left);
int __wrap_sched_yield(void);
int __wrap_clock_gettime(clockid_t id, struct timespec *t);
int __wrap_poll(struct pollfd *fds, nfds_t n, int ms);
ssize_t __wrap_write(int fd, const void *buf, size_t len);
ssize_t __real_write(int fd, const void *buf, size_t len);
int __real_poll(struct pollfd *fds, nfds_t n, int ms);
long __wrap_syscall(long number, ...);

static uint32_t me(void)
{
	return S.now ? S.now->id : UINT32_MAX;
}

int __wrap_pthread_mutex_init(pthread_mutex_t *m, const pthread_mutexattr_t *a)
{
	(void)a;
	memset(m, 0, sizeof *m);
	return 0;
}

int __wrap_pthread_mutex_destroy(pthread_mutex_t *m)
{
	(void)m;
	return 0;
}

static void take(struct sim_lock *l)
{
	while (l->owner) {
		if (l->owner == me()) /* would hang for ever */
			abort();
		(void)sched_block(l, SIM_FOREVER);
	}
	l->owner = me();
}

int __wrap_pthread_mutex_lock(pthread_mutex_t *m)
{
	sched_maybe_yield();
	take((struct sim_lock *)(void *)m);
	return 0;
}

int __wrap_pthread_mutex_trylock(pthread_mutex_t *m)
{
	struct sim_lock *l = (struct sim_lock *)(void *)m;
	if (l->owner)
		return EBUSY;
	l->owner = me();
	return 0;
}

int __wrap_pthread_mutex_unlock(pthread_mutex_t *m)
{
	struct sim_lock *l = (struct sim_lock *)(void *)m;
	if (l->owner != me())
		abort();
	l->owner = 0;
	sched_wake(l, 1);
	sched_maybe_yield();
	return 0;
}

int __wrap_pthread_cond_init(pthread_cond_t *c, const pthread_condattr_t *a)
{
	(void)a;
	memset(c, 0, sizeof *c);
	return 0;
}

int __wrap_pthread_cond_destroy(pthread_cond_t *c)
{
	(void)c;
	return 0;
}

static int cond_wait(pthread_cond_t *c, pthread_mutex_t *m, uint64_t ns)
{
	struct sim_lock *l = (struct sim_lock *)(void *)m;
	l->owner = 0;
	sched_wake(l, 1);
	bool woken = sched_block(c, ns);
	take(l);
	return woken ? 0 : ETIMEDOUT;
}

int __wrap_pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m)
{
	return cond_wait(c, m, SIM_FOREVER);
}

static uint64_t ns_of(const struct timespec *t)
{
	return (uint64_t)t->tv_sec * 1000000000u + (uint64_t)t->tv_nsec;
}

int __wrap_pthread_cond_timedwait(pthread_cond_t *c, pthread_mutex_t *m, const struct timespec *t)
{
	uint64_t until = ns_of(t);
	return cond_wait(c, m, until > S.ns ? until - S.ns : 1);
}

int __wrap_pthread_cond_signal(pthread_cond_t *c)
{
	sched_wake(c, 1);
	return 0;
}

int __wrap_pthread_cond_broadcast(pthread_cond_t *c)
{
	sched_wake(c, UINT32_MAX);
	return 0;
}

int __wrap_pthread_rwlock_init(pthread_rwlock_t *l, const pthread_rwlockattr_t *a)
{
	(void)a;
	memset(l, 0, sizeof *l);
	return 0;
}

int __wrap_pthread_rwlock_destroy(pthread_rwlock_t *l)
{
	(void)l;
	return 0;
}

int __wrap_pthread_rwlock_rdlock(pthread_rwlock_t *rw)
{
	struct sim_lock *l = (struct sim_lock *)(void *)rw;
	sched_maybe_yield();
	while (l->owner)
		(void)sched_block(l, SIM_FOREVER);
	l->readers++;
	return 0;
}

int __wrap_pthread_rwlock_wrlock(pthread_rwlock_t *rw)
{
	struct sim_lock *l = (struct sim_lock *)(void *)rw;
	sched_maybe_yield();
	while (l->owner || l->readers)
		(void)sched_block(l, SIM_FOREVER);
	l->owner = me();
	return 0;
}

int __wrap_pthread_rwlock_unlock(pthread_rwlock_t *rw)
{
	struct sim_lock *l = (struct sim_lock *)(void *)rw;
	if (l->owner)
		l->owner = 0;
	else
		l->readers--;
	sched_wake(l, UINT32_MAX);
	return 0;
}

int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*run)(void *), void *arg)
{
	(void)a;
	struct fibre *f = fibre_new(sched_process(), "thread");
	f->thread = run;
	f->arg = arg;
	*t = (pthread_t)f->id;
	return 0;
}

int __wrap_pthread_join(pthread_t t, void **result)
{
	struct fibre *f = S.all[(uint32_t)t - 1];
	while (f->state != ENDED)
		(void)sched_block(f, SIM_FOREVER);
	if (result)
		*result = NULL;
	return 0;
}

int __wrap_pthread_sigmask(int how, const sigset_t *set, sigset_t *old)
{
	(void)how, (void)set;
	if (old)
		(void)sigemptyset(old);
	return 0;
}

int __wrap_usleep(useconds_t us)
{
	sched_sleep(us * UINT64_C(1000));
	return 0;
}

int __wrap_nanosleep(const struct timespec *t, struct timespec *left)
{
	(void)left;
	sched_sleep(ns_of(t));
	return 0;
}

int __wrap_sched_yield(void)
{
	sched_yield_now();
	return 0;
}

int __wrap_clock_gettime(clockid_t id, struct timespec *t)
{
	(void)id;
	t->tv_sec = (time_t)(S.ns / 1000000000u);
	t->tv_nsec = (long)(S.ns % 1000000000u);
	return 0;
}

/* Descriptors are real (event fds): whoever writes one wakes all that poll. */
static const char polled;

int __wrap_poll(struct pollfd *fds, nfds_t n, int ms)
{
	uint64_t until = ms < 0 ? UINT64_MAX : S.ns + (uint64_t)ms * 1000000u;
	for (;;) {
		int rc = __real_poll(fds, n, 0);
		if (rc || !S.now || S.ns >= until)
			return rc;
		(void)sched_block(&polled, ms < 0 ? SIM_FOREVER : until - S.ns);
	}
}

ssize_t __wrap_write(int fd, const void *buf, size_t len)
{
	ssize_t n = __real_write(fd, buf, len);
	sched_wake(&polled, UINT32_MAX);
	return n;
}

static long futex(uint32_t *word, int op, uint32_t value, const struct timespec *t)
{
	switch (op & FUTEX_CMD_MASK) {
	case FUTEX_WAIT:
		sched_maybe_yield();
		if (__atomic_load_n(word, __ATOMIC_SEQ_CST) != value) {
			errno = EAGAIN;
			return -1;
		}
		if (sched_block(word, t ? ns_of(t) + 1 : SIM_FOREVER))
			return 0;
		errno = ETIMEDOUT;
		return -1;
	case FUTEX_WAKE:
		sched_wake(word, value);
		return 1;
	default:
		abort();
	}
}

long __wrap_syscall(long number, ...)
{
	va_list ap;
	va_start(ap, number);
	uint32_t *word = va_arg(ap, uint32_t *);
	int op = va_arg(ap, int);
	uint32_t value = va_arg(ap, uint32_t);
	const struct timespec *t = va_arg(ap, const struct timespec *);
	va_end(ap);
	if (number != SYS_futex)
		abort();
	return futex(word, op, value, t);
}
