/* uri_parse() and the grammar of keys on hostile text. What is accepted must be text within its
 * limits, and what is shown must not hold a value that may be a secret. */
#include "engine/store/key.h"
#include "engine/store/uri.h"
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int holds)
{
	if (!holds)
		abort();
}

static void parse(const char *text)
{
	struct firn_error err = FIRN_ERROR_INIT;
	static struct uri u;

	if (uri_parse(text, &u, &err) != FIRN_OK) {
		check(err.code == FIRN_EINVAL && err.text[0]);
		return;
	}
	check(strlen(u.scheme) <= 32 && u.n_param <= URI_PARAM_MAX);
	check(!strchr(u.authority, '@') && !strchr(u.authority, '/'));
	check(key_is_text(u.path, strlen(u.path)));
	check(strlen(u.shown) < sizeof u.shown);
	for (uint32_t i = 0; i < u.n_param; i++) {
		char item[URI_MAX + 64];

		check(key_is_text(u.param[i].value, strlen(u.param[i].value)));
		check(uri_param(&u, u.param[i].name) == u.param[i].value);
		if (!strstr(u.param[i].name, "secret"))
			continue;
		(void)snprintf(item, sizeof item, "%s=***", u.param[i].name);
		check(strstr(u.shown, item) != NULL);
	}
}

static void check_key(const char *text)
{
	size_t len = strlen(text);

	if (key_check(text))
		return;
	check(len > 0 && len <= FIRN_STORE_KEY_MAX && text[0] != '/' && text[len - 1] != '/');
	check(!strstr(text, "//") && strcmp(text, "..") && strncmp(text, "../", 3));
	check(!strstr(text, "/../") && !strstr(text, "/" KEY_RESERVED));
	check(!key_check_prefix(text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	if (!text)
		return 0;
	if (size)
		memcpy(text, data, size);
	text[size] = 0;
	parse(text);
	check_key(text);
	free(text);
	return 0;
}
