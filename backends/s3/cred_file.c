/* The credentials and config files: INI, as the AWS command line writes them.
 *
 *	~/.aws/credentials          ~/.aws/config
 *	[default]                   [default]
 *	aws_access_key_id = ...     region = eu-central-1
 *	aws_secret_access_key = ... [profile work]
 *
 * A profile may be in both; the credentials file's keys win. What would have to be asked of others
 * (role_arn, sso_..., credential_process) is refused by name rather than passed over. */
#include "backends/s3/cred.h"
#include "engine/base/error.h"
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { FILE_ROOM = 64 << 10 };

static char *trim(char *p)
{
	size_t n;

	p += strspn(p, " \t\r");
	for (n = strlen(p); n && strchr(" \t\r", p[n - 1]); n--)
		p[n - 1] = 0;
	return p;
}

struct reading {
	const char *section;
	struct cred_keys *keys;
	char *region;
	size_t region_cap;
	int in_section, found, too_long;
	const char *needs; /* a way to keys that is not ours */
};

static void take(struct reading *r, char *out, size_t cap, const char *value)
{
	if (strlen(value) >= cap)
		r->too_long = 1;
	else
		(void)strcpy(out, value);
}

static void read_pair(struct reading *r, const char *name, const char *value)
{
	static const char *const others[] = { "role_arn", "credential_process", "sso_session",
		                              "sso_start_url" };

	if (!strcasecmp(name, "aws_access_key_id")) {
		take(r, r->keys->access_key, sizeof r->keys->access_key, value);
		r->found = 1;
	} else if (!strcasecmp(name, "aws_secret_access_key")) {
		take(r, r->keys->secret_key, sizeof r->keys->secret_key, value);
		r->found = 1;
	} else if (!strcasecmp(name, "aws_session_token")) {
		take(r, r->keys->token, sizeof r->keys->token, value);
	} else if (!strcasecmp(name, "region") && !r->region[0]) {
		take(r, r->region, r->region_cap, value);
	}
	for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
		if (!strcasecmp(name, others[i]))
			r->needs = others[i];
}

static void read_line(struct reading *r, char *line)
{
	char *value, *end;

	/* An indented line continues a nested setting, none of which is ours. */
	if (line[0] == ' ' || line[0] == '\t')
		return;
	line = trim(line);
	if (line[0] == '#' || line[0] == ';' || !line[0])
		return;
	if (line[0] == '[') {
		end = strchr(line, ']');
		if (end)
			*end = 0;
		r->in_section = end && !strcmp(trim(line + 1), r->section);
		return;
	}
	value = strchr(line, '=');
	if (!r->in_section || !value)
		return;
	*value++ = 0;
	read_pair(r, trim(line), trim(value));
}

/* The whole file, NUL-terminated; its length, 0 if there is none, or a negative errno. */
static ssize_t slurp(const char *path, char *text)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n, got = 0;

	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
	do {
		n = read(fd, text + got, (size_t)(FILE_ROOM - 1 - got));
		got += n > 0 ? n : 0;
	} while (n > 0 || (n < 0 && errno == EINTR));
	if (n < 0)
		got = -errno;
	else if (got == FILE_ROOM - 1)
		got = -EFBIG;
	(void)close(fd);
	text[got > 0 ? got : 0] = 0;
	return got;
}

static int verdict(const struct reading *r, const char *path, struct firn_error *err)
{
	const struct cred_keys *k = r->keys;

	if (r->too_long)
		return fail(err, FIRN_EINVAL, 0, "s3", "%.100s: a value of [%.40s] is too long",
		            path, r->section);
	if (r->found && (!k->access_key[0] || !k->secret_key[0]))
		return fail(err, FIRN_EINVAL, 0, "s3",
		            "%.100s: [%.40s] has only one of access and secret key", path,
		            r->section);
	if (!r->found && r->needs)
		return fail(err, FIRN_EUNSUPPORTED, 0, "s3",
		            "%.80s: [%.40s] uses %s, which firn cannot; give it keys", path,
		            r->section, r->needs);
	return r->found ? 0 : 1;
}

int cred_file_read(const char *path, const char *section, struct cred_keys *keys, char *region,
                   size_t region_cap, struct firn_error *err)
{
	char text[FILE_ROOM];
	struct reading r = { section, keys, region, region_cap, 0, 0, 0, NULL };
	ssize_t n = path[0] ? slurp(path, text) : 0;
	char *line = text;

	if (n < 0)
		return fail(err, FIRN_EINVAL, (int)-n, "s3", "reading %.120s", path);
	text[n] = 0;
	while (line) {
		char *next = strchr(line, '\n');

		if (next)
			*next++ = 0;
		read_line(&r, line);
		line = next;
	}
	int rc = verdict(&r, path, err);

	OPENSSL_cleanse(text, sizeof text);
	return rc;
}

int cred_file_profile(const struct cred_env *from, struct cred_keys *keys, char *region,
                      size_t region_cap, struct firn_error *err)
{
	char section[CRED_ROOM + 16];
	int in_credentials, in_config;
	struct cred_keys config_keys;

	memset(&config_keys, 0, sizeof config_keys);
	in_credentials = cred_file_read(from->credentials_file, from->profile, keys, region,
	                                region_cap, err);
	if (in_credentials < 0)
		return in_credentials;
	(void)snprintf(section, sizeof section, "%s%s",
	               strcmp(from->profile, "default") ? "profile " : "", from->profile);
	in_config = cred_file_read(from->config_file, section, &config_keys, region, region_cap,
	                           in_credentials == 0 ? NULL : err);
	if (in_credentials == 0)
		return 0;
	if (in_config == 0)
		*keys = config_keys;
	OPENSSL_cleanse(&config_keys, sizeof config_keys);
	return in_config;
}
