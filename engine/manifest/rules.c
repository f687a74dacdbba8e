/* Names of volumes and of their manifests. */
#include "engine/base/error.h"
#include "engine/manifest/manifest.h"
#include <stdio.h>
#include <string.h>

enum { NAME_MAX_LEN = 200 };

static int is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '.' || c == '_' || c == '-';
}

static int is(const char *p, size_t n, const char *word)
{
	return strlen(word) == n && !memcmp(p, word, n);
}

static const char *component_wrong(const char *p, size_t n)
{
	if (n == 0)
		return "a component is empty";
	if (is(p, n, ".") || is(p, n, ".."))
		return "a component is . or ..";
	if (is(p, n, "seg") || is(p, n, "layer") || is(p, n, "manifest"))
		return "no component may be `seg`, `layer` or `manifest`";
	if (n >= 5 && !memcmp(p, ".firn", 5))
		return "no component may begin with .firn";
	for (size_t i = 0; i < n; i++)
		if (!is_name_char(p[i]))
			return "only A-Z a-z 0-9 . _ - and / are allowed";
	return NULL;
}

static const char *name_wrong(const char *name)
{
	size_t len = strnlen(name, NAME_MAX_LEN + 1);

	if (len == 0)
		return "it is empty";
	if (len > NAME_MAX_LEN)
		return "it is longer than 200 bytes";
	for (const char *p = name;;) {
		size_t n = strcspn(p, "/");
		const char *wrong = component_wrong(p, n);

		if (wrong || !p[n])
			return wrong;
		p += n + 1;
	}
}

int manifest_name_check(const char *volume_name, struct firn_error *err)
{
	const char *wrong = name_wrong(volume_name);

	if (!wrong)
		return FIRN_OK;
	return fail(err, FIRN_EINVAL, 0, "manifest", "not a volume name: %s", wrong);
}

int manifest_key(const char *volume_name, char *buf, size_t cap)
{
	if (name_wrong(volume_name))
		return FIRN_EINVAL;
	int n = snprintf(buf, cap, "%s/manifest", volume_name);

	return n > 0 && (size_t)n < cap ? FIRN_OK : FIRN_ETOOBIG;
}
