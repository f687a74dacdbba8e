/* What was put is there when the store is opened again, and when its writer was killed: whole or
 * absent, conditions hold on, and nobody waits for the dead. */
#include "tests/conformance/run.h"
#include "tests/conformance/trial.h"
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static void holds(struct trial *t, void *arg)
{
	const struct firn_store_version *v = arg;
	struct firn_store_version seen;

	must_hold(t, "vol/manifest", "kept");
	must(t, stat_key(t, "vol/manifest", NULL, &seen) == FIRN_OK && same_version(v, &seen),
	     "expected the version of before, %.*s, got %.*s", (int)v->len, v->text, (int)seen.len,
	     seen.text);
}

static void opened_again(struct trial *t)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct host *mine = t->host, *first = host_open(t->uri, &err), *second = NULL;
	struct firn_store_version v = { 0 };

	must(t, first != NULL, "opening the URI again: expected success, got %s", err.text);
	t->host = first;
	v = put(t, "vol/manifest", "kept");
	t->host = mine;
	host_close(first);
	second = host_open(t->uri, &err);
	must(t, second != NULL, "opening it after a close: expected success, got %s", err.text);
	t->host = second;
	(void)trial_try(t, holds, &v);
	t->host = mine;
	if (!t->run->hung)
		host_close(second);
	must(t, !t->failed, "after closing and opening: %s", t->why);
}

/* ---- kill -9 ---- */

enum { N_KEYS = 4, N_WORDS = 16 << 10, N_KILLS = 10 };

/* An object says in its every word which PUT it came from. */
static void put_words(struct trial *t, const char *key, uint64_t *words, uint64_t n)
{
	for (size_t i = 0; i < N_WORDS; i++)
		words[i] = n;
	(void)put_bytes(t, key, words, N_WORDS * sizeof *words);
}

static void swap_words(struct trial *t, const char *key, uint64_t *words)
{
	struct ask *a = ask_new(t, FIRN_STORE_PUT, key);
	struct iovec iov = { words, N_WORDS * sizeof *words };

	a->req.iov = &iov;
	a->req.n_iov = 1;
	a->req.len = iov.iov_len;
	if (stat_key(t, key, NULL, &a->match) == FIRN_OK && a->match.len) {
		a->req.condition = FIRN_STORE_IF_MATCH;
		a->req.match = &a->match;
	} else {
		a->req.condition = FIRN_STORE_IF_ABSENT;
	}
	(void)ask_do(t, a, true);
	host_ask_free(a);
}

/* Acknowledges on standard output: "n\n" once PUT n of the journal is done. */
static void write_for_ever(struct trial *t, void *arg)
{
	uint64_t *words = trial_alloc(t, N_WORDS * sizeof *words);

	(void)arg;
	for (uint64_t n = 1;; n++) {
		char key[32], line[32];

		(void)snprintf(key, sizeof key, "journal/%06llu", (unsigned long long)n);
		(void)put(t, key, "done");
		int len = snprintf(line, sizeof line, "%llu\n", (unsigned long long)n);
		if (write(STDOUT_FILENO, line, (size_t)len) != len)
			_exit(0);
		(void)snprintf(key, sizeof key, "d%d/k%d", (int)(n % 2), (int)(n % N_KEYS));
		put_words(t, key, words, n);
		if (n % 5 == 0)
			delete_key(t, key);
		(void)snprintf(key, sizeof key, "d%d/swapped", (int)(n % 2));
		swap_words(t, key, words);
	}
}

int durable_writer(const char *uri, const char *prefix)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct run run = { .uri = uri };
	struct trial *t = calloc(1, sizeof *t);

	(void)pthread_mutex_init(&run.lock, NULL);
	if (!t || !(t->host = host_open(uri, &err)))
		return 3;
	t->run = &run;
	t->uri = uri;
	(void)snprintf(t->prefix, sizeof t->prefix, "%s", prefix);
	(void)trial_try(t, write_for_ever, NULL);
	(void)fprintf(stderr, "%s\n", t->why);
	return 4;
}

/* Starts a writer, kills it once it has acknowledged `acks` PUTs; how many it did acknowledge. */
static unsigned long kill_a_writer(struct trial *t, unsigned acks)
{
	char *argv[] = { (char *)(uintptr_t)t->run->program, (char *)(uintptr_t) "--writer",
		         t->prefix, (char *)(uintptr_t)t->uri, NULL };
	posix_spawn_file_actions_t actions;
	char line[64];
	unsigned long acked = 0;
	int pipe_fd[2], status = 0;
	pid_t child = 0;

	must(t, pipe(pipe_fd) == 0, "no pipe to be had");
	(void)posix_spawn_file_actions_init(&actions);
	(void)posix_spawn_file_actions_adddup2(&actions, pipe_fd[1], STDOUT_FILENO);
	(void)posix_spawn_file_actions_addclose(&actions, pipe_fd[0]);
	(void)posix_spawn_file_actions_addclose(&actions, pipe_fd[1]);
	int rc = posix_spawn(&child, argv[0], &actions, NULL, argv, environ);

	(void)posix_spawn_file_actions_destroy(&actions);
	(void)close(pipe_fd[1]);
	FILE *out = fdopen(pipe_fd[0], "r");

	must(t, rc == 0 && out, "starting %s again: %s", argv[0], strerror(rc));
	for (unsigned n = 0; n < acks && fgets(line, sizeof line, out); n++)
		acked = strtoul(line, NULL, 10);
	(void)kill(child, SIGKILL);
	while (fgets(line, sizeof line, out)) /* what it said before it died counts */
		if (strchr(line, '\n'))
			acked = strtoul(line, NULL, 10);
	(void)fclose(out);
	(void)waitpid(child, &status, 0);
	must(t, WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL,
	     "expected the writer to write until it is killed, it ended with status %#x", status);
	return acked;
}

static void must_be_whole(struct trial *t, const char *key)
{
	uint64_t *words = trial_alloc(t, N_WORDS * sizeof *words + 8);
	size_t got = 0;
	int rc = get(t, key, 0, words, N_WORDS * sizeof *words + 8, &got);

	if (rc == FIRN_ENOENT)
		return;
	must(t, rc == FIRN_OK && got == N_WORDS * sizeof *words,
	     "%s after a kill: expected it whole or absent, got %s and %zu bytes", key,
	     firn_code_name(rc), got);
	for (size_t i = 1; i < N_WORDS; i++)
		must(t, words[i] == words[0], "%s after a kill: expected bytes of one PUT, got two",
		     key);
}

static void note_leftovers(struct trial *t, unsigned long n)
{
	char key[PREFIX_ROOM + 32];

	for (unsigned long i = 1; i <= n + 1; i++) {
		(void)snprintf(key, sizeof key, "%sjournal/%06lu", t->prefix, i);
		run_note_key(t->run, key);
	}
	for (int i = 0; i < N_KEYS; i++) {
		(void)snprintf(key, sizeof key, "%sd%d/k%d", t->prefix, i % 2, i);
		run_note_key(t->run, key);
		(void)snprintf(key, sizeof key, "%sd%d/swapped", t->prefix, i % 2);
		run_note_key(t->run, key);
	}
}

/* A store within this process has nothing that outlives it. */
static void must_outlive_us(struct trial *t)
{
	if (!strncmp(t->uri, "mem:", 4) || strstr(t->uri, ":mem:"))
		not_asked(t);
}

static void acked_survives(struct trial *t)
{
	char key[32];

	must_outlive_us(t);
	for (unsigned round = 1; round <= 3; round++) {
		unsigned long acked = kill_a_writer(t, 5 * round);

		note_leftovers(t, acked);
		must(t, acked >= 5 * round, "expected %u PUTs done before the kill, got %lu",
		     5 * round, acked);
		for (unsigned long n = 1; n <= acked; n++) {
			(void)snprintf(key, sizeof key, "journal/%06lu", n);
			must_hold(t, key, "done");
		}
	}
}

static void whole_or_absent(struct trial *t)
{
	char key[32];

	must_outlive_us(t);
	for (unsigned kill_n = 0; kill_n < N_KILLS; kill_n++) {
		unsigned long acked = kill_a_writer(t, 1 + kill_n);

		note_leftovers(t, acked);
		for (int i = 0; i < N_KEYS; i++) {
			(void)snprintf(key, sizeof key, "d%d/k%d", i % 2, i);
			must_be_whole(t, key);
			(void)snprintf(key, sizeof key, "d%d/swapped", i % 2);
			must_be_whole(t, key);
		}
	}
}

static void the_dead_hold_no_lock(struct trial *t)
{
	uint64_t *words = trial_alloc(t, N_WORDS * sizeof *words);

	must_outlive_us(t);
	for (unsigned kill_n = 0; kill_n < N_KILLS; kill_n++) {
		unsigned long acked = kill_a_writer(t, 2 + kill_n);

		note_leftovers(t, acked);
		put_words(t, "d0/k0", words, 7);
		put_words(t, "d1/swapped", words, 8);
		delete_key(t, "d1/k1");
		must_be_absent(t, "d1/k1");
	}
}

static void conditions_hold_on(struct trial *t)
{
	char key[32];

	must_outlive_us(t);
	unsigned long acked = kill_a_writer(t, 4);

	note_leftovers(t, acked);
	for (unsigned long n = 1; n <= acked; n++) {
		(void)snprintf(key, sizeof key, "journal/%06lu", n);
		int rc = try_put(t, key, "another", FIRN_STORE_IF_ABSENT, NULL, NULL);

		must(t, rc == FIRN_ECONFLICT,
		     "put-if-absent over what the dead put: expected FIRN_ECONFLICT, got %s",
		     firn_code_name(rc));
	}
}

static const struct check checks[] = {
	{ "objects survive closing and opening", opened_again, 0, NULL },
	{ "what was done before a kill -9 is there", acked_survives, 0, NULL },
	{ "after a kill -9 objects are whole or absent", whole_or_absent, 0, NULL },
	{ "the dead hold no lock", the_dead_hold_no_lock, 0, NULL },
	{ "put-if-absent sees what the dead put", conditions_hold_on, FIRN_STORE_CAN_PUT_IF_ABSENT,
	  NULL },
};
GROUP(durable, checks);
