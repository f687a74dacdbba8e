/* A server of one connection at a time on a port of the kernel's, that says what it is told to and
 * remembers what it was asked. It knows nothing of S3. */
#ifndef FAKE_S3_H
#define FAKE_S3_H
#include <pthread.h>
#include <stddef.h>

enum { FAKE_ANSWERS = 16, FAKE_ROOM = 64 << 10 };

struct fake_s3 {
	int listening, port;
	pthread_t thread;
	const char *answer[FAKE_ANSWERS]; /* whole answers, in turn; "" = hang up unanswered */
	int n_answers, n_asked;
	char asked[FAKE_ANSWERS][FAKE_ROOM]; /* head and body as they came */
	char url[64];                        /* http://127.0.0.1:port */
};

/* `answers` ends with NULL. */
void fake_start(struct fake_s3 *f, const char *const *answers);
/* Waits until all answers were given. */
void fake_stop(struct fake_s3 *f);
#endif
