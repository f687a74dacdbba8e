#include "engine/store/uri.h"
#include "engine/os/env.h"
#include "engine/store/store.h"
#include <criterion/criterion.h>
#include <stdio.h>

static struct uri u;
static struct firn_error err;

Test(store_uri, the_parts_of_a_uri_are_taken_apart_and_decoded)
{
	cr_assert_eq(
	        uri_parse("s3://my-bucket.x/a%20b/c?endpoint=http://127.0.0.1:9000&region=eu%2D1",
	                  &u, &err),
	        FIRN_OK, "%s", err.text);
	cr_assert_str_eq(u.scheme, "s3");
	cr_assert_str_eq(u.authority, "my-bucket.x");
	cr_assert_str_eq(u.path, "/a b/c");
	cr_assert_eq(u.n_param, 2u);
	cr_assert_str_eq(uri_param(&u, "endpoint"), "http://127.0.0.1:9000");
	cr_assert_str_eq(uri_param(&u, "region"), "eu-1");
	cr_assert_null(uri_param(&u, "none"));
}

Test(store_uri, short_forms_parse)
{
	cr_assert_eq(uri_parse("mem:", &u, &err), FIRN_OK);
	cr_assert(!u.has_authority && !u.path[0]);
	cr_assert_eq(uri_parse("mem:trial", &u, &err), FIRN_OK);
	cr_assert_str_eq(u.path, "trial");
	cr_assert_eq(uri_parse("file:///srv/firn", &u, &err), FIRN_OK);
	cr_assert_str_eq(u.authority, "");
	cr_assert_str_eq(u.path, "/srv/firn");
	cr_assert_eq(uri_parse("s3://b", &u, &err), FIRN_OK);
	cr_assert_str_eq(u.authority, "b");
	cr_assert_str_eq(u.path, "");
	cr_assert_eq(uri_parse("s3://b?x=", &u, &err), FIRN_OK);
	cr_assert_str_eq(uri_param(&u, "x"), "");
}

Test(store_uri, malformed_uris_are_einval_and_never_quoted)
{
	static const char *const bad[] = {
		"",
		"/srv/firn",
		"FILE:///x",
		"1s:x",
		":x",
		"file",
		"s3://us er/x",
		"file:///a b",
		"file:///a%",
		"file:///a%2",
		"file:///a%zz",
		"file:///%00",
		"file:///a%0a",
		"file:///%ff",
		"file:///x#y",
		"file:///x?",
		"file:///x?a",
		"file:///x?=b",
		"file:///x?A=b",
		"file:///x?a=b&a=c",
		"file:///x?a=b&",
		"file:///x?a=<",
		"file:///\x01",
		"s3://sesame:pw@bucket/x",
		"s3://sesame@bucket",
		"file:///a\\b",
		"file:///x?sesame=%zz",
	};

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		memset(&err, 0, sizeof err);
		cr_assert_eq(uri_parse(bad[i], &u, &err), FIRN_EINVAL, "%s", bad[i]);
		cr_assert_not_null(strstr(err.text, "byte "), "%s: %s", bad[i], err.text);
		cr_assert_null(strstr(err.text, "sesame"), "%s", err.text);
	}
}

Test(store_uri, limits_of_length_and_number_hold)
{
	char text[URI_MAX + 2], *p;

	memset(text, 'a', sizeof text);
	memcpy(text, "mem:", 4);
	text[URI_MAX] = 0;
	cr_assert_eq(uri_parse(text, &u, &err), FIRN_OK);
	text[URI_MAX] = 'a';
	text[URI_MAX + 1] = 0;
	cr_assert_eq(uri_parse(text, &u, &err), FIRN_EINVAL);
	p = text + sprintf(text, "mem:?");
	for (int i = 0; i < URI_PARAM_MAX; i++)
		p += sprintf(p, "%sp%d=", i ? "&" : "", i);
	cr_assert_eq(uri_parse(text, &u, &err), FIRN_OK);
	(void)strcpy(p, "&more=1");
	cr_assert_eq(uri_parse(text, &u, &err), FIRN_EINVAL);
}

Test(store_uri, values_that_may_be_secret_are_not_shown)
{
	cr_assert_eq(
	        uri_parse("plugin:/x.so?region=eu&secret_key=sesame&token=&api_password=a%26b&n=1",
	                  &u, &err),
	        FIRN_OK);
	cr_assert_str_eq(u.shown,
	                 "plugin:/x.so?region=eu&secret_key=***&token=***&api_password=***&n=1");
	cr_assert_str_eq(uri_param(&u, "api_password"), "a&b");
}

/* The worst for the room of `shown`: as many empty secrets as fit. */
Test(store_uri, showing_never_overflows)
{
	char text[URI_MAX + 1];
	size_t n = (size_t)sprintf(text, "mem:?");

	for (int i = 0; i < URI_PARAM_MAX; i++)
		n += (size_t)sprintf(text + n, "%skey%c=", i ? "&" : "", 'a' + i);
	cr_assert_eq(uri_parse(text, &u, &err), FIRN_OK);
	cr_assert_eq(strlen(u.shown), n + 3 * URI_PARAM_MAX);
}

Test(store_open, stores_that_do_not_exist_are_named)
{
	struct store *s;

	cr_assert_eq(store_open(env_default(), "gopher:x", &s, &err), FIRN_EUNSUPPORTED);
	cr_assert_null(s);
	cr_assert_not_null(strstr(err.text, "file:"), "says what there is: %s", err.text);
	cr_assert_not_null(strstr(err.text, "gopher"), "%s", err.text);
}

Test(store_open, wrong_uris_of_known_stores_are_einval)
{
	static const char *const uris[] = {
		"file:relative",
		"file://host/x",
		"file:///a/../b",
		"file:///a/.",
		"file:///x?thread=4",
		"file:///x?threads=0",
		"file:///x?threads=17",
		"file:///x?threads=4x",
		"mem://x",
		"mem:/x",
		"mem:x?y=1",
		"mem:x?deadline_ms=0",
		"mem:x?deadline_ms=-1",
		"mem:x?deadline_ms=1s",
		"mem:x?deadline_ms=99999999999",
	};
	struct store *s;

	for (size_t i = 0; i < sizeof uris / sizeof uris[0]; i++)
		cr_assert_eq(store_open(env_default(), uris[i], &s, &err), FIRN_EINVAL, "%s",
		             uris[i]);
	cr_assert_eq(store_open(env_default(), "mem:x?deadline_ms=1000", &s, &err), FIRN_OK);
	cr_assert_str_eq(store_uri_shown(s), "mem:x?deadline_ms=1000");
	store_close(s);
}
