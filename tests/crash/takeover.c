/* takeover DIR STORE LOG_STORE TAKEOVERS SEED: the loop. See loop.h.
 *
 *	kind      how the volume changes hands
 *	clean     its writer drains and detaches; the next has a directory of its own; the WAL may change between files and store
 *	killed    kill -9; the next opens the directory that is left
 *	lost      kill -9; the next has another directory: the log is in the store
 *	kept      its writer detaches and leaves what is not stored in its log in the store
 *	stopped   SIGSTOP; it is woken after this takeover or a later one, or killed as it stands
 *	living    the next attaches while it writes
 *
 * On file: a stopped process may hold the lock of an object that the next one needs; then it is woken before that one tries
 * again, and loses the volume as one that lives.
 *
 * Who is woken, or lost the volume while it lived, must find that out by itself and end. Nothing waits for a time to pass, but
 * for how long a writer writes; a process that does not do what it must within a minute fails the loop. */
#include "tests/crash/kill9.h"
#include "tests/crash/loop.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum kind { CLEAN, KILLED, LOST, KEPT, STOPPED, LIVING, N_KIND };
static const char *const kind_name[] = { "clean", "killed", "lost", "kept", "stopped", "living" };

enum { PATIENCE_MS = 60000, WORK_MS = 150, CUT = LOOP_NODES };

struct place { /* where a process runs, if one does */
	pid_t pid;
	struct node *node;
	bool stopped;
};

struct loop {
	const char *base, *store, *log_store;
	uint64_t seed, chance, run;
	struct place place[LOOP_NODES + 1]; /* the last one only looks */
	uint32_t owner;
	bool slots; /* the owner's log is in the store */
	uint32_t n[N_KIND], n_woken, n_held;
	unsigned long n_ack;
	uint32_t *us[N_KIND][3]; /* attach, first read, first ack */
	int log;
};

/* ---- processes ---- */

/* Each place has a directory for either kind of log: of those with a log in the store two may live at once. */
static void start(struct loop *l, uint32_t at, bool final, bool keep)
{
	static char path[LOOP_NODES + 1][1100];
	struct place *p = &l->place[at];
	*p = (struct place){ .node = p->node };
	memset(p->node, 0, sizeof *p->node);
	(void)snprintf(path[at], sizeof path[at], "%s/%s-%u", l->base,
	               at == CUT  ? "cut"
	               : l->slots ? "slots"
	                          : "files",
	               at);
	struct task t = { .node = p->node,
		          .dir = path[at],
		          .store = l->store,
		          .log_store = l->slots && at != CUT ? l->log_store : NULL,
		          .run = ++l->run,
		          .seed = chance(&l->chance, UINT64_MAX),
		          .keep = keep,
		          .final = final,
		          .log = l->log };
	(void)fflush(stdout);
	p->pid = fork();
	if (p->pid < 0)
		die("fork: %s", strerror(errno));
	if (p->pid)
		return;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL))
		die("prctl: %s", strerror(errno));
	if (at == CUT)
		cut_main(&t);
	node_main(&t);
}

/* -1: it runs; else how it ended. */
static int ended(struct place *p)
{
	int status;
	pid_t pid = waitpid(p->pid, &status, WNOHANG);
	if (pid == 0)
		return -1;
	if (pid != p->pid)
		die("waitpid: %s", strerror(errno));
	p->pid = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int await_end(struct place *p, const char *what)
{
	for (uint32_t ms = 0; ms < PATIENCE_MS; ms++) {
		int code = ended(p);
		if (code >= 0)
			return code;
		usleep(1000);
	}
	die("%s: it does not end", what);
}

static void expect_end(struct place *p, const char *what, int code)
{
	int got = await_end(p, what);
	if (got != code)
		die("%s: it ended with %d, not %d", what, got, code);
}

static void kill_it(struct place *p)
{
	kill(p->pid, SIGKILL);
	expect_end(p, "killed", 128 + SIGKILL);
}

/* 0: it writes; else how it ended. */
static int await_writes(struct place *p)
{
	for (uint32_t ms = 0; ms < PATIENCE_MS; ms++) {
		int code = ended(p);
		if (code >= 0)
			return code ? code : 1;
		if (atomic_load(&p->node->state) == NODE_WRITES && atomic_load(&p->node->n_ack))
			return 0;
		usleep(1000);
	}
	die("it does not write");
}

/* ---- who lost the volume ---- */

static void wake(struct loop *l, struct place *p)
{
	p->stopped = false;
	l->n_woken++;
	kill(p->pid, SIGCONT);
	expect_end(p, "woken", NODE_FENCED);
}

/* All that lost it, or only some of those who are stopped. */
static void clear(struct loop *l, bool all)
{
	for (uint32_t i = 0; i < LOOP_NODES; i++) {
		struct place *p = &l->place[i];
		if (!p->pid || i == l->owner)
			continue;
		if (!p->stopped)
			expect_end(p, "it lost the volume", NODE_FENCED);
		else if (chance(&l->chance, 8) == 0)
			kill_it(p);
		else if (all || chance(&l->chance, 2))
			wake(l, p);
	}
}

static uint32_t free_place(struct loop *l)
{
	uint32_t n = 0, at = 0;
	for (uint32_t i = 0; i < LOOP_NODES; i++)
		n += !l->place[i].pid;
	if (!n) {
		clear(l, true);
		return free_place(l);
	}
	do
		at = (uint32_t)chance(&l->chance, LOOP_NODES);
	while (l->place[at].pid);
	return at;
}

/* ---- a takeover ---- */

static enum kind draw(struct loop *l)
{
	static const enum kind in_files[] = { CLEAN, CLEAN, KILLED, KILLED, KILLED };
	static const enum kind in_slots[] = { CLEAN,   LOST,    KILLED,  LOST,   KEPT,
		                              STOPPED, STOPPED, STOPPED, LIVING, LIVING };
	return l->slots ? in_slots[chance(&l->chance, 10)] : in_files[chance(&l->chance, 5)];
}

static void let_go(struct place *p)
{
	atomic_store(&p->node->leave, true);
	expect_end(p, "told to leave", NODE_LEFT);
}

/* What becomes of the owner before the next one comes. */
static void end_owner(struct loop *l, enum kind kind)
{
	struct place *p = &l->place[l->owner];
	l->n_ack += atomic_load(&p->node->n_ack);
	switch (kind) {
	case CLEAN:
		let_go(p);
		l->slots = chance(&l->chance, 2) ? !l->slots : l->slots;
		break;
	case KEPT:
		let_go(p);
		break;
	case KILLED:
	case LOST:
		kill_it(p);
		break;
	case STOPPED:
		kill(p->pid, SIGSTOP);
		p->stopped = true;
		break;
	case LIVING:
	case N_KIND:
		break;
	}
}

static void note(struct loop *l, enum kind kind, const struct node *n)
{
	const atomic_ulong *us[3] = { &n->attach_us, &n->read_us, &n->ack_us };
	for (uint32_t i = 0; i < 3; i++)
		l->us[kind][i][l->n[kind]] = (uint32_t)atomic_load(us[i]);
	l->n[kind]++;
}

static void say_kind(struct loop *l, const char *name)
{
	struct task t = { .log = l->log };
	loop_say(&t, "kind %lu %s %lu", (unsigned long)loop_ns(), name, (unsigned long)l->run + 1);
}

/* The kind is known when the owner begins: who is to keep its log must know. */
static void take_over(struct loop *l, enum kind kind, bool final, bool keep)
{
	uint32_t at = free_place(l);
	end_owner(l, kind);
	at = kind == KILLED ? l->owner : at;
	say_kind(l, final ? "final" : kind_name[kind]);
	start(l, at, final, keep);
	l->owner = at;
}

static void await_owner(struct loop *l, bool keep)
{
	struct place *p = &l->place[l->owner];
	int rc = await_writes(p);
	if (rc == NODE_AWAY && !strncmp(l->store, "file:", 5)) {
		for (uint32_t i = 0; i < LOOP_NODES; i++)
			if (l->place[i].stopped) {
				kill(l->place[i].pid, SIGCONT);
				l->place[i].stopped = false;
				l->n_held++;
			}
		say_kind(l, "living");
		start(l, l->owner, false, keep);
		rc = await_writes(p);
	}
	if (rc)
		die("the next writer ended with %d", rc);
}

static void work(struct loop *l)
{
	usleep((useconds_t)(1000 * (20 + chance(&l->chance, WORK_MS))));
	siginfo_t info = { .si_pid = 0 };
	struct place *p = &l->place[l->owner];
	if (!waitid(P_PID, (id_t)p->pid, &info, WEXITED | WNOHANG | WNOWAIT) && info.si_pid)
		die("the writer ended by itself, with %d", await_end(p, "the writer"));
}

/* ---- the whole ---- */

static int by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return x < y ? -1 : x > y;
}

static void report(struct loop *l)
{
	printf("seed %lu; milliseconds from the attach call, median / most\n"
	       "%-8s %5s %15s %15s %15s\n",
	       (unsigned long)l->seed, "kind", "n", "attached", "first read", "first ack");
	for (uint32_t k = 0; k < N_KIND; k++) {
		printf("%-8s %5u", kind_name[k], l->n[k]);
		for (uint32_t i = 0; i < 3 && l->n[k]; i++) {
			qsort(l->us[k][i], l->n[k], sizeof(uint32_t), by_size);
			printf(" %6.0f / %6.0f", l->us[k][i][l->n[k] / 2] / 1e3,
			       l->us[k][i][l->n[k] - 1] / 1e3);
		}
		printf("\n");
	}
	printf("%u woken, each found itself fenced; %u more had held a lock; %lu acks\n",
	       l->n_woken, l->n_held, l->n_ack);
}

static void run(struct loop *l, uint32_t n_takeover)
{
	enum kind kind = draw(l);
	say_kind(l, "first");
	start(l, 0, false, kind == KEPT);
	if (await_writes(&l->place[0]))
		die("the first did not attach");
	for (uint32_t i = 0; i < n_takeover; i++) {
		enum kind now = kind;
		work(l);
		bool switches = now == CLEAN; /* perhaps to a WAL that some kinds are not for */
		kind = switches ? CLEAN : draw(l);
		take_over(l, now, false, kind == KEPT);
		await_owner(l, kind == KEPT);
		note(l, now, l->place[l->owner].node);
		if (switches) {
			while ((kind = draw(l)) == KEPT) /* it was not told to */
				;
		}
		clear(l, false);
	}
	clear(l, true);
	take_over(l, kind == KEPT ? KEPT : CLEAN, true, false);
	expect_end(&l->place[l->owner], "the final one", NODE_LEFT);
	let_go(&l->place[CUT]);
}

static void *shared(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		die("no memory");
	return p;
}

int main(int argc, char **argv)
{
	static struct loop l;
	char path[1100];
	uint32_t n = argc == 6 ? (uint32_t)strtoul(argv[4], NULL, 10) : 0;
	if (!n || (mkdir(argv[1], 0777) && errno != EEXIST)) {
		(void)fprintf(stderr, "usage: takeover DIR STORE LOG_STORE TAKEOVERS SEED\n");
		return 2;
	}
	l.base = argv[1];
	l.store = argv[2];
	l.log_store = argv[3];
	l.seed = strtoull(argv[5], NULL, 10);
	l.chance = mix(l.seed);
	(void)snprintf(path, sizeof path, "%s/events", l.base);
	l.log = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0666);
	if (l.log < 0)
		die("%s: %s", path, strerror(errno));
	for (uint32_t k = 0; k < N_KIND * 3; k++)
		l.us[k / 3][k % 3] = shared(n * sizeof(uint32_t));
	for (uint32_t i = 0; i <= CUT; i++)
		l.place[i].node = shared(sizeof(struct node));
	start(&l, CUT, false, false);
	run(&l, n);
	report(&l);
	return 0;
}
