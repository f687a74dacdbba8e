/* Any configuration that is accepted works: sizes from the smallest that is taken, odd ones, several engines'
 * openings of one directory with other figures each. What was acked is there, whatever the figures. (P1, P2)
 *
 *   any_config [seed [seconds]]      the seed is in what it prints; each one is a number of rounds */
#include "tests/stress/any_model.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { VOLUMES = 2, GUESTS = 4, OPENINGS = 3, OPTIONS = 16, CACHE_LEAST = 1 << 20 };

struct site {
	struct chance chance;
	char dir[64], uri[100], text[OPTIONS][140];
	const char *option[OPTIONS + 1];
	bool log_in_store;
	uint32_t n_option, n_guest, n_volume;
	struct firn_engine_opts opts;
	struct firn_engine *engine;
	struct firn_volume *volume[VOLUMES];
	struct guest guest[GUESTS];
};

static void option(struct site *s, const char *name, uint64_t value)
{
	(void)snprintf(s->text[s->n_option], sizeof s->text[0], "%s=%llu", name,
	               (unsigned long long)value);
	s->option[s->n_option] = s->text[s->n_option];
	s->option[++s->n_option] = NULL;
}

static void word(struct site *s, const char *name, const char *value)
{
	(void)snprintf(s->text[s->n_option], sizeof s->text[0], "%s=%s", name, value);
	s->option[s->n_option] = s->text[s->n_option];
	s->option[++s->n_option] = NULL;
}

/* tail, cache and pins share memory_bytes: in any proportion. */
static void draw_memory(struct site *s)
{
	struct chance *c = &s->chance;
	struct firn_engine_opts *o = &s->opts;
	o->memory_bytes = one_in(c, 4) ? 0 : between(c, 16 << 20, 48 << 20);
	uint64_t left = o->memory_bytes ? o->memory_bytes : 64 << 20;
	if (!one_in(c, 3)) {
		o->tail_bytes = between(c, 1 << 20, left - CACHE_LEAST - 1);
		o->cache_bytes = between(c, CACHE_LEAST, left - o->tail_bytes - 1);
		o->pin_bytes = between(c, 1, left - o->tail_bytes - o->cache_bytes);
	}
}

static void draw_log(struct site *s)
{
	static const char *const io[] = { "auto", "uring", "pwrite" };
	struct chance *c = &s->chance;
	uint64_t file = UINT64_C(4096) * between(c, 256, 1024);
	if (one_in(c, 2))
		option(s, "wal_file_bytes", file);
	else
		file = 1 << 20;
	s->opts.wal_bytes = between(c, 4 * file, 10 * file);
	s->opts.linger_us = one_in(c, 4) ? (uint32_t)between(c, 1, 3000) : 0;
	word(s, "wal_io", io[below(c, 3)]);
	word(s, "wal_direct", one_in(c, 2) ? "true" : "0");
	if (one_in(c, 4))
		word(s, "wal_preallocate", "true");
	if (s->log_in_store) {
		char uri[120];
		(void)snprintf(uri, sizeof uri, "store:%s", s->uri);
		word(s, "wal", uri);
		option(s, "wal_slot_ms", between(c, 0, 20));
	}
}

static void draw_options(struct site *s)
{
	struct chance *c = &s->chance;
	s->n_option = 0;
	s->option[0] = NULL;
	s->opts = (struct firn_engine_opts){ .struct_size = sizeof s->opts,
		                             .flags = one_in(c, 6) ? FIRN_ENGINE_NO_THREADS : 0,
		                             .n_threads = (uint32_t)between(c, 0, UINT32_MAX),
		                             .dir = s->dir,
		                             .options = s->option };
	draw_memory(s);
	draw_log(s);
	if (one_in(c, 2))
		option(s, "segment_bytes", between(c, 4096, 1 << 30));
	if (one_in(c, 2))
		option(s, "upload_interval_ms", between(c, 0, INT32_MAX));
	if (one_in(c, 2))
		option(s, "layer_segments", between(c, 2, 4096));
	if (one_in(c, 2))
		option(s, "delete_grace_ms", between(c, 0, INT32_MAX));
	if (one_in(c, 2))
		option(s, "delete_deadline_ms", between(c, 0, INT32_MAX));
	if (one_in(c, 2))
		option(s, "zstd_level", below(c, 20));
	int n = snprintf(
	        any_story, sizeof any_story,
	        "\nflags %u linger_us %u wal %llu memory %llu tail %llu cache %llu pin %llu\n",
	        s->opts.flags, s->opts.linger_us, (unsigned long long)s->opts.wal_bytes,
	        (unsigned long long)s->opts.memory_bytes, (unsigned long long)s->opts.tail_bytes,
	        (unsigned long long)s->opts.cache_bytes, (unsigned long long)s->opts.pin_bytes);
	for (uint32_t i = 0; i < s->n_option; i++)
		n += snprintf(any_story + n, sizeof any_story - (size_t)n, "%s ", s->option[i]);
}

static void attach(struct site *s, uint32_t i)
{
	struct firn_attach a = FIRN_ATTACH_INIT;
	struct firn_event ev = { 0 };
	struct firn_error err = FIRN_ERROR_INIT;
	struct chance *c = &s->chance;
	char name[16];
	(void)snprintf(name, sizeof name, "v%u", i);
	a.store = s->uri;
	a.name = name;
	a.node = one_in(c, 2) ? "" : NULL;
	a.attach_flags = FIRN_ATTACH_CREATE;
	a.segment_bytes = one_in(c, 2) ? between(c, 4096, 1 << 30) : 0;
	a.upload_interval_ms = one_in(c, 2) ? (uint32_t)between(c, 0, UINT32_MAX) : 0;
	size_t n = strlen(any_story);
	(void)snprintf(any_story + n, sizeof any_story - n, "\n%s: segment_bytes %llu interval %u",
	               name, (unsigned long long)a.segment_bytes, a.upload_interval_ms);
	WELL(firn_engine_call(s->engine, &a.req, &ev, &err), &err);
	s->volume[i] = ((const struct firn_attached *)ev.result)->volume;
	firn_release(ev.result);
}

static void detach(struct site *s, uint32_t i, uint32_t mode)
{
	struct firn_detach d = FIRN_DETACH_INIT;
	struct firn_event ev = { 0 };
	struct firn_error err = FIRN_ERROR_INIT;
	d.volume = s->volume[i];
	d.mode = mode;
	WELL(firn_engine_call(s->engine, &d.req, &ev, &err), &err);
	firn_release(ev.result);
}

static void opening(struct site *s, uint32_t n_steps)
{
	struct firn_error err = FIRN_ERROR_INIT;
	pthread_t t[GUESTS];
	draw_options(s);
	WELL(firn_engine_open(&s->opts, &s->engine, &err), &err);
	uint32_t comings = 1 + one_in(&s->chance, 3);
	for (uint32_t k = 0; k < comings; k++) {
		for (uint32_t i = 0; i < s->n_volume; i++)
			attach(s, i);
		for (uint32_t i = 0; i < s->n_guest; i++) {
			guest_arrives(&s->guest[i], s->engine, s->volume[i % s->n_volume]);
			s->guest[i].n_steps = n_steps;
			MUST(!pthread_create(&t[i], NULL, guest_main, &s->guest[i]));
		}
		for (uint32_t i = 0; i < s->n_guest; i++)
			MUST(!pthread_join(t[i], NULL));
		for (uint32_t i = 0; i < s->n_volume; i++)
			detach(s, i, (uint32_t)below(&s->chance, 3));
	}
	WELL(firn_engine_close(s->engine), NULL);
}

static void a_round(uint64_t seed)
{
	struct site s = { .chance.x = seed };
	char command[128];
	(void)snprintf(s.dir, sizeof s.dir, "/tmp/firn-any-XXXXXX");
	MUST(mkdtemp(s.dir));
	(void)snprintf(s.uri, sizeof s.uri, "file://%s/store", s.dir);
	s.log_in_store = one_in(&s.chance, 4);
	s.n_volume = (uint32_t)between(&s.chance, 1, VOLUMES);
	s.n_guest = (uint32_t)between(&s.chance, 1, GUESTS);
	for (uint32_t i = 0; i < s.n_guest; i++)
		guest_init(&s.guest[i], i, draw(&s.chance));
	for (uint32_t i = 0; i < OPENINGS; i++)
		opening(&s, 60);
	for (uint32_t i = 0; i < s.n_guest; i++)
		guest_fini(&s.guest[i]);
	(void)snprintf(command, sizeof command, "rm -rf %s", s.dir);
	MUST(system(command) == 0);
}

int main(int argc, char **argv)
{
	uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
	time_t until = time(NULL) + (argc > 2 ? atoi(argv[2]) : 5);
	uint32_t n = 0;
	do {
		printf("seed %llu\n", (unsigned long long)(seed + n));
		(void)fflush(stdout);
		a_round(seed + n++);
	} while (time(NULL) < until);
	printf("%u rounds\n", n);
	return 0;
}
