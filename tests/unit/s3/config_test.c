/* From a URI to an endpoint. */
#include "backends/s3/s3_store.h"
#include "engine/os/env.h"
#include "engine/store/internal.h"
#include <criterion/criterion.h>
#include <stdlib.h>

static struct s3_config c;
static struct firn_error err;

static int read_uri(const char *text)
{
	static struct uri u;
	struct firn_store_config from = { .struct_size = (uint32_t)sizeof from };

	cr_assert_eq(uri_parse(text, &u, &err), FIRN_OK, "%s", err.text);
	from.authority = u.authority;
	from.path = u.path;
	from.param = u.param;
	from.n_param = u.n_param;
	int rc = config_read(&from, &c, &err);

	return rc == FIRN_OK ? config_finish(&c, "", &err) : rc;
}

Test(s3_config, amazon_is_virtual_host_style_with_tls)
{
	cr_assert_eq(read_uri("s3://bkt/a/b/?region=eu-central-1"), FIRN_OK, "%s", err.text);
	cr_assert_str_eq(c.base_url, "https://bkt.s3.eu-central-1.amazonaws.com");
	cr_assert_str_eq(c.base_path, "");
	cr_assert_str_eq(c.prefix, "a/b/");
}

Test(s3_config, another_endpoint_is_path_style)
{
	cr_assert_eq(read_uri("s3://bkt?endpoint=http://127.0.0.1:9000"), FIRN_OK, "%s", err.text);
	cr_assert_str_eq(c.base_url, "http://127.0.0.1:9000");
	cr_assert_str_eq(c.host, "127.0.0.1:9000");
	cr_assert_str_eq(c.base_path, "/bkt");
	cr_assert_str_eq(c.prefix, "");
	cr_assert_eq(read_uri("s3://bkt?endpoint=https://h:443&style=virtual"), FIRN_OK);
	cr_assert_str_eq(c.host, "bkt.h", "the default port is not in the Host header");
}

static uint64_t price_of_1000_puts(const char *uri)
{
	struct store *s;

	cr_assert_eq(store_open(env_default(), uri, &s, &err), FIRN_OK, "%s", err.text);
	uint64_t price = s->prices.per_1000_put;

	store_close(s);
	return price;
}

Test(s3_config, amazon_has_its_prices_and_others_have_what_is_said)
{
	(void)setenv("AWS_ACCESS_KEY_ID", "key", 1);
	(void)setenv("AWS_SECRET_ACCESS_KEY", "secret", 1);
	cr_assert_eq(price_of_1000_puts("s3://bkt/x"), 5000u);
	cr_assert_eq(price_of_1000_puts("s3://bkt/x?prices=0.0055"), 5500u);
	cr_assert_eq(price_of_1000_puts("s3://bkt/x?endpoint=http://127.0.0.1:9"), 0u);
}

Test(s3_config, what_is_wrong_is_refused)
{
	static const char *const bad[] = { "s3://",
		                           "s3:bkt",
		                           "s3://bkt:9000/x",
		                           "s3://b?endpiont=http://h",
		                           "s3://b?endpoint=ftp://h",
		                           "s3://b?endpoint=http://u:p@h",
		                           "s3://b?endpoint=http://h/path",
		                           "s3://b?proxy=http://u:p@h",
		                           "s3://b?style=auto",
		                           "s3://b?payload=none",
		                           "s3://b?connections=0",
		                           "s3://b?connections=-1",
		                           "s3://b?ca=relative.pem",
		                           "s3://b?region=EU",
		                           "s3://b/../x",
		                           "s3://b.c?style=virtual" };

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		cr_assert_eq(read_uri(bad[i]), FIRN_EINVAL, "%s", bad[i]);
}
