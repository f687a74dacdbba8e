#include "tests/unit/s3/fake_s3.h"
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

/* One request into `out`; 0 when the other side has hung up. */
static int read_request(int fd, char *out)
{
	size_t got = 0, want = 0;
	char *end = NULL;

	for (;;) {
		ssize_t n = read(fd, out + got, FAKE_ROOM - 1 - got);

		if (n <= 0)
			return 0;
		got += (size_t)n;
		out[got] = 0;
		end = strstr(out, "\r\n\r\n");
		if (!end)
			continue;
		char *length = strcasestr(out, "\r\ncontent-length:");

		want = (size_t)(end + 4 - out) +
		       (length && length < end ? (size_t)atol(length + 17) : 0);
		if (got >= want)
			return 1;
	}
}

static void *fake_main(void *arg)
{
	struct fake_s3 *f = arg;

	while (f->n_asked < f->n_answers) {
		int fd = accept(f->listening, NULL, NULL);

		while (f->n_asked < f->n_answers && read_request(fd, f->asked[f->n_asked])) {
			const char *answer = f->answer[f->n_asked++];

			if (!answer[0] || write(fd, answer, strlen(answer)) < 0 ||
			    strstr(answer, "Connection: close"))
				break;
		}
		(void)close(fd);
	}
	return NULL;
}

void fake_start(struct fake_s3 *f, const char *const *answers)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t len = sizeof a;

	memset(f, 0, sizeof *f);
	while (answers[f->n_answers]) {
		f->answer[f->n_answers] = answers[f->n_answers];
		f->n_answers++;
	}
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	f->listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_geq(f->listening, 0);
	cr_assert_eq(bind(f->listening, (struct sockaddr *)&a, sizeof a), 0);
	cr_assert_eq(listen(f->listening, 16), 0);
	cr_assert_eq(getsockname(f->listening, (struct sockaddr *)&a, &len), 0);
	f->port = ntohs(a.sin_port);
	(void)snprintf(f->url, sizeof f->url, "http://127.0.0.1:%d", f->port);
	cr_assert_eq(pthread_create(&f->thread, NULL, fake_main, f), 0);
}

void fake_stop(struct fake_s3 *f)
{
	(void)pthread_join(f->thread, NULL);
	(void)close(f->listening);
}
