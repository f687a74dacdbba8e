#include "bench/day.h"
#include "bench/blocks.h"
#include "bench/host.h"
#include "engine/manifest/manifest.h"
#include "engine/os/env.h"
#include "engine/store/store.h"
#include <stdlib.h>
#include <string.h>

enum {
	LINE = 100,
	LINES_A_DAY = 48,
	MINUTES = 24 * 60,
	BATCH = 500,
	SAMPLE = 1000,
	REPLAYED = 100
};

/* ---- the clock ---- */

static int64_t turned_ms; /* one thread has it: the engine has none of its own */

static int64_t now_ms(void *ctx)
{
	return env_default()->now_ms(ctx) + turned_ms;
}

static uint64_t mono_ns(void *ctx)
{
	return env_default()->mono_ns(ctx) + (uint64_t)turned_ms * 1000000u;
}

/* ---- rooms ---- */

struct day {
	struct host host; /* one volume, and its own rooms */
	struct firn_env env;
	unsigned n_room, minutes;
	uint64_t *room, chance;
	uint8_t *noise;
	uint64_t lines;
};

static uint64_t draw(struct day *d)
{
	uint64_t z = d->chance += 0x9e3779b97f4a7c15u;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static int make_rooms(struct day *d)
{
	for (unsigned i = 0; i < d->n_room; i++) {
		char name[16];
		struct firn_error err = FIRN_ERROR_INIT;
		(void)snprintf(name, sizeof name, "room-%06u", i);
		int rc = firn_stream_open(d->host.volume[0], name, &d->room[i], &err);
		if (rc)
			return host_fail("stream", rc, &err);
	}
	return 0;
}

/* Each line in a room by chance: some rooms are louder than others, none is regular. */
static int say_lines(struct day *d, unsigned n)
{
	static struct firn_op op[BATCH];
	static struct iovec iov[BATCH];
	int rc = 0;
	for (unsigned i = 0, k = 0; !rc && i < n; i++) {
		uint64_t z = draw(d);
		iov[k] = (struct iovec){ d->noise + (z >> 32) % (1u << 20), LINE };
		op[k] = host_append_op(d->room[z % d->n_room], &iov[k]);
		if (++k == BATCH || i + 1 == n) {
			rc = host_write(d->host.engine, d->host.volume[0], op, k);
			k = 0;
		}
	}
	d->lines += n;
	return rc;
}

static void pass(struct day *d, unsigned minutes)
{
	while (minutes--) {
		while (firn_engine_step(d->host.engine, 0) == 1)
			;
		turned_ms += 60000;
	}
}

static int begin(struct day *d, const struct bench *b)
{
	struct firn_error err = FIRN_ERROR_INIT;
	char dir[4160];
	d->n_room = b->small ? 200 : 100000;
	d->minutes = b->small ? 60 : MINUTES;
	d->room = calloc(d->n_room, sizeof *d->room);
	d->noise = scratch_noise((1u << 20) + LINE);
	int rc = d->room && d->noise ? host_make(&d->host, b, "day") : bench_fail("day");
	if (rc)
		return rc;
	d->env = *env_default();
	d->env.now_ms = now_ms;
	d->env.mono_ns = mono_ns;
	(void)snprintf(dir, sizeof dir, "%s/engine", d->host.dir);
	struct firn_engine_opts o = {
		.struct_size = sizeof o, .dir = dir, .env = &d->env, .flags = FIRN_ENGINE_NO_THREADS
	};
	rc = firn_engine_open(&o, &d->host.engine, &err);
	if (rc)
		return host_fail("open", rc, &err);
	d->host.uploads = 1;
	d->host.n_volume = 1;
	rc = host_attach(&d->host);
	return rc ? rc : make_rooms(d);
}

/* ---- what has come of it ---- */

struct count {
	double blocks, most_blocks; /* of a room */
	double puts, gets, others, put_mib, rewritten_mib, commits;
	double manifest_bytes, gets_a_room;
	double lines;
};

static int blocks_of_rooms(struct day *d, struct count *c)
{
	struct firn_error err = FIRN_ERROR_INIT;
	unsigned step = d->n_room > SAMPLE ? d->n_room / SAMPLE : 1, n = 0, sum = 0;
	for (unsigned i = 0; i < d->n_room; i += step, n++) {
		unsigned blocks = 0;
		int rc = blocks_of_stream(d->host.engine, d->room[i], &blocks, &err);
		if (rc)
			return host_fail("index", rc, &err);
		sum += blocks;
		c->most_blocks = blocks > c->most_blocks ? blocks : c->most_blocks;
	}
	c->blocks = (double)sum / n;
	return 0;
}

static int size_of_manifest(struct day *d, struct count *c)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct store *s;
	struct buf b;
	char key[400];
	int rc = store_open(env_default(), d->host.store, &s, &err);
	if (rc)
		return host_fail("store", rc, &err);
	buf_init(&b, env_default());
	rc = manifest_key("bench-00", key, sizeof key);
	rc = rc ? rc : store_get_all(s, key, MANIFEST_MAX_BYTES, &b, NULL, &err);
	c->manifest_bytes = (double)b.len;
	buf_fini(&b);
	store_close(s);
	return rc ? host_fail("manifest", rc, &err) : 0;
}

static double requests(struct day *d, const char *op)
{
	return (double)host_metric(&d->host, "firn_store_requests", op);
}

static int take_count(struct day *d, struct count *c)
{
	struct host *h = &d->host;
	*c = (struct count){ .lines = (double)d->lines };
	c->puts = requests(d, "\"put\"");
	c->gets = requests(d, "\"get\"");
	c->others = requests(d, "") - c->puts - c->gets;
	c->put_mib = (double)host_metric(h, "firn_store_bytes", "\"put\"") / (1 << 20);
	c->rewritten_mib = (double)host_metric(h, "firn_rewritten_bytes", "") / (1 << 20);
	c->commits = (double)host_metric(h, "firn_manifest_puts", "");
	int rc = size_of_manifest(d, c);
	return rc ? rc : blocks_of_rooms(d, c);
}

/* Some rooms from their beginning, with nothing of them in memory. */
static int replay(struct day *d, double *gets_a_room)
{
	double before = requests(d, "\"get\"");
	unsigned step = d->n_room / REPLAYED;
	for (unsigned i = 0; i < REPLAYED; i++) {
		uint64_t from = 0;
		for (uint32_t n = 1; n;) {
			struct firn_error err = FIRN_ERROR_INIT;
			const struct firn_fetched *got;
			int rc = firn_stream_read(d->host.volume[0], d->room[i * step], from,
			                          1 << 20, 0, &got, &err);
			if (rc)
				return host_fail("read", rc, &err);
			n = got->n_part ? got->part->n_batch : 0;
			if (n)
				from = got->part->batch[n - 1].offset + 1;
			firn_release(got);
		}
	}
	*gets_a_room = (requests(d, "\"get\"") - before) / REPLAYED;
	return 0;
}

/* ---- a day, and two more ---- */

enum { ROWS = 8 };

struct row {
	const char *when;
	struct count at;
};

static int speak(struct day *d, unsigned minutes)
{
	int rc = 0;
	unsigned n = d->n_room * LINES_A_DAY / MINUTES;
	for (unsigned i = 0; !rc && i < minutes; i++) {
		rc = say_lines(d, n ? n : 1);
		pass(d, 1);
	}
	return rc;
}

static int run(struct day *d, const struct bench *b, struct row row[ROWS])
{
	static const struct {
		const char *when;
		unsigned part, idle;
	} plan[] = { { "an hour", 1, 0 },  { "6 hours", 5, 0 }, { "12 hours", 6, 0 },
		     { "18 hours", 6, 0 }, { "a day", 6, 0 },   { "a quiet day", 24, 1 },
		     { "another", 24, 1 } };
	int rc = begin(d, b);
	row[0].when = "begun";
	rc = rc ? rc : take_count(d, &row[0].at);
	for (unsigned i = 0; !rc && i < sizeof plan / sizeof plan[0]; i++) {
		unsigned minutes = plan[i].part * d->minutes / 24;
		if (!b->quiet)
			(void)fprintf(stderr, "\r\033[K%s", plan[i].when);
		if (plan[i].idle)
			pass(d, minutes);
		else
			rc = speak(d, minutes);
		row[i + 1].when = plan[i].when;
		rc = rc ? rc : take_count(d, &row[i + 1].at);
	}
	double gets = 0;
	rc = rc ? rc : replay(d, &gets);
	row[ROWS - 1].at.gets_a_room = gets;
	if (!b->quiet)
		(void)fprintf(stderr, "\r\033[K");
	return rc;
}

static void print_json(const struct bench *b, const struct day *d, const struct row row[ROWS])
{
	(void)printf("{\"benchmark\":\"day\",\"small\":%s,\"rooms\":%u,\"minutes\":%u,\"line\":%u,"
	             "\"gets_a_room\":%.6g,\n\"results\":[",
	             b->small ? "true" : "false", d->n_room, d->minutes, LINE,
	             row[ROWS - 1].at.gets_a_room);
	for (unsigned i = 0; i < ROWS; i++) {
		const struct count *c = &row[i].at;
		(void)printf("%s\n {\"name\":\"%s\",\"lines\":%.0f,\"blocks_a_room\":%.6g,"
		             "\"most_blocks\":%.0f,\"commits\":%.0f,\"puts\":%.0f,\"gets\":%.0f,"
		             "\"others\":%.0f,\"put_mib\":%.6g,\"rewritten_mib\":%.6g,"
		             "\"manifest_bytes\":%.0f}",
		             i ? "," : "", row[i].when, c->lines, c->blocks, c->most_blocks,
		             c->commits, c->puts, c->gets, c->others, c->put_mib, c->rewritten_mib,
		             c->manifest_bytes);
	}
	(void)printf("]}\n");
}

static void print_table(const struct day *d, const struct row row[ROWS])
{
	(void)printf("%-12s %10s %7s %6s %8s %8s %8s %8s %9s %10s %9s\n", "", "lines", "blocks",
	             "most", "commits", "PUTs", "GETs", "others", "MiB put", "rewritten",
	             "manifest");
	for (unsigned i = 1; i < ROWS; i++) {
		const struct count *c = &row[i].at, *was = &row[i - 1].at;
		(void)printf(
		        "%-12s %10.0f %7.1f %6.0f %8.0f %8.0f %8.0f %8.0f %9.1f %10.1f %9.0f\n",
		        row[i].when, c->lines, c->blocks, c->most_blocks, c->commits - was->commits,
		        c->puts - was->puts, c->gets - was->gets, c->others - was->others,
		        c->put_mib - was->put_mib, c->rewritten_mib - was->rewritten_mib,
		        c->manifest_bytes);
	}
	(void)printf("\n%u rooms, %.1f MiB in lines of %u B, by chance. Blocks of a room: mean and "
	             "most of a sample.\nRequests and bytes since the row above; the manifest's "
	             "bytes then. A replay of a room takes %.1f GETs.\n",
	             d->n_room, row[ROWS - 1].at.lines * LINE / (1 << 20), LINE,
	             row[ROWS - 1].at.gets_a_room);
}

int day_bench(const struct bench *b)
{
	struct day *d = calloc(1, sizeof *d);
	struct row row[ROWS] = { 0 };
	int rc = d ? run(d, b, row) : bench_fail("day");
	if (rc == 0 && b->json)
		print_json(b, d, row);
	else if (rc == 0)
		print_table(d, row);
	if (d) {
		int closed = host_close(&d->host, FIRN_DETACH_DRAIN);
		rc = rc ? rc : closed;
		host_remove(&d->host);
		free(d->noise);
		free(d->room);
	}
	free(d);
	return rc;
}
