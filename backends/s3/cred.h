/* Where access keys come from: the usual AWS places, in the usual order. The first that is there
 * counts; one that is there and broken is an error, not skipped.
 *
 *	1. AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN     (not if the URI has profile=)
 *	2. the profile in ~/.aws/credentials or ~/.aws/config                cred_file.c
 *	3. a container's endpoint: AWS_CONTAINER_CREDENTIALS_..._URI         cred_web.c
 *	4. the instance's endpoint (IMDSv2)                                  cred_web.c
 *
 * This is the one place of the library that reads the environment: cred_env_read(), once, while the
 * store is opened; it is where AWS users keep these. Keys stay in struct cred and are wiped when it
 * goes. Those that end are fetched again five minutes before, by whichever lane comes first, while
 * the other goes on with the old ones. */
#ifndef S3_CRED_H
#define S3_CRED_H
#include <firn/env.h>
#include <firn/error.h>
#include <pthread.h>
#include <stdint.h>

enum { CRED_ROOM = 256, CRED_TOKEN_ROOM = 4096, CRED_PATH_ROOM = 1024 };

struct cred_keys {
	char access_key[CRED_ROOM];
	char secret_key[CRED_ROOM];
	char token[CRED_TOKEN_ROOM]; /* "" = none */
	int64_t ends_ms;             /* wall clock; 0 = never */
};

enum cred_source { CRED_NONE, CRED_ENV, CRED_FILE, CRED_CONTAINER, CRED_INSTANCE };

/* The variables that matter, as they were when the store was opened. */
struct cred_env {
	char access_key[CRED_ROOM], secret_key[CRED_ROOM], token[CRED_TOKEN_ROOM];
	char region[64], profile[CRED_ROOM];
	char credentials_file[CRED_PATH_ROOM], config_file[CRED_PATH_ROOM];
	char container_url[CRED_PATH_ROOM], container_token[CRED_TOKEN_ROOM];
	char container_token_file[CRED_PATH_ROOM];
	char instance_url[CRED_PATH_ROOM]; /* "" = turned off */
};

struct cred {
	const struct firn_env *env;
	struct cred_env from;
	enum cred_source source;
	pthread_mutex_t fetching; /* held by who asks an endpoint or reads a file; before `lock` */
	pthread_mutex_t lock;     /* guards `keys`, `tried_ms`, `stale` */
	struct cred_keys keys;
	int64_t tried_ms; /* of the last fetch */
	int stale;        /* the store refused them */
};

/* Reads the environment and finds the source; asks nobody. `profile` "" = as the environment says.
 * FIRN_EINVAL: half a pair of keys, no such profile, a file that cannot be read. */
int cred_init(struct cred *c, const struct firn_env *env, const char *profile,
              struct firn_error *err);
void cred_fini(struct cred *c);
/* The keys to sign with now. May ask an endpoint: at most a few seconds. FIRN_ESTORE with
 * FIRN_ERR_RETRY when that does not answer; FIRN_EINVAL when there are none anywhere. */
int cred_get(struct cred *c, struct cred_keys *out, struct firn_error *err);
/* The store refused them: the next cred_get() looks again. Non-zero if that can bring others. */
int cred_refused(struct cred *c);
/* Replaces what must not be read by the eye of a person or a log. */
void cred_scrub(const struct cred *c, char *text);

/* cred_file.c: 0 found, 1 no such profile, or FIRN_E... */
int cred_file_read(const char *path, const char *section, struct cred_keys *keys, char *region,
                   size_t region_cap, struct firn_error *err);
int cred_file_profile(const struct cred_env *from, struct cred_keys *keys, char *region,
                      size_t region_cap, struct firn_error *err);
/* cred_web.c: FIRN_OK or FIRN_E... */
int cred_web_container(const struct cred_env *from, struct cred_keys *keys, struct firn_error *err);
int cred_web_instance(const struct cred_env *from, struct cred_keys *keys, struct firn_error *err);
/* The JSON that both answer with. */
int cred_web_parse(const char *json, size_t len, struct cred_keys *keys, struct firn_error *err);
#endif
