/* The grammar of keys. It is the only thing that stands between a key and a path (backends/file),
 * so it is a white list, and it is checked on both sides of the plug-in interface. */
#include "engine/store/key.h"
#include <firn/store.h>

enum { COMPONENT_MAX = 255 }; /* NAME_MAX of every Linux file system */

/* Length of the well-formed UTF-8 sequence at p, 0 if there is none (Unicode 15, table 3-7). */
static size_t utf8_len(const unsigned char *p, size_t left)
{
	size_t n;
	unsigned char low = 0x80, high = 0xbf;

	if (p[0] < 0x80)
		return 1;
	if (p[0] >= 0xc2 && p[0] <= 0xdf)
		n = 2;
	else if (p[0] >= 0xe0 && p[0] <= 0xef)
		n = 3;
	else if (p[0] >= 0xf0 && p[0] <= 0xf4)
		n = 4;
	else
		return 0;
	if (left < n)
		return 0;
	if (p[0] == 0xe0)
		low = 0xa0; /* else overlong */
	else if (p[0] == 0xed)
		high = 0x9f; /* else a surrogate */
	else if (p[0] == 0xf0)
		low = 0x90;
	else if (p[0] == 0xf4)
		high = 0x8f; /* else above U+10FFFF */
	if (p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < n; i++)
		if (p[i] < 0x80 || p[i] > 0xbf)
			return 0;
	return n;
}

int key_is_text(const char *text, size_t len)
{
	const unsigned char *p = (const unsigned char *)text;

	for (size_t i = 0; i < len;) {
		size_t n = utf8_len(p + i, len - i);

		if (n == 0 || p[i] < 0x20 || p[i] == 0x7f)
			return 0;
		if (n == 2 && p[i] == 0xc2 && p[i + 1] < 0xa0)
			return 0;
		i += n;
	}
	return 1;
}

/* One component; `whole` is 0 for a prefix's last, which may go on in the key. */
static const char *component_check(const char *p, size_t len, int whole)
{
	if (len > COMPONENT_MAX)
		return "a component is longer than 255 bytes";
	if (whole && len == 0)
		return "a component is empty";
	if (whole && ((len == 1 && p[0] == '.') || (len == 2 && p[0] == '.' && p[1] == '.')))
		return "a component is . or ..";
	if (len >= sizeof KEY_RESERVED - 1 && !memcmp(p, KEY_RESERVED, sizeof KEY_RESERVED - 1))
		return "a component begins with " KEY_RESERVED ", which is reserved";
	return NULL;
}

static const char *check(const char *key, int is_prefix)
{
	size_t len = strnlen(key, FIRN_STORE_KEY_MAX + 1);

	if (len > FIRN_STORE_KEY_MAX)
		return "it is longer than 1024 bytes";
	if (!key_is_text(key, len))
		return "it is not UTF-8 or has control characters";
	if (is_prefix && len == 0)
		return NULL;
	for (size_t from = 0;;) {
		const char *slash = memchr(key + from, '/', len - from);
		size_t n = slash ? (size_t)(slash - key) - from : len - from;
		const char *wrong = component_check(key + from, n, slash || !is_prefix);

		if (wrong || !slash)
			return wrong;
		from += n + 1;
	}
}

const char *key_check(const char *key)
{
	return check(key, 0);
}

const char *key_check_prefix(const char *prefix)
{
	return check(prefix, 1);
}
