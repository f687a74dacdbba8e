/* Volumes that are detached while others write to them, and while the engine merges layers, trims what retention says,
 * deletes and sweeps: every write has an outcome, nobody touches what is gone (run it under a sanitizer), and what was
 * acked is there after the next attach. */
#include <firn/firn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WRITERS = 3, ROUNDS = 60 };

struct writer {
	pthread_t thread;
	struct firn_volume *volume;
	uint64_t stream;
	uint64_t n_acked;
	int odd; /* a code that no writer may get */
};

static void must(int ok, const char *what)
{
	if (ok)
		return;
	(void)fprintf(stderr, "detach_stress: %s\n", what);
	exit(1);
}

static void *write_until_gone(void *arg)
{
	struct writer *w = arg;
	for (;;) {
		struct firn_stream_info info = { .struct_size = sizeof info };
		struct firn_error err = FIRN_ERROR_INIT;
		int rc = firn_stream_append(w->volume, w->stream, "0123456789", 10, 1, 0, NULL,
		                            &err);
		(void)firn_stream_info(w->volume, w->stream, &info);
		w->n_acked += !rc;
		if (rc == FIRN_ESHUTDOWN)
			return NULL;
		if (rc && rc != FIRN_EUNKNOWN) {
			w->odd = rc;
			return NULL;
		}
	}
}

/* What is stored is trimmed at once. */
static void keep_little(struct firn_engine *e, struct firn_volume *v, uint64_t stream)
{
	struct firn_stream_config c = { .struct_size = sizeof c, .retention_bytes = 1 };
	struct firn_op op = { .kind = FIRN_OP_CONFIG, .stream = stream };
	struct firn_write w = FIRN_WRITE_INIT;
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_event ev;
	op.u.stream.config = &c;
	w.volume = v;
	w.op = &op;
	w.n_op = 1;
	must(!firn_engine_call(e, &w.req, &ev, &err), err.text);
}

static uint64_t one_round(struct firn_engine *e, const char *uri, uint32_t mode, uint64_t at_least,
                          uint64_t *start)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_volume *v;
	struct writer w[WRITERS];
	uint64_t stream, end;
	must(!firn_volume_open(e, uri, "v", &v, &err), err.text);
	must(!firn_stream_open(v, "s", &stream, &err), err.text);
	must(!firn_stream_mark(v, stream, FIRN_MARK_DURABLE, &end), "mark");
	must(end >= at_least, "acked writes are missing");
	must(!firn_stream_mark(v, stream, FIRN_MARK_START, start), "mark");
	if (!at_least)
		keep_little(e, v, stream);
	for (int i = 0; i < WRITERS; i++) {
		w[i] = (struct writer){ .volume = v, .stream = stream };
		must(!pthread_create(&w[i].thread, NULL, write_until_gone, &w[i]), "thread");
	}
	(void)usleep(3000);
	struct firn_detach d = FIRN_DETACH_INIT;
	struct firn_event ev;
	d.volume = v;
	d.mode = mode;
	must(!firn_engine_call(e, &d.req, &ev, &err), err.text);
	for (int i = 0; i < WRITERS; i++) {
		must(!pthread_join(w[i].thread, NULL), "join");
		must(!w[i].odd, firn_code_name(w[i].odd));
		end += w[i].n_acked;
	}
	return end;
}

int main(void)
{
	char dir[] = "/tmp/firn-detach-XXXXXX", uri[64], command[64];
	static const char *const options[] = { "layer_segments=2", "delete_grace_ms=0",
		                               "upload_interval_ms=1", NULL };
	struct firn_engine_opts o = { .struct_size = sizeof o,
		                      .wal_bytes = 64 << 20,
		                      .memory_bytes = 32 << 20,
		                      .options = options };
	struct firn_engine *e;
	struct firn_error err = FIRN_ERROR_INIT;
	must(mkdtemp(dir) != NULL, "mkdtemp");
	(void)snprintf(uri, sizeof uri, "file://%s/store", dir);
	o.dir = dir;
	must(!firn_engine_open(&o, &e, &err), err.text);
	uint64_t acked = 0, start = 0;
	for (uint32_t i = 0; i < ROUNDS; i++)
		acked = one_round(e, uri, i % 3, acked, &start);
	must(!firn_engine_close(e), "close");
	(void)snprintf(command, sizeof command, "rm -rf %s", dir);
	must(!system(command), command);
	(void)printf("%llu writes acked over %d detaches, %llu of them trimmed\n",
	             (unsigned long long)acked, ROUNDS, (unsigned long long)start);
	return 0;
}
