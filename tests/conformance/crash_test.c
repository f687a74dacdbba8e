/* A writer is killed in the middle of its puts: every object is whole or absent, conditions hold
 * on, and nobody waits for the dead. Only for stores that outlive a process. */
#include "tests/conformance/trial.h"
#include <signal.h>
#include <sys/wait.h>

enum { N_KEYS = 4, N_WORDS = 64 << 10, ROUNDS = 25 };

/* An object says in its every word which put it came from. */
static void fill(uint64_t *words, uint64_t n)
{
	for (size_t i = 0; i < N_WORDS; i++)
		words[i] = n;
}

static void put_words(struct store *s, const char *key, uint64_t *words, uint64_t n)
{
	struct iovec iov = { words, N_WORDS * sizeof *words };

	fill(words, n);
	(void)store_put(s, key, &iov, 1, STORE_ALWAYS, NULL, NULL, NULL);
}

/* Replaces, creates and deletes until it dies; never returns. */
static void writer(const char *uri, uint64_t round)
{
	uint64_t *words = malloc(N_WORDS * sizeof *words);
	struct store *s = NULL;

	if (!words || store_open(env_default(), uri, &s, NULL))
		_exit(3);
	for (uint64_t n = 1;; n++) {
		char key[32];

		(void)snprintf(key, sizeof key, "d%d/k%d", (int)(n % 2), (int)(n % N_KEYS));
		put_words(s, key, words, round * 1000000 + n);
		if (n % 5 == 0)
			(void)store_delete(s, key, NULL);
		(void)snprintf(key, sizeof key, "d%d/counter", (int)(n % 2));
		for (int i = 0; i < 3; i++) {
			struct store_version v;
			struct iovec iov = { words, N_WORDS * sizeof *words };

			if (!store_stat(s, key, NULL, &v, NULL))
				(void)store_put(s, key, &iov, 1, STORE_IF_MATCH, &v, NULL, NULL);
			else
				(void)store_put(s, key, &iov, 1, STORE_IF_ABSENT, NULL, NULL, NULL);
		}
	}
}

static int check_whole(void *arg, const char *key, uint64_t size)
{
	struct trial *t = arg;
	uint64_t *words = malloc(N_WORDS * sizeof *words);
	size_t got = 0;

	cr_assert_eq(size, N_WORDS * sizeof *words, "%s has %llu bytes", key,
	             (unsigned long long)size);
	cr_assert_eq(store_get(t->store, key, 0, words, N_WORDS * sizeof *words, &got, &t->err),
	             FIRN_OK, "%s", t->err.text);
	cr_assert_eq(got, N_WORDS * sizeof *words);
	for (size_t i = 1; i < N_WORDS; i++)
		cr_assert_eq(words[i], words[0], "%s is of two puts", key);
	free(words);
	return 0;
}

Test(crash, killed_in_the_middle_of_a_put_objects_are_whole_or_absent, .timeout = 120)
{
	struct trial t;
	uint64_t x = 12345, *words = malloc(N_WORDS * sizeof *words);

	trial_open(&t, "file");
	for (uint64_t round = 0; round < ROUNDS; round++) {
		pid_t child = fork();

		cr_assert_geq(child, 0);
		if (child == 0)
			writer(t.uri, round);
		x = x * 6364136223846793005u + 1442695040888963407u;
		(void)usleep(3000 + (useconds_t)(x >> 33) % 60000);
		cr_assert_eq(kill(child, SIGKILL), 0);
		int status;

		cr_assert_eq(waitpid(child, &status, 0), child);
		cr_assert(WIFSIGNALED(status), "it wrote until it was killed: %d", status);
		cr_assert_eq(store_list(t.store, "", "", check_whole, &t, &t.err), FIRN_OK, "%s",
		             t.err.text);
		/* The dead hold no lock. */
		put_words(t.store, "d0/k0", words, 7);
		put_words(t.store, "d1/counter", words, 7);
	}
	free(words);
	trial_close(&t);
}
