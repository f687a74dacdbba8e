/* golden-make PACK EXPECTED: makes a new golden volume with this build, and what it shall show. Overwrites
 * nothing: what a release wrote stays as it was. See tests/golden/make. */
#include "tests/golden/golden.h"
#include "tests/golden/world.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct site site = { .dir = GOLDEN_DIR,
	                    .uri = "file://" GOLDEN_DIR "/store",
	                    .on_files = true };
static struct host host;

/* Dies as by kill -9, with an idle group behind the last acked one, so that all of the tail is proven. */
static void write_and_die(void *arg)
{
	struct firn_event ev;
	(void)arg;
	host_open(&host);
	golden_write(&host);
	(void)firn_cq_reap(host.cq, &ev, sizeof ev, 1, 1000);
}

static int expected_write(const char *path)
{
	FILE *to = fopen(path, "wx");
	host_open(&host);
	char *text = golden_text(&host);
	host_close(&host);
	int rc = !to || fputs(text, to) < 0 || fclose(to) ? -1 : 0;
	free(text);
	return rc;
}

int main(int argc, char **argv)
{
	if (argc != 3) {
		fprintf(stderr, "usage: %s PACK EXPECTED\n", argv[0]);
		return 2;
	}
	if (!access(argv[1], F_OK) || !access(argv[2], F_OK) || mkdir(GOLDEN_DIR, 0700)) {
		fprintf(stderr, "%s, %s and %s must not be there yet\n", argv[1], argv[2],
		        GOLDEN_DIR);
		return 1;
	}
	host_init(&host, &site, "a");
	crash_after(write_and_die, NULL);
	int rc = golden_pack(GOLDEN_DIR, argv[1]);
	rc = rc ? rc : expected_write(argv[2]);
	site_remove(&site);
	return rc ? 1 : 0;
}
