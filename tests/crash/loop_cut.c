/* An engine that only looks: attaches read-only, reads the end of each room and the key, lets go, again and again. What it
 * sees is one cut of what is stored. Should it have moved on to the next one meanwhile, as it does by itself, that is none
 * to be judged. */
#include "tests/crash/kill9.h"
#include "tests/crash/loop.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { WINDOW = 300, PAUSE_US = 100000 };

struct cut {
	uint64_t began, ended, rev, id, id_rev;
	bool has[LOOP_ROOMS];
	struct line line[LOOP_ROOMS];
};

static void key_of(const struct task *t, const struct firn_volume *v, struct cut *c)
{
	size_t len = 0;
	c->id = c->id_rev = 0;
	int rc = firn_kv_get(v, FIRN_STREAM_VOLUME, "last", 4, &c->id, sizeof c->id, &len,
	                     &c->id_rev);
	if (rc && rc != FIRN_ENOENT)
		loop_wrong(t, "key", rc, "last");
}

static void room_of(const struct task *t, struct firn_volume *v, struct cut *c, uint32_t room)
{
	uint64_t stream = loop_stream(t, v, room);
	c->has[room] = stream != 0;
	if (!stream)
		return;
	uint64_t end = loop_mark(t, v, stream, FIRN_MARK_VISIBLE);
	line_begin(&c->line[room], end > WINDOW ? end - WINDOW : 0);
	if (line_read(t, &c->line[room], v, room, stream, end))
		loop_wrong(t, "read", FIRN_EFENCED, "who only looks is fenced");
}

static void say(const struct task *t, struct cut *c)
{
	loop_say(t, "cut %lu %lu %lu %lu %lu %lu", (unsigned long)c->began, (unsigned long)c->ended,
	         (unsigned long)t->run, (unsigned long)c->rev, (unsigned long)c->id,
	         (unsigned long)c->id_rev);
	for (uint32_t room = 0; room < LOOP_ROOMS; room++)
		if (c->has[room])
			line_say(t, &c->line[room], NULL, "part %lu %u", (unsigned long)t->run,
			         room);
}

static void look(const struct task *t, struct firn_engine *e, struct cut *c)
{
	const struct firn_attached *attached;
	struct firn_volume_info info = { .struct_size = sizeof info };
	struct firn_error err = FIRN_ERROR_INIT;
	c->began = loop_ns();
	if (loop_attach(t, e, FIRN_ATTACH_READ_ONLY, &attached))
		return; /* nobody has made it yet */
	struct firn_volume *v = attached->volume;
	firn_release(attached);
	firn_volume_info(v, &info);
	c->rev = info.rev_stored;
	key_of(t, v, c);
	for (uint32_t room = 0; room < LOOP_ROOMS; room++)
		room_of(t, v, c, room);
	c->ended = loop_ns();
	firn_volume_info(v, &info);
	int rc = firn_volume_close(v, &err);
	if (rc)
		loop_wrong(t, "detach", rc, err.text);
	if (info.rev_stored == c->rev)
		say(t, c);
}

_Noreturn void cut_main(const struct task *t)
{
	static struct cut c;
	struct firn_engine *e = loop_engine(t);
	while (!atomic_load(&t->node->leave)) {
		look(t, e, &c);
		usleep(PAUSE_US);
	}
	firn_engine_close(e);
	_exit(NODE_LEFT);
}
