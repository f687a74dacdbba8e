/* An engine, a volume and one queue in a site of their own, for reading tests. */
#ifndef TESTS_READ_BED_H
#define TESTS_READ_BED_H
#include "tests/integration/site_store.h"
#include <firn/firn.h>

struct bed {
	struct site site;
	struct firn_engine *engine;
	struct firn_volume *volume;
	struct firn_cq *cq;
	struct firn_engine_opts opts;
};

void bed_make(struct bed *b);                 /* the directory, and options for a small engine */
void bed_open(struct bed *b);                 /* engine, volume, queue */
void bed_close(struct bed *b, uint32_t mode); /* enum firn_detach_mode */
void bed_remove(struct bed *b);

uint64_t bed_stream(struct bed *b, const char *name);
uint64_t bed_stream_held(struct bed *b, const char *name, uint32_t flags);
/* One batch; the offset it got. */
uint64_t bed_append(struct bed *b, uint64_t stream, const void *data, size_t len, uint32_t n,
                    int64_t ms);
uint64_t bed_append_at(struct bed *b, uint64_t stream, uint64_t at, const char *text);
void bed_trim(struct bed *b, uint64_t stream, uint64_t from);
void bed_delete(struct bed *b, uint64_t stream);
void bed_store(struct bed *b); /* all is in the store */

struct firn_reader *bed_reader(struct bed *b, uint64_t pin_max);
int bed_set(struct bed *b, struct firn_reader *r, uint32_t slot, uint64_t stream, uint64_t offset,
            uint16_t up_to);
struct firn_fetch bed_fetch_of(struct firn_reader *r, uint16_t flags, uint32_t wait_ms);
/* Blocks; NULL when the fetch failed, *code says how. */
const struct firn_fetched *bed_fetch(struct bed *b, struct firn_fetch *f, int *code);
/* Submits; the event is reaped with bed_event(). */
void bed_submit(struct bed *b, struct firn_fetch *f, uint64_t user_data);
int bed_event(struct bed *b, struct firn_event *ev, uint32_t wait_ms); /* 1: there was one */
int bed_lookup(struct bed *b, uint64_t stream, uint32_t by, int64_t value, struct firn_event *ev);
const struct firn_batch *bed_batch(const struct firn_part *p, uint32_t i);
#endif
