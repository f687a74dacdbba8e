/* What one thread knows of the streams that it alone writes: every batch that was acked, the pairs, the start.
 * A batch's bytes follow from its seed. Nothing here returns on a difference: it says what, and aborts. */
#ifndef TESTS_ANY_MODEL_H
#define TESTS_ANY_MODEL_H
#include <firn/firn.h>
#include <stdbool.h>
#include <stdint.h>

#define MUST(x) must((x), #x, __FILE__, __LINE__, NULL)
#define WELL(rc, err) must((rc) >= 0, #rc, __FILE__, __LINE__, (err))
void must(bool holds, const char *what, const char *file, int line, const struct firn_error *err);
extern char any_story[2000]; /* printed by must(): the configuration that is tried */

struct chance {
	uint64_t x;
};
uint64_t draw(struct chance *c);              /* 64 bits */
uint64_t below(struct chance *c, uint64_t n); /* [0, n) */
uint64_t between(struct chance *c, uint64_t a,
                 uint64_t b); /* [a, b], small ones as often as large ones */
bool one_in(struct chance *c, uint32_t n);

enum { PAIRS = 6 };

struct said {
	uint64_t offset, seed;
	uint32_t n_offsets, len;
};

struct room {
	uint64_t id, start, end;
	struct said *said;
	uint32_t n, cap, n_made;
	struct {
		uint64_t seed;
		uint32_t len;
		bool is;
	} pair[PAIRS];
	char name[40];
	bool retains; /* its start may rise by itself */
	bool held;    /* visible rises only when told */
};

/* Work of one thread on one volume. */
struct guest {
	struct firn_engine *engine;
	struct firn_volume *volume;
	struct firn_reader *reader;
	struct chance chance;
	struct room room[3];
	uint32_t no, n_steps;
	uint64_t seed;
	uint8_t *buf; /* BUF bytes */
};
enum { BUF = 6 << 20 };

void guest_init(struct guest *g, uint32_t no, uint64_t seed);
void guest_fini(struct guest *g);
/* The volume was attached: the rooms are made if they are not there, and compared whole. */
void guest_arrives(struct guest *g, struct firn_engine *engine, struct firn_volume *volume);
void *guest_main(void *guest); /* n_steps steps; then all is compared */
#endif
