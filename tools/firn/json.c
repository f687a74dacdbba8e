#include "tools/firn/json.h"
#include "tools/firn/text.h"
#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

void json_init(struct json *j, FILE *out)
{
	*j = (struct json){ out, 0, "", false };
}

/* Bytes of the UTF-8 sequence at p, 0 if it is none (RFC 3629: no surrogates, shortest form). */
static size_t utf8_len(const uint8_t *p, size_t left)
{
	uint8_t low = 0x80, high = 0xbf;
	size_t len;
	if (p[0] < 0x80)
		return 1;
	if (p[0] >= 0xc2 && p[0] <= 0xdf)
		len = 2;
	else if (p[0] >= 0xe0 && p[0] <= 0xef)
		len = 3;
	else if (p[0] >= 0xf0 && p[0] <= 0xf4)
		len = 4;
	else
		return 0;
	if (p[0] == 0xe0)
		low = 0xa0;
	else if (p[0] == 0xed)
		high = 0x9f;
	else if (p[0] == 0xf0)
		low = 0x90;
	else if (p[0] == 0xf4)
		high = 0x8f;
	if (left < len || p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return len;
}

static bool utf8_valid(const uint8_t *p, size_t len)
{
	while (len) {
		size_t n = utf8_len(p, len);
		if (!n)
			return false;
		p += n;
		len -= n;
	}
	return true;
}

static void put_quoted(FILE *out, const uint8_t *p, size_t len)
{
	putc('"', out);
	for (size_t i = 0; i < len; i++) {
		if (p[i] == '"' || p[i] == '\\')
			fprintf(out, "\\%c", p[i]);
		else if (p[i] == '\n')
			fputs("\\n", out);
		else if (p[i] == '\t')
			fputs("\\t", out);
		else if (p[i] < 32 || p[i] == 127)
			fprintf(out, "\\u%04x", p[i]);
		else
			putc(p[i], out);
	}
	putc('"', out);
}

static void put_base64(FILE *out, const uint8_t *p, size_t len)
{
	static const char digit[] =
	        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	putc('"', out);
	for (size_t i = 0; i < len; i += 3) {
		uint32_t v = (uint32_t)p[i] << 16;
		if (i + 1 < len)
			v |= (uint32_t)p[i + 1] << 8;
		if (i + 2 < len)
			v |= p[i + 2];
		putc(digit[v >> 18], out);
		putc(digit[v >> 12 & 63], out);
		putc(i + 1 < len ? digit[v >> 6 & 63] : '=', out);
		putc(i + 2 < len ? digit[v & 63] : '=', out);
	}
	putc('"', out);
}

static void put_key(struct json *j, const char *key, const char *suffix)
{
	if (j->comma)
		fputs(", ", j->out);
	j->comma = true;
	if (key)
		fprintf(j->out, "\"%s%s\": ", key, suffix);
}

static void open_level(struct json *j, const char *key, char open, char close)
{
	assert(j->depth < sizeof j->close);
	put_key(j, key, "");
	putc(open, j->out);
	j->close[j->depth++] = close;
	j->comma = false;
}

void json_object(struct json *j, const char *key)
{
	open_level(j, key, '{', '}');
}

void json_array(struct json *j, const char *key)
{
	open_level(j, key, '[', ']');
}

void json_end(struct json *j)
{
	assert(j->depth > 0);
	putc(j->close[--j->depth], j->out);
	j->comma = j->depth > 0;
	if (!j->depth)
		putc('\n', j->out);
}

void json_string(struct json *j, const char *key, const char *value)
{
	json_bytes(j, key, value, strlen(value));
}

void json_bytes(struct json *j, const char *key, const void *data, size_t len)
{
	bool text = utf8_valid(data, len);
	put_key(j, key, text ? "" : "_base64");
	if (text)
		put_quoted(j->out, data, len);
	else
		put_base64(j->out, data, len);
}

void json_u64(struct json *j, const char *key, uint64_t value)
{
	put_key(j, key, "");
	fprintf(j->out, "%" PRIu64, value);
}

void json_i64(struct json *j, const char *key, int64_t value)
{
	put_key(j, key, "");
	fprintf(j->out, "%" PRId64, value);
}

void json_double(struct json *j, const char *key, double value)
{
	put_key(j, key, "");
	if (isfinite(value))
		fprintf(j->out, "%.6g", value);
	else
		fputs("null", j->out);
}

void json_bool(struct json *j, const char *key, bool value)
{
	put_key(j, key, "");
	fputs(value ? "true" : "false", j->out);
}

void json_time(struct json *j, const char *key, int64_t ms)
{
	put_key(j, key, "");
	if (ms > 0)
		fprintf(j->out, "\"%s\"", text_time(ms).s);
	else
		fputs("null", j->out);
}
