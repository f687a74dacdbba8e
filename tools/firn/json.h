/* Writes JSON to a stream: enough for tables and records, always well-formed, always escaped. */
#ifndef TOOL_JSON_H
#define TOOL_JSON_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct json {
	FILE *out;
	unsigned depth;
	char close[16]; /* what ends each open level */
	bool comma;
};

void json_init(struct json *j, FILE *out);
/* `key` is NULL inside arrays and at the top. The outermost end writes a newline. */
void json_object(struct json *j, const char *key);
void json_array(struct json *j, const char *key);
void json_end(struct json *j);
void json_string(struct json *j, const char *key, const char *value);
/* Any bytes: a string if they are UTF-8, else Base64 under `key`_base64. */
void json_bytes(struct json *j, const char *key, const void *data, size_t len);
void json_u64(struct json *j, const char *key, uint64_t value);
void json_i64(struct json *j, const char *key, int64_t value);
void json_double(struct json *j, const char *key, double value);
void json_bool(struct json *j, const char *key, bool value);
/* RFC 3339 text, or null for 0. */
void json_time(struct json *j, const char *key, int64_t ms);
#endif
