#include "tools/firn/fields.h"
#include <string.h>

const uint8_t *fields_find(const struct fields *f, const uint8_t *line, size_t len,
                           size_t *field_len)
{
	const uint8_t *end = line + len;
	for (unsigned i = 1;; i++) {
		const uint8_t *stop = memchr(line, f->delimiter, (size_t)(end - line));
		if (!stop)
			stop = end;
		if (i == f->number) {
			*field_len = (size_t)(stop - line);
			return line;
		}
		if (stop == end)
			return NULL;
		line = stop + 1;
	}
}
