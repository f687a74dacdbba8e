/* What a key may look like, in every store alike, so that data can move from one to another. */
#ifndef STORE_KEY_H
#define STORE_KEY_H
#include <stddef.h>

/* Names that begin so are a back end's own (temporary files, locks). No key has such a component.
 */
#define KEY_RESERVED ".firn~"

/* NULL if the NUL-terminated text is a key, else what is wrong with it (static text). A key has 1
 * to FIRN_STORE_KEY_MAX bytes of UTF-8 without control characters, in components of 1 to 255 bytes
 * separated by '/', none of them "." or ".." or beginning with KEY_RESERVED. */
const char *key_check(const char *key);
/* The same for the prefix of a LIST: may be "" and may end anywhere between two characters. */
const char *key_check_prefix(const char *prefix);
/* Non-zero if all of it is well-formed UTF-8 (no overlong forms, surrogates, or above U+10FFFF)
 * without control characters (C0, DEL, C1). */
int key_is_text(const char *text, size_t len);
#endif
