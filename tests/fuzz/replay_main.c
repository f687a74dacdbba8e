/* replay_main.c: runs a fuzz target without libFuzzer, so that what a fuzzer once found stays a
 *test.
 *
 *	x_fuzz [-n rounds] [-s seed] [file or directory ...]
 *
 * Feeds every file given, and every file below every directory given, to LLVMFuzzerTestOneInput.
 * Then come `rounds` inputs made from a seed: random bytes, and mutations of the files just read.
 * Same seed, same files: same inputs. A directory that does not exist counts as empty, because a
 * new fuzz target has no corpus yet.
 *
 * What can fail: the target itself, by crashing; the round is printed before it runs with -v.
 */
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define INPUT_MAX (1u << 20) /* longer files are cut: a decoder's edges lie near its headers */
#define RANDOM_MAX 4096u
#define KEEP_MAX 256u /* files remembered as seeds of mutations */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
__attribute__((weak)) int LLVMFuzzerInitialize(int *argc, char ***argv);

struct input {
	uint8_t *data;
	size_t len;
};

struct replay {
	struct input kept[KEEP_MAX];
	size_t n_kept;
	size_t n_files;
	uint64_t random;
	bool verbose;
};

/* splitmix64 (Sebastiano Vigna, public domain): tiny, and the same everywhere. */
static uint64_t replay_random(struct replay *r)
{
	uint64_t z = (r->random += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static size_t replay_below(struct replay *r, size_t n)
{
	return n == 0 ? 0 : (size_t)(replay_random(r) % n);
}

/* Runs the target on an allocation of exactly the right size, so that ASan sees a read past the
 * end. */
static void replay_one(const uint8_t *data, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);

	if (!copy) {
		perror("replay: malloc");
		exit(2);
	}
	if (len)
		memcpy(copy, data, len);
	(void)LLVMFuzzerTestOneInput(copy, len);
	free(copy);
}

static int replay_file(struct replay *r, const char *path)
{
	FILE *f = fopen(path, "rb");
	uint8_t *data;
	size_t len;

	if (!f) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return -1;
	}
	data = malloc(INPUT_MAX);
	if (!data) {
		perror("replay: malloc");
		exit(2);
	}
	len = fread(data, 1, INPUT_MAX, f);
	fclose(f);
	if (r->verbose)
		printf("%s: %zu bytes\n", path, len);
	replay_one(data, len);
	r->n_files++;
	if (r->n_kept < KEEP_MAX) {
		uint8_t *less = realloc(data, len ? len : 1);

		r->kept[r->n_kept++] = (struct input){ less ? less : data, len };
	} else {
		free(data);
	}
	return 0;
}

static int replay_path(struct replay *r, const char *path);

/* Sorted, so that the seed means the same inputs on every file system. */
static int replay_directory(struct replay *r, const char *path)
{
	struct dirent **entry;
	int n = scandir(path, &entry, NULL, alphasort);
	int rc = 0;

	if (n < 0) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return -1;
	}
	for (int i = 0; i < n; i++) {
		char child[4096];

		if (entry[i]->d_name[0] != '.') {
			snprintf(child, sizeof(child), "%s/%s", path, entry[i]->d_name);
			if (replay_path(r, child))
				rc = -1;
		}
		free(entry[i]);
	}
	free(entry);
	return rc;
}

static int replay_path(struct replay *r, const char *path)
{
	struct stat st;

	if (stat(path, &st)) {
		if (errno == ENOENT)
			return 0;
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return -1;
	}
	return S_ISDIR(st.st_mode) ? replay_directory(r, path) : replay_file(r, path);
}

/* The mutations that find most in length-prefixed formats: flip, extreme value, cut, repeat. */
static size_t replay_mutate(struct replay *r, uint8_t *buf, size_t len)
{
	static const uint8_t extreme[] = { 0x00, 0x01, 0x7f, 0x80, 0xfe, 0xff };
	size_t n_change = 1 + replay_below(r, 8);

	for (size_t i = 0; i < n_change && len > 0; i++) {
		size_t pos = replay_below(r, len);
		size_t run = 1 + replay_below(r, 8);

		if (run > len - pos)
			run = len - pos;
		switch (replay_below(r, 5)) {
		case 0:
			buf[pos] = (uint8_t)(buf[pos] ^ (1u << replay_below(r, 8)));
			break;
		case 1:
			memset(buf + pos, extreme[replay_below(r, sizeof(extreme))], run);
			break;
		case 2:
			buf[pos] = (uint8_t)replay_random(r);
			break;
		case 3:
			len = pos;
			break;
		default:
			memmove(buf + pos, buf + replay_below(r, len - run + 1), run);
			break;
		}
	}
	return len;
}

static void replay_made_up(struct replay *r, size_t round, uint8_t *buf)
{
	size_t len;

	if (r->n_kept && round % 4 != 0) {
		const struct input *in = &r->kept[replay_below(r, r->n_kept)];

		len = in->len;
		if (len)
			memcpy(buf, in->data, len);
		len = replay_mutate(r, buf, len);
	} else {
		/* Short inputs matter most: every length is tried before the draw is free. */
		len = round < 64 ? round : replay_below(r, RANDOM_MAX);
		for (size_t i = 0; i < len; i++)
			buf[i] = (uint8_t)replay_random(r);
	}
	if (r->verbose)
		printf("round %zu: %zu bytes\n", round, len);
	replay_one(buf, len);
}

int main(int argc, char **argv)
{
	struct replay r = { .random = 1 };
	size_t n_round = 2000;
	uint8_t *buf;
	int opt, rc = 0;

	if (LLVMFuzzerInitialize)
		(void)LLVMFuzzerInitialize(&argc, &argv);
	while ((opt = getopt(argc, argv, "n:s:v")) != -1) {
		if (opt == 'n') {
			n_round = strtoul(optarg, NULL, 10);
		} else if (opt == 's') {
			r.random = strtoull(optarg, NULL, 10);
		} else if (opt == 'v') {
			r.verbose = true;
			setvbuf(stdout, NULL, _IONBF, 0);
		} else {
			fprintf(stderr, "usage: %s [-v] [-n rounds] [-s seed] [path ...]\n",
			        argv[0]);
			return 2;
		}
	}
	for (int i = optind; i < argc; i++)
		if (replay_path(&r, argv[i]))
			rc = 1;
	buf = malloc(INPUT_MAX);
	if (!buf) {
		perror("replay: malloc");
		return 2;
	}
	for (size_t round = 0; round < n_round; round++)
		replay_made_up(&r, round, buf);
	printf("%zu files, %zu made-up inputs\n", r.n_files, n_round);
	free(buf);
	for (size_t i = 0; i < r.n_kept; i++)
		free(r.kept[i].data);
	return rc;
}
