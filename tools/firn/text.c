#include "tools/firn/text.h"
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MS UINT64_C(1000000) /* in ns */
#define SECOND (1000 * MS)

struct text text_bytes(uint64_t n)
{
	static const char *const unit[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	struct text t;
	unsigned u = 0;
	double v = (double)n;
	while (v >= 1024 && u < 6) {
		v /= 1024;
		u++;
	}
	snprintf(t.s, sizeof t.s, u && v < 100 ? "%.1f %s" : "%.0f %s", v, unit[u]);
	return t;
}

struct text text_count(uint64_t n)
{
	struct text t;
	char digits[24];
	int len = snprintf(digits, sizeof digits, "%llu", (unsigned long long)n);
	char *at = t.s;
	for (int i = 0; i < len; i++) {
		if (i && (len - i) % 3 == 0)
			*at++ = ' ';
		*at++ = digits[i];
	}
	*at = 0;
	return t;
}

struct text text_duration(uint64_t ns)
{
	struct text t;
	unsigned long long s = ns / SECOND;
	if (ns < MS)
		snprintf(t.s, sizeof t.s, "%.0f us", (double)ns / 1e3);
	else if (ns < SECOND)
		snprintf(t.s, sizeof t.s, "%.*f ms", ns < 10 * MS ? 2 : 1, (double)ns / 1e6);
	else if (s < 120)
		snprintf(t.s, sizeof t.s, "%.1f s", (double)ns / 1e9);
	else if (s < 7200)
		snprintf(t.s, sizeof t.s, "%llu min", s / 60);
	else if (s < 48 * 3600)
		snprintf(t.s, sizeof t.s, "%llu h %llu min", s / 3600, s / 60 % 60);
	else
		snprintf(t.s, sizeof t.s, "%llu days", s / 86400);
	return t;
}

struct text text_time(int64_t ms)
{
	struct text t = { "-" };
	time_t s = (time_t)(ms / 1000);
	struct tm tm;
	char day[32];
	if (ms > 0 && gmtime_r(&s, &tm) && strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &tm))
		snprintf(t.s, sizeof t.s, "%s.%03dZ", day, (int)(ms % 1000));
	return t;
}

struct text text_rate(uint64_t n, uint64_t ns)
{
	struct text t = text_count(ns ? (uint64_t)((double)n * 1e9 / (double)ns) : 0);
	strcat(t.s, "/s");
	return t;
}

struct text text_hex(const uint8_t *bytes, unsigned n)
{
	struct text t = { "" };
	for (unsigned i = 0; i < n && i < 16; i++)
		snprintf(t.s + 2 * i, 3, "%02x", bytes[i]);
	return t;
}

struct text text_name(const char *name, size_t n)
{
	struct text t;
	size_t at = 0;
	for (size_t i = 0; i < n && at + 8 < sizeof t.s; i++) {
		unsigned char c = (unsigned char)name[i];
		if (c >= 32 && c != 127)
			t.s[at++] = (char)c;
		else
			at += (size_t)snprintf(t.s + at, sizeof t.s - at, "\\x%02x", c);
		if (i + 1 < n && at + 8 >= sizeof t.s) {
			memcpy(t.s + at, "...", 3);
			at += 3;
		}
	}
	t.s[at] = 0;
	return t;
}

int parse_u64(const char *s, uint64_t *out)
{
	char *end;
	errno = 0;
	unsigned long long v = strtoull(s, &end, 10);
	if (errno || end == s || *end || !isdigit((unsigned char)*s))
		return -1;
	*out = v;
	return 0;
}

/* A number with a fraction and a unit out of a list of (unit, factor). */
struct unit {
	const char *name;
	double factor;
};

static int parse_unit(const char *s, const struct unit *unit, uint64_t *out)
{
	char *end;
	errno = 0;
	double v = strtod(s, &end);
	if (errno || end == s || !isdigit((unsigned char)*s))
		return -1;
	for (; unit->name; unit++)
		if (!strcasecmp(unit->name, end)) {
			v *= unit->factor;
			if (v >= 0x1p63)
				return -1;
			*out = (uint64_t)v;
			return 0;
		}
	return -1;
}

int parse_size(const char *s, uint64_t *bytes)
{
	static const struct unit unit[] = {
		{ "", 1 },       { "B", 1 },        { "K", 0x1p10 }, { "KiB", 0x1p10 },
		{ "M", 0x1p20 }, { "MiB", 0x1p20 }, { "G", 0x1p30 }, { "GiB", 0x1p30 },
		{ "T", 0x1p40 }, { "TiB", 0x1p40 }, { NULL, 0 },
	};
	return parse_unit(s, unit, bytes);
}

int parse_duration(const char *s, uint64_t *ms)
{
	static const struct unit unit[] = {
		{ "", 1 },       { "ms", 1 },     { "s", 1000 },    { "m", 60e3 },
		{ "min", 60e3 }, { "h", 3600e3 }, { "d", 86400e3 }, { NULL, 0 },
	};
	return parse_unit(s, unit, ms);
}

/* "Z" or "+02:00" behind a date and time: minutes east of Greenwich. */
static int parse_zone(const char *s, int *minutes)
{
	int h, m;
	char sign, rest;
	if (!strcasecmp(s, "Z")) {
		*minutes = 0;
		return 0;
	}
	if (sscanf(s, "%c%2d:%2d%c", &sign, &h, &m, &rest) != 3 || (sign != '+' && sign != '-'))
		return -1;
	*minutes = (sign == '-' ? -1 : 1) * (h * 60 + m);
	return 0;
}

int parse_time(const char *s, int64_t *ms)
{
	uint64_t number;
	struct tm tm = { 0 };
	int east, fraction = 0;
	if (!parse_u64(s, &number) && number <= INT64_MAX) {
		*ms = (int64_t)number;
		return 0;
	}
	const char *rest = strptime(s, "%Y-%m-%d", &tm);
	if (rest && *rest && strchr("Tt ", *rest))
		rest = strptime(rest + 1, "%H:%M:%S", &tm);
	else
		return -1;
	if (!rest)
		return -1;
	if (*rest == '.') {
		int scale = 100;
		for (rest++; isdigit((unsigned char)*rest); rest++, scale /= 10)
			fraction += (*rest - '0') * scale;
	}
	if (parse_zone(rest, &east))
		return -1;
	*ms = ((int64_t)timegm(&tm) - east * 60) * 1000 + fraction;
	return 0;
}

uint64_t mono_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

int64_t wall_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Bucket: the place of the highest bit, then the HIST_SUB steps between it and the next. */
void hist_add(struct hist *h, uint64_t ns)
{
	unsigned high = 63u - (unsigned)__builtin_clzll(ns | 1);
	uint64_t at = ns;
	if (high > 5)
		at = (uint64_t)(high - 5) * HIST_SUB + (ns >> (high - 5));
	h->bucket[at < HIST_BUCKETS ? at : HIST_BUCKETS - 1]++;
	h->n++;
	if (ns > h->max)
		h->max = ns;
}

uint64_t hist_percentile(const struct hist *h, double percent)
{
	uint64_t want = (uint64_t)((double)h->n * percent / 100), seen = 0;
	if (want >= h->n)
		return h->max;
	for (unsigned i = 0; i < HIST_BUCKETS; i++) {
		seen += h->bucket[i];
		if (seen <= want)
			continue;
		if (i < 2 * HIST_SUB)
			return i;
		unsigned shift = i / HIST_SUB - 1;
		return ((uint64_t)(i % HIST_SUB) + HIST_SUB) << shift;
	}
	return h->max;
}

void progress_begin(struct progress *p)
{
	*p = (struct progress){ mono_ns(), 0, isatty(STDERR_FILENO), false };
}

bool progress_due(struct progress *p)
{
	if (!p->terminal)
		return false;
	uint64_t now = mono_ns();
	return now - p->begin_ns > 2 * SECOND && now - p->shown_ns > SECOND / 5;
}

void progress_show(struct progress *p, const char *fmt, ...)
{
	va_list ap;
	p->shown_ns = mono_ns();
	p->shown = true;
	fputs("\r", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputs("\033[K", stderr);
	fflush(stderr);
}

void progress_end(struct progress *p)
{
	if (p->shown)
		fputs("\r\033[K", stderr);
	p->shown = false;
}
