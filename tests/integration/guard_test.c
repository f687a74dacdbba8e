/* What the engine asked for is all it writes to, whatever sizes it was given: behind each piece of its memory
 * lie bytes that must be as they were when it gives the piece back. */
#include "tests/integration/site.h"
#include <criterion/criterion.h>
#include <firn/env.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MARK = 0xa5, BEHIND = 4096, BATCH = 16 << 10, IN_FLIGHT = 64, BATCHES = 600 };

TestSuite(guard, .timeout = 200);

static atomic_uint trodden;

struct piece {
	size_t len, head;
};

static void *guarded_alloc(void *ctx, size_t len, size_t align)
{
	size_t head = align > 64 ? align : 64;
	char *p = NULL;
	(void)ctx;
	if (posix_memalign((void **)&p, head, head + len + BEHIND))
		return NULL;
	struct piece *say = (struct piece *)(void *)(p + head) - 1;
	*say = (struct piece){ len, head };
	memset(p + head + len, MARK, len < BEHIND ? 16 : BEHIND);
	return p + head;
}

static void guarded_release(void *ctx, void *at)
{
	(void)ctx;
	if (!at)
		return;
	struct piece say = ((struct piece *)at)[-1];
	const unsigned char *behind = (const unsigned char *)at + say.len;
	for (size_t i = 0; i < (say.len < BEHIND ? 16 : BEHIND); i++)
		if (behind[i] != MARK) {
			atomic_fetch_add(&trodden, 1);
			break;
		}
	free((char *)at - say.head);
}

static const struct firn_env guarded = { .struct_size = sizeof guarded,
	                                 .alloc = guarded_alloc,
	                                 .release = guarded_release };

/* So many in flight that groups fill, and chunks of groups. */
static void flood(struct host *h, uint64_t stream)
{
	static const char payload[BATCH];
	struct iovec iov = { (void *)(uintptr_t)payload, sizeof payload };
	struct firn_event ev;
	unsigned sent = 0, done = 0;
	while (done < BATCHES) {
		struct firn_error err = FIRN_ERROR_INIT;
		struct firn_op op = op_append(stream, &iov);
		int rc = sent < BATCHES && sent - done < IN_FLIGHT
		                 ? submit_ops(h, &op, 1, FIRN_ACK_DURABLE, 0, sent, &err)
		                 : FIRN_EAGAIN;
		sent += rc == 0;
		cr_assert(rc == 0 || rc == FIRN_EAGAIN || rc == FIRN_EFULL, "%s: %s",
		          firn_code_name(rc), err.text);
		while (rc && reap_one(h, &ev, 100)) {
			cr_assert_eq(ev.code, 0, "%s", firn_code_name(ev.code));
			done += ev.kind == FIRN_REQ_WRITE;
			firn_release(ev.result);
			rc = sent - done >= IN_FLIGHT / 2 || sent == BATCHES;
		}
	}
}

Test(guard, no_size_of_the_wals_files_makes_a_group_longer_than_its_memory)
{
	struct site s;
	struct host h;
	site_make(&s);
	for (unsigned pages = 256; pages < 600; pages += 85) {
		char name[32], size[64];
		const char *options[] = { size, NULL };
		(void)snprintf(name, sizeof name, "host-%u", pages);
		(void)snprintf(size, sizeof size, "wal_file_bytes=%u", pages * 4096);
		host_init(&h, &s, name);
		h.opts.env = &guarded;
		h.opts.options = options;
		h.opts.memory_bytes = 16 << 20;
		host_open(&h);
		host_attach(&h, name);
		flood(&h, new_stream(&h, "s"));
		host_stop(&h, FIRN_DETACH_ABORT);
		cr_assert_eq(atomic_load(&trodden), 0,
		             "files of %u pages: %u pieces written behind", pages,
		             atomic_load(&trodden));
	}
	site_remove(&s);
}
