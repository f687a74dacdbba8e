/* The script of fault: URIs, read strictly: a typing error must not silently test nothing. */
#include "engine/base/error.h"
#include "engine/store/fault.h"
#include <stddef.h>

enum { MS_MAX = 3600000, MILLION = 1000000 };

enum kind { NUMBER, PER_CENT, MILLISECONDS, OUTAGE, PATH, IGNORE };

static const struct field {
	const char *name;
	enum kind kind;
	size_t at;
} fields[] = {
	{ "seed", NUMBER, offsetof(struct fault_script, seed) },
	{ "cut", NUMBER, offsetof(struct fault_script, cut) },
	{ "throttle", PER_CENT, offsetof(struct fault_script, throttle) },
	{ "reset", PER_CENT, offsetof(struct fault_script, reset) },
	{ "dropped", PER_CENT, offsetof(struct fault_script, dropped) },
	{ "lost", PER_CENT, offsetof(struct fault_script, lost) },
	{ "truncate", PER_CENT, offsetof(struct fault_script, truncate) },
	{ "flip", PER_CENT, offsetof(struct fault_script, flip) },
	{ "latency_ms", MILLISECONDS, offsetof(struct fault_script, latency_ms) },
	{ "jitter_ms", MILLISECONDS, offsetof(struct fault_script, jitter_ms) },
	{ "retry_after_ms", MILLISECONDS, offsetof(struct fault_script, retry_after_ms) },
	{ "outage", OUTAGE, 0 },
	{ "outage_while", PATH, offsetof(struct fault_script, outage_while) },
	{ "ignore", IGNORE, 0 },
};

static int is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Digits up to `most`; NULL: none, or more. Gives what follows them. */
static const char *read_number(const char *p, uint64_t most, uint64_t *value)
{
	*value = 0;
	if (!is_digit(*p))
		return NULL;
	for (; is_digit(*p); p++) {
		uint64_t digit = (uint64_t)(*p - '0');

		if (*value > (most - digit) / 10)
			return NULL;
		*value = *value * 10 + digit;
	}
	return p;
}

/* "2", "0.05": per cent into millionths. */
static const char *read_per_cent(const char *p, uint32_t *value)
{
	uint64_t whole = 0;
	uint32_t unit = MILLION / 1000;

	p = read_number(p, 100, &whole);
	if (!p)
		return NULL;
	*value = (uint32_t)whole * (MILLION / 100);
	if (*p == '.')
		for (p++; is_digit(*p); p++, unit /= 10)
			*value += (uint32_t)(*p - '0') * unit;
	return *value <= MILLION ? p : NULL;
}

static const char *read_outage(const char *p, struct fault_script *script)
{
	uint64_t from = 0, len = 0;

	p = read_number(p, MS_MAX, &from);
	p = p && *p == '+' ? read_number(p + 1, MS_MAX, &len) : NULL;
	script->outage_from_ms = (uint32_t)from;
	script->outage_for_ms = (uint32_t)len;
	return p;
}

static const char *read_path(const char *p, char *path)
{
	size_t len = strcspn(p, ",:");

	if (*p != '/' || len > FAULT_PATH_MAX)
		return NULL;
	memcpy(path, p, len);
	path[len] = 0;
	return p + len;
}

static const char *read_ignore(const char *p, struct fault_script *script)
{
	static const struct {
		const char *name;
		uint32_t bits;
	} words[] = {
		{ "absent", 1u << FIRN_STORE_IF_ABSENT },
		{ "match", 1u << FIRN_STORE_IF_MATCH },
		{ "both", 1u << FIRN_STORE_IF_ABSENT | 1u << FIRN_STORE_IF_MATCH },
	};

	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
		size_t len = strlen(words[i].name);

		if (!strncmp(p, words[i].name, len)) {
			script->ignore = words[i].bits;
			return p + len;
		}
	}
	return NULL;
}

/* Gives what follows the value, NULL: it is none. */
static const char *read_value(const char *p, const struct field *f, struct fault_script *script)
{
	uint8_t *at = (uint8_t *)script + f->at;
	uint64_t number = 0;
	uint32_t word = 0;

	switch (f->kind) {
	case NUMBER:
		p = read_number(p, UINT64_MAX, &number);
		memcpy(at, &number, sizeof number);
		return p;
	case PER_CENT:
		p = read_per_cent(p, &word);
		memcpy(at, &word, sizeof word);
		return p;
	case MILLISECONDS:
		p = read_number(p, MS_MAX, &number);
		word = (uint32_t)number;
		memcpy(at, &word, sizeof word);
		return p;
	case OUTAGE:
		return read_outage(p, script);
	case PATH:
		return read_path(p, (char *)at);
	case IGNORE:
		return read_ignore(p, script);
	}
	return NULL;
}

static int bad(struct firn_error *err, const char *uri, const char *p, const char *what)
{
	return fail(err, FIRN_EINVAL, 0, "store", "fault: URI, byte %zu: %s", (size_t)(p - uri),
	            what);
}

int fault_parse(const char *uri, struct fault_script *script, const char **rest,
                struct firn_error *err)
{
	const char *p = uri + 6;

	memset(script, 0, sizeof *script);
	if (strncmp(uri, "fault:", 6) != 0)
		return 0;
	for (;;) {
		size_t len = strcspn(p, "=,:"), i = 0;
		const char *name = p;

		while (i < sizeof fields / sizeof fields[0] &&
		       (strlen(fields[i].name) != len || strncmp(p, fields[i].name, len) != 0))
			i++;
		if (i == sizeof fields / sizeof fields[0])
			return bad(
			        err, uri, name,
			        "no such fault; there are seed, latency_ms, jitter_ms, throttle, "
			        "retry_after_ms, reset, dropped, lost, truncate, flip, outage, "
			        "outage_while, cut, ignore");
		p += len;
		p = *p == '=' ? read_value(p + 1, &fields[i], script) : NULL;
		if (!p || (*p != ',' && *p != ':'))
			return bad(err, uri, name,
			           "not the value that this fault takes, or no URI after it");
		if (*p++ == ':')
			break;
	}
	*rest = p;
	return 1;
}
