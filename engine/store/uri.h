/* Store URIs: scheme:[//authority]path[?name=value[&name=value]...], read strictly. */
#ifndef STORE_URI_H
#define STORE_URI_H
#include <firn/store.h>

enum { URI_MAX = 2048, URI_PARAM_MAX = 16 };

/* Points into itself: never copied. */
struct uri {
	const char *scheme;    /* [a-z][a-z0-9+.-]*, at most 32 bytes */
	const char *authority; /* "" when absent; letters, digits and -._: only */
	const char *path;      /* percent-decoded */
	struct firn_store_param param[URI_PARAM_MAX]; /* decoded, no name twice */
	uint32_t n_param, has_authority;
	char text[URI_MAX + 8];
	char shown[URI_MAX * 2]; /* as given, values that may be secret replaced by *** */
};

/* FIRN_EINVAL says what is wrong and at which byte, and never quotes the URI: what cannot be parsed
 * cannot be shown without its credentials. Userinfo (user:password@) is refused. */
int uri_parse(const char *text, struct uri *out, struct firn_error *err);
/* The value of a parameter, NULL when it is not there. */
const char *uri_param(const struct uri *u, const char *name);
#endif
