/* One run of the program: what is checked, where, and what came of it. */
#ifndef CONFORMANCE_RUN_H
#define CONFORMANCE_RUN_H
#include "tests/conformance/trial.h"

enum result { CHECK_OK = 1, CHECK_FAILED = 2, CHECK_NOT_ASKED = 3 };

struct outcome {
	const struct group *group;
	const struct check *check;
	enum result result;
	uint32_t ms;
	char *why;
};

struct run {
	const char *uri, *program;
	struct host *host;
	char prefix[64]; /* of all scratch keys, ends in '/' */
	struct outcome *outcome;
	size_t n_outcome;

	pthread_mutex_t lock; /* guards what is left to clean up */
	char **key;
	size_t n_key, cap_key;
	struct left_upload {
		char *key, *upload;
	} * upload;
	size_t n_upload, cap_upload;
	bool hung; /* a request was never answered: its memory is lent for ever */
};

extern const struct group *const all_groups[];
extern const size_t n_all_groups;

/* Runs the checks of one group (NULL: of all) but those of another (NULL: of none). False: the store
 * cannot be opened, *err says why. */
bool run_checks(struct run *run, const char *only, const char *without, struct firn_error *err);
/* Notes that something must be cleaned up. */
void run_note_key(struct run *run, const char *key);
void run_note_upload(struct run *run, const char *key, const char *upload);
/* Deletes what was noted. How many keys could not be. */
size_t run_clean(struct run *run);
void run_free(struct run *run);

/* report.c; on stdout */
void report_text(const struct run *run);
void report_json(const struct run *run);
size_t report_n(const struct run *run, const struct group *group, enum result result);

/* durable.c: writes below the prefix until it is killed. The exit code if it cannot. */
int durable_writer(const char *uri, const char *prefix);
#endif
