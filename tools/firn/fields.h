/* Columns of a delimited line. */
#ifndef TOOL_FIELDS_H
#define TOOL_FIELDS_H
#include <stddef.h>
#include <stdint.h>

struct fields {
	unsigned number; /* from 1 */
	char delimiter;
};

/* The field of that number, NULL if the line has fewer. */
const uint8_t *fields_find(const struct fields *f, const uint8_t *line, size_t len,
                           size_t *field_len);
#endif
