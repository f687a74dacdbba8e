/* How a check fails, its memory, its chance, its threads. */
#include "tests/conformance/trial.h"
#include "tests/conformance/run.h"
#include <stdarg.h>

struct memory {
	struct memory *next;
	_Alignas(16) uint8_t data[];
};

static _Noreturn void end_failed(struct trial *t, const char *fmt, va_list args)
{
	char why[WHY_ROOM]; /* t->why may be among the arguments */

	(void)vsnprintf(why, sizeof why, fmt, args);
	memcpy(t->why, why, sizeof why);
	t->failed = true;
	longjmp(t->end, 1);
}

void must(struct trial *t, bool ok, const char *fmt, ...)
{
	va_list args;

	if (ok)
		return;
	va_start(args, fmt);
	end_failed(t, fmt, args);
	va_end(args);
}

void must_fail(struct trial *t, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	end_failed(t, fmt, args);
	va_end(args);
}

void not_asked(struct trial *t)
{
	t->not_asked = true;
	longjmp(t->end, 1);
}

bool trial_try(struct trial *t, void (*body)(struct trial *t, void *arg), void *arg)
{
	jmp_buf outer;

	memcpy(&outer, &t->end, sizeof outer);
	if (!setjmp(t->end))
		body(t, arg);
	memcpy(&t->end, &outer, sizeof outer);
	return !t->failed;
}

void *trial_alloc(struct trial *t, size_t len)
{
	struct memory *m = calloc(1, sizeof *m + len + 1);

	if (!m)
		must_fail(t, "this machine has no memory for %zu bytes", len);
	m->next = t->memory;
	t->memory = m;
	return m->data;
}

void trial_forget(struct trial *t)
{
	while (t->memory) {
		struct memory *m = t->memory;

		t->memory = m->next;
		free(m);
	}
}

uint8_t *trial_noise(struct trial *t, size_t len, uint64_t seed)
{
	uint8_t *data = trial_alloc(t, len + 8);
	uint64_t x = seed * 2654435761u + 1;

	for (size_t i = 0; i < len; i += 8) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		uint64_t mixed = x ^ x >> 29;

		memcpy(data + i, &mixed, 8);
	}
	return data;
}

uint32_t trial_chance(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*state >> 33);
}

bool can(const struct trial *t, uint64_t caps)
{
	return (t->host->info.caps & caps) == caps;
}

/* ---- threads ---- */

struct member {
	struct trial trial;
	pthread_barrier_t *start;
	void (*body)(struct trial *t, unsigned i, void *arg);
	void *arg;
	unsigned i;
	bool started;
	pthread_t thread;
};

static void *member_main(void *arg)
{
	struct member *m = arg;

	(void)pthread_barrier_wait(m->start);
	if (!setjmp(m->trial.end))
		m->body(&m->trial, m->i, m->arg);
	return NULL;
}

/* Hands the threads' memory to the check: what they gave it may point there. */
static void take_memory(struct trial *t, struct trial *from)
{
	while (from->memory) {
		struct memory *m = from->memory;

		from->memory = m->next;
		m->next = t->memory;
		t->memory = m;
	}
}

void crew(struct trial *t, unsigned n, void (*body)(struct trial *t, unsigned i, void *arg),
          void *arg)
{
	struct member *member = trial_alloc(t, n * sizeof *member);
	pthread_barrier_t start;

	(void)pthread_barrier_init(&start, NULL, n);
	for (unsigned i = 0; i < n; i++) {
		struct member *m = &member[i];

		m->trial = *t;
		m->trial.memory = NULL;
		m->start = &start;
		m->body = body;
		m->arg = arg;
		m->i = i;
		if (pthread_create(&m->thread, NULL, member_main, m)) {
			(void)fputs("firn-conformance: no threads to be had\n", stderr);
			exit(2); /* those that wait at the barrier cannot be called back */
		}
	}
	for (unsigned i = 0; i < n; i++) {
		(void)pthread_join(member[i].thread, NULL);
		take_memory(t, &member[i].trial);
	}
	(void)pthread_barrier_destroy(&start);
	for (unsigned i = 0; i < n; i++)
		if (member[i].trial.failed)
			must_fail(t, "%s", member[i].trial.why);
}
