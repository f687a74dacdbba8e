/* Numbers and times as people write them, percentiles, and progress on a terminal. */
#ifndef TOOL_TEXT_H
#define TOOL_TEXT_H
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* A short text by value: printf("%s", text_bytes(n).s). */
struct text {
	char s[48];
};
struct text text_bytes(uint64_t n);                     /* "1.4 GiB" */
struct text text_count(uint64_t n);                     /* "1 234 567" */
struct text text_duration(uint64_t ns);                 /* "130 us", "2.5 s", "3 h 20 min" */
struct text text_time(int64_t ms);                      /* "2024-05-01T12:00:00.123Z", "-" for 0 */
struct text text_rate(uint64_t n, uint64_t ns);         /* "12 345/s" */
struct text text_hex(const uint8_t *bytes, unsigned n); /* n <= 16 */
/* A name of n bytes fit for one line of output: control bytes as \xNN. */
struct text text_name(const char *name, size_t n);

/* 0, or -1 when it makes no sense. */
int parse_u64(const char *s, uint64_t *out);
int parse_size(const char *s, uint64_t *bytes);  /* 4096, 64K, 256M, 4G, 1.5G */
int parse_duration(const char *s, uint64_t *ms); /* 500 (ms), 500ms, 5s, 1m, 2h, 7d */
int parse_time(const char *s, int64_t *ms);      /* Unix ms, or RFC 3339 */

uint64_t mono_ns(void);
int64_t wall_ms(void);

/* Durations counted in buckets that are within 3 % of the truth. */
enum { HIST_SUB = 32, HIST_BUCKETS = 60 * HIST_SUB };
struct hist {
	uint64_t n, max;
	uint64_t bucket[HIST_BUCKETS];
};
void hist_add(struct hist *h, uint64_t ns);
uint64_t hist_percentile(const struct hist *h, double percent); /* 0 when empty */

/* One line on standard error, redrawn in place: only on a terminal, only after two seconds. */
struct progress {
	uint64_t begin_ns, shown_ns;
	bool terminal, shown;
};
void progress_begin(struct progress *p);
bool progress_due(struct progress *p); /* time to say something: call progress_show */
void progress_show(struct progress *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void progress_end(struct progress *p); /* wipes the line */
#endif
