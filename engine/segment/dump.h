/* Telling bytes field by field: tables of fields, and lines of text made from them. For this
 * folder and engine/layer, whose rows are the same. */
#ifndef SEGMENT_DUMP_H
#define SEGMENT_DUMP_H
#include "engine/segment/footer.h"

/* Where the lines go, and the first error met on the way. */
struct dump {
	void (*line)(void *arg, const char *text);
	void *arg;
	struct firn_error *err;
	int rc;
	bool in_frame; /* positions count inside a decompressed frame: shown as +0000040 */
};

enum field_kind { FIELD_TEXT, FIELD_UINT, FIELD_INT, FIELD_SUM, FIELD_BYTES, FIELD_ZERO };
struct field {
	uint16_t at;
	uint8_t len, kind;
	const char *name;
};
/* A table ends at a field of length 0. */
extern const struct field segment_fields_header[], segment_fields_trailer[], segment_fields_slot[],
        segment_fields_block[], segment_fields_desc[], segment_fields_producer_batch[];
extern const struct field *const segment_fields_row[SECTION_KINDS];

void segment_dump_head(struct dump *d, const char *format, ...)
        __attribute__((format(printf, 2, 3)));
/* Keeps the first error, and says each. */
void segment_dump_error(struct dump *d, const struct firn_error *err);
/* Every field of a table; pos is where `at` lies. */
void segment_dump_fields(struct dump *d, const struct field *table, uint64_t pos,
                         const uint8_t *at);
/* One field of any length, in several lines, cut after 64 bytes. Nothing when len is 0. */
void segment_dump_bytes(struct dump *d, const char *name, uint64_t pos, const uint8_t *at,
                        size_t len);
/* A whole row of a section, len bytes of it, of which its decoder has said that it is sound. */
void segment_dump_row(struct dump *d, int kind, uint64_t pos, const uint8_t *row, size_t len);
void segment_dump_u32(struct dump *d, const char *name, uint64_t pos, const uint8_t *at);
#endif
