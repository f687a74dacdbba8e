/* The URI parser. One pass over a private copy: cut at the delimiters, then decode each piece in
 * place (decoding only shrinks). */
#include "engine/store/uri.h"
#include "engine/base/error.h"
#include "engine/store/key.h"
#include <ctype.h>
#include <strings.h>

static int bad(struct firn_error *err, size_t pos, const char *what)
{
	return fail(err, FIRN_EINVAL, 0, "store", "store URI, byte %zu: %s", pos, what);
}

static int is_lower(char c)
{
	return c >= 'a' && c <= 'z';
}

static int is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static int hex_value(char c)
{
	if (is_digit(c))
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Characters that may stand for themselves in a path or a value: RFC 3986 pchar, "/" and "?", and
 * the bytes of non-ASCII characters, which people do type. */
static int is_plain(char c)
{
	unsigned char u = (unsigned char)c;

	return u >= 0x80 || is_lower(c) || is_digit(c) || (c >= 'A' && c <= 'Z') ||
	       (c && strchr("-._~!$&'()*+,;=:@/?", c));
}

/* Decodes p in place. `base` is where its text began, for messages. */
static int decode(const char *base, char *p, struct firn_error *err)
{
	char *out = p, *begin = p;

	for (; *p; p++) {
		if (*p != '%') {
			if (!is_plain(*p))
				return bad(err, (size_t)(p - base),
				           "this character must be written as %XX");
			*out++ = *p;
			continue;
		}
		int high = hex_value(p[1]), low = high < 0 ? -1 : hex_value(p[2]);

		if (low < 0)
			return bad(err, (size_t)(p - base), "% is not followed by two hex digits");
		*out++ = (char)(high << 4 | low);
		p += 2;
	}
	/* Also catches %00: a NUL inside would cut the text silently. */
	if (!key_is_text(begin, (size_t)(out - begin)))
		return bad(err, (size_t)(begin - base), "not UTF-8, or a control character in it");
	*out = 0;
	return 0;
}

static int parse_scheme(struct uri *u, char **rest, struct firn_error *err)
{
	char *p = u->text;

	if (!is_lower(*p))
		return bad(err, 0, "it must begin with a scheme such as file: in lower case");
	while (is_lower(*p) || is_digit(*p) || *p == '+' || *p == '.' || *p == '-')
		p++;
	if (*p != ':' || p - u->text > 32)
		return bad(err, (size_t)(p - u->text), "a scheme such as file: must come first");
	*p = 0;
	u->scheme = u->text;
	*rest = p + 1;
	return 0;
}

/* The authority is moved one byte forward, over a slash, to make room for its NUL. */
static int parse_authority(struct uri *u, char **rest, struct firn_error *err)
{
	char *p = *rest;
	size_t n = 0;

	u->authority = "";
	if (p[0] != '/' || p[1] != '/')
		return 0;
	u->has_authority = 1;
	p += 2;
	for (; p[n] && p[n] != '/'; n++) {
		if (p[n] == '@')
			return bad(
			        err, (size_t)(p - u->text) + n,
			        "credentials do not belong into a URI: use the environment or the "
			        "credentials file");
		if (!isalnum((unsigned char)p[n]) && !strchr("-._:", p[n]))
			return bad(err, (size_t)(p - u->text) + n,
			           "not a character of a host or bucket name");
	}
	char *host = p - 1; /* one to the left, over a slash: room for its end */
	memmove(host, p, n);
	host[n] = 0;
	u->authority = host;
	*rest = p + n;
	return 0;
}

static int add_param(struct uri *u, char *item, struct firn_error *err)
{
	char *value = strchr(item, '=');
	size_t pos = (size_t)(item - u->text);

	if (!value || value == item)
		return bad(err, pos, "a parameter must be name=value");
	*value++ = 0;
	for (const char *c = item; *c; c++)
		if (!is_lower(*c) && !is_digit(*c) && !strchr("_-.", *c))
			return bad(err, pos, "a parameter's name is of a-z 0-9 _ - .");
	if (uri_param(u, item))
		return bad(err, pos, "this parameter is there twice");
	if (u->n_param == URI_PARAM_MAX)
		return bad(err, pos, "more than 16 parameters");
	int rc = decode(u->text, value, err);

	if (rc)
		return rc;
	u->param[u->n_param].name = item;
	u->param[u->n_param].value = value;
	u->n_param++;
	return 0;
}

static int parse_query(struct uri *u, char *p, struct firn_error *err)
{
	while (p) {
		char *next = strchr(p, '&');

		if (next)
			*next++ = 0;
		int rc = add_param(u, p, err);

		if (rc)
			return rc;
		p = next;
	}
	return 0;
}

/* Better to hide `partition_key` than to show an `api_key`. */
static int may_be_secret(const char *name, size_t len)
{
	static const char *const words[] = { "secret", "token", "pass", "cred",
		                             "sign",   "key",   "auth" };

	for (size_t w = 0; w < sizeof words / sizeof words[0]; w++)
		for (size_t i = 0, n = strlen(words[w]); i + n <= len; i++)
			if (!strncasecmp(name + i, words[w], n))
				return 1;
	return 0;
}

/* Copies the text as it was given, up to and with each `=`, values or *** after it. A hidden value
 * of length 0 becomes three bytes longer, a parameter has at least three: the room is enough. */
static void make_shown(const char *text, char *shown)
{
	const char *query = strchr(text, '?');
	size_t n = query ? (size_t)(query - text) : strlen(text);

	memcpy(shown, text, n);
	shown += n;
	for (const char *p = query; p && *p;) {
		size_t len = 1 + strcspn(p + 1, "&");
		const char *eq = memchr(p, '=', len);

		if (eq && may_be_secret(p + 1, (size_t)(eq - p) - 1)) {
			size_t keep = (size_t)(eq - p) + 1;

			memcpy(shown, p, keep);
			memcpy(shown + keep, "***", 3);
			shown += keep + 3;
		} else {
			memcpy(shown, p, len);
			shown += len;
		}
		p += len;
	}
	*shown = 0;
}

int uri_parse(const char *text, struct uri *out, struct firn_error *err)
{
	size_t len = strnlen(text, URI_MAX + 1);
	char *rest = NULL;

	memset(out, 0, sizeof *out);
	if (len > URI_MAX)
		return bad(err, URI_MAX, "a store URI has at most 2048 bytes");
	memcpy(out->text, text, len + 1);
	if (strchr(text, '#'))
		return bad(err, (size_t)(strchr(text, '#') - text), "# must be written as %23");
	int rc = parse_scheme(out, &rest, err);

	if (rc)
		return rc;
	char *query = strchr(rest, '?');

	if (query)
		*query++ = 0;
	rc = parse_authority(out, &rest, err);
	if (rc)
		return rc;
	/* The authority ends where the path's first slash is: both cannot be terminated in place,
	 * so parse_authority() has moved it. */
	out->path = rest;
	rc = decode(out->text, rest, err);
	if (!rc)
		rc = parse_query(out, query, err);
	if (!rc)
		make_shown(text, out->shown);
	return rc;
}

const char *uri_param(const struct uri *u, const char *name)
{
	for (uint32_t i = 0; i < u->n_param; i++)
		if (!strcmp(u->param[i].name, name))
			return u->param[i].value;
	return NULL;
}
