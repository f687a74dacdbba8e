/* Where keys come from: files, endpoints, and when they are fetched again. Endpoints are stand-ins. */
#include "backends/s3/cred.h"
#include "engine/os/env.h"
#include "tests/unit/s3/fake_s3.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct fake_s3 fake;
static struct firn_error err;
static char path[64], text[4][1024];

/* An environment with nothing in it that could lead out of the test. */
static void bare(void)
{
	static const char *const names[] = { "AWS_ACCESS_KEY_ID",
		                             "AWS_SECRET_ACCESS_KEY",
		                             "AWS_SESSION_TOKEN",
		                             "AWS_PROFILE",
		                             "AWS_REGION",
		                             "AWS_DEFAULT_REGION",
		                             "AWS_CONTAINER_CREDENTIALS_FULL_URI",
		                             "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
		                             "AWS_CONTAINER_AUTHORIZATION_TOKEN",
		                             "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
		                             "AWS_EC2_METADATA_SERVICE_ENDPOINT" };

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		(void)unsetenv(names[i]);
	(void)setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null", 1);
	(void)setenv("AWS_CONFIG_FILE", "/dev/null", 1);
	(void)setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
}

static void file_with(const char *content)
{
	(void)strcpy(path, "/tmp/firn-cred-XXXXXX");
	int fd = mkstemp(path);

	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, content, strlen(content)), (ssize_t)strlen(content));
	(void)close(fd);
	(void)setenv("AWS_SHARED_CREDENTIALS_FILE", path, 1);
}

/* A 200 with the body. */
static const char *said(int i, const char *body)
{
	(void)snprintf(text[i], sizeof text[i],
	               "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
	               strlen(body), body);
	return text[i];
}

static const char *keys_json(int i, const char *access, int64_t ends_in_s)
{
	char body[512], when[32];
	time_t t = time(NULL) + (time_t)ends_in_s;
	struct tm tm;

	(void)strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &tm));
	(void)snprintf(body, sizeof body,
	               "{\"Code\":\"Success\",\"AccessKeyId\":\"%s\",\"SecretAccessKey\":\"sec\","
	               "\"Token\":\"tok\",\"Expiration\":\"%s\"}",
	               access, when);
	return said(i, body);
}

Test(cred, the_environment_comes_first, .init = bare, .timeout = 60)
{
	struct cred c;
	struct cred_keys k;

	(void)setenv("AWS_ACCESS_KEY_ID", "AK", 1);
	(void)setenv("AWS_SECRET_ACCESS_KEY", "SK", 1);
	(void)setenv("AWS_SESSION_TOKEN", "ST", 1);
	cr_assert_eq(cred_init(&c, env_default(), "", &err), FIRN_OK, "%s", err.text);
	cr_assert_eq(cred_get(&c, &k, &err), FIRN_OK);
	cr_assert_str_eq(k.access_key, "AK");
	cr_assert_str_eq(k.token, "ST");
	cred_fini(&c);
	(void)unsetenv("AWS_SECRET_ACCESS_KEY");
	cr_assert_eq(cred_init(&c, env_default(), "", &err), FIRN_EINVAL, "half a pair");
}

Test(cred, a_profile_is_read_from_its_section_alone, .init = bare, .timeout = 60)
{
	struct cred c;
	struct cred_keys k;

	file_with("[default]\naws_access_key_id = D\naws_secret_access_key = d\n"
	          "# [work]\n[work]\r\naws_access_key_id=W\r\naws_secret_access_key = w=1 \r\n"
	          "region = eu-central-1\n  aws_access_key_id = nested\n"
	          "[half]\naws_access_key_id = H\n[role]\nrole_arn = arn:x\n");
	cr_assert_eq(cred_init(&c, env_default(), "work", &err), FIRN_OK, "%s", err.text);
	cr_assert_eq(cred_get(&c, &k, &err), FIRN_OK);
	cr_assert_str_eq(k.access_key, "W");
	cr_assert_str_eq(k.secret_key, "w=1");
	cr_assert_str_eq(c.from.region, "eu-central-1");
	cred_fini(&c);
	cr_assert_eq(cred_init(&c, env_default(), "", &err), FIRN_OK);
	cr_assert_eq(cred_get(&c, &k, &err), FIRN_OK);
	cr_assert_str_eq(k.access_key, "D", "no profile named: default");
	cred_fini(&c);
	cr_assert_eq(cred_init(&c, env_default(), "half", &err), FIRN_EINVAL);
	cr_assert_eq(cred_init(&c, env_default(), "role", &err), FIRN_EUNSUPPORTED);
	cr_assert_not_null(strstr(err.text, "role_arn"));
	cr_assert_eq(cred_init(&c, env_default(), "absent", &err), FIRN_EINVAL);
	(void)unlink(path);
}

Test(cred, without_any_the_error_says_what_to_do, .init = bare, .timeout = 60)
{
	struct cred c;
	struct cred_keys k;

	cr_assert_eq(cred_init(&c, env_default(), "", &err), FIRN_OK);
	cr_assert_eq(cred_get(&c, &k, &err), FIRN_EINVAL);
	cr_assert_not_null(strstr(err.text, "AWS_ACCESS_KEY_ID"));
	cred_fini(&c);
}

Test(cred, the_instance_is_asked_in_the_second_version, .init = bare, .timeout = 60)
{
	struct cred c;
	struct cred_keys k;
	const char *const answers[] = { said(0, "imds-token"), said(1, "role-1\n"),
		                        keys_json(2, "INST", 3600), NULL };

	fake_start(&fake, answers);
	(void)unsetenv("AWS_EC2_METADATA_DISABLED");
	(void)setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", fake.url, 1);
	cr_assert_eq(cred_init(&c, env_default(), "", &err), FIRN_OK);
	for (int i = 0; i < 3; i++) /* asked once, served from then on */
		cr_assert_eq(cred_get(&c, &k, &err), FIRN_OK, "%s", err.text);
	fake_stop(&fake);
	cr_assert_str_eq(k.access_key, "INST");
	cr_assert_str_eq(k.token, "tok");
	cr_assert_eq(strncmp(fake.asked[0], "PUT /latest/api/token ", 22), 0);
	cr_assert_not_null(strstr(fake.asked[1], "X-aws-ec2-metadata-token: imds-token\r\n"));
	cr_assert_not_null(strstr(fake.asked[2], "/security-credentials/role-1 HTTP"));
	cred_fini(&c);
}

Test(cred, keys_that_end_soon_are_fetched_again_and_serve_meanwhile, .init = bare, .timeout = 60)
{
	struct cred c;
	struct cred_keys k;
	const char *const answers[] = { keys_json(0, "ONE", 120), "", keys_json(2, "TWO", 3600),
		                        NULL };

	fake_start(&fake, answers);
	(void)setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", fake.url, 1);
	(void)setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "Bearer x", 1);
	cr_assert_eq(cred_init(&c, env_default(), "", &err), FIRN_OK);
	cr_assert_eq(cred_get(&c, &k, &err), FIRN_OK, "%s", err.text);
	cr_assert_str_eq(k.access_key, "ONE");
	cr_assert_not_null(strstr(fake.asked[0], "Authorization: Bearer x\r\n"));
	c.tried_ms = 0; /* as if ten seconds had gone by: the endpoint hangs up */
	cr_assert_eq(cred_get(&c, &k, &err), FIRN_OK, "the old ones still serve");
	cr_assert_str_eq(k.access_key, "ONE");
	c.tried_ms = 0;
	cr_assert_eq(cred_get(&c, &k, &err), FIRN_OK);
	cr_assert_str_eq(k.access_key, "TWO");
	fake_stop(&fake);
	cred_fini(&c);
}

Test(cred, a_container_token_goes_nowhere_in_the_clear, .init = bare, .timeout = 60)
{
	struct cred c;
	struct cred_keys k;

	(void)setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://192.0.2.1/x", 1);
	cr_assert_eq(cred_init(&c, env_default(), "", &err), FIRN_OK);
	cr_assert_eq(cred_get(&c, &k, &err), FIRN_EINVAL);
	cr_assert_not_null(strstr(err.text, "refused"));
	cred_fini(&c);
}

Test(cred, answers_of_endpoints_are_not_trusted, .init = bare, .timeout = 60)
{
	static const char *const bad[] = {
		"",
		"{",
		"[]",
		"{\"AccessKeyId\":1}",
		"{\"AccessKeyId\":\"a\"}",
		"{\"AccessKeyId\":\"a\",\"SecretAccessKey\":\"s\",\"Token\":\"x\\r\\ny\"}",
		"{\"AccessKeyId\":\"a\",\"SecretAccessKey\":\"s\",\"Expiration\":\"soon\"}"
	};
	struct cred_keys k;

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		memset(&k, 0, sizeof k);
		cr_assert_eq(cred_web_parse(bad[i], strlen(bad[i]), &k, &err), FIRN_ESTORE, "%s",
		             bad[i]);
	}
}
