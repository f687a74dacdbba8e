/* Keys at the file store: nothing that a key says leads out of the store's directory, whatever links lie in
 * it, and what is put under a key is what is got under it. Input: how (a byte), a key. */
#include "engine/os/env.h"
#include "engine/store/key.h"
#include "engine/store/store.h"
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char base[64];

static void require(int ok)
{
	if (!ok)
		abort();
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st, (void)type, (void)at;
	return remove(path);
}

static void at_exit_remove(void)
{
	(void)nftw(base, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static const char *below(char out[128], const char *name)
{
	(void)snprintf(out, 128, "%s/%s", base, name);
	return out;
}

static void secret_write(void)
{
	char path[128];
	FILE *f = fopen(below(path, "outside/secret"), "w");
	require(f && fputs("secret", f) >= 0 && fclose(f) == 0);
}

/* Beside the store a directory that is none of its business; in it links that lead there. */
static void make_root(void)
{
	char path[128];
	require(mkdir(below(path, "root"), 0700) == 0 && mkdir(below(path, "root/d"), 0700) == 0);
	require(symlink("../outside", below(path, "root/l")) == 0);
	require(symlink("..", below(path, "root/d/u")) == 0);
	require(symlink("../outside/secret", below(path, "root/s")) == 0);
}

static void make_base(void)
{
	char path[128];
	(void)snprintf(base, sizeof base, "%s/firn-fuzz-XXXXXX",
	               access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
	require(mkdtemp(base) && atexit(at_exit_remove) == 0);
	require(mkdir(below(path, "outside"), 0700) == 0);
	secret_write();
	make_root();
}

static int count_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)type, (void)at;
	require(!strcmp(path + strlen(path) - 7, "outside") ||
	        (!strcmp(path + strlen(path) - 6, "secret") && st->st_size == 6));
	return 0;
}

static void outside_is_untouched(void)
{
	char path[128];
	require(nftw(below(path, "outside"), count_one, 4, FTW_PHYS) == 0);
}

static int same_key(void *arg, const char *key, uint64_t size)
{
	(void)size;
	return !strcmp(arg, key);
}

static void put_and_get(struct store *s, char *key)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct iovec iov = { key, strlen(key) };
	char back[FIRN_STORE_KEY_MAX + 8];
	size_t got = 0;
	const char *wrong = key_check(key);
	int rc = store_put(s, key, &iov, 1, STORE_ALWAYS, NULL, NULL, &err);
	require(!wrong || rc == FIRN_EINVAL);
	int get = store_get(s, key, 0, back, sizeof back, &got, &err);
	require(get != 0 || got != 6 || memcmp(back, "secret", 6) != 0 || !strcmp(key, "secret"));
	if (rc)
		return;
	require(get == 0 && got == iov.iov_len && memcmp(back, key, got) == 0);
	require(store_list(s, key, "", same_key, key, &err) == 1);
	require(store_delete(s, key, &err) == 0);
	require(store_get(s, key, 0, back, sizeof back, &got, &err) == FIRN_ENOENT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct store *store;
	static unsigned n;
	struct firn_error err = FIRN_ERROR_INIT;
	char path[128], uri[160];
	if (size < 1 || size > 2048)
		return 0;
	if (!base[0])
		make_base();
	if (n++ % 256 == 255) { /* directories stay behind: begin anew */
		store_close(store);
		store = NULL;
		require(nftw(below(path, "root"), remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0);
		make_root();
	}
	(void)snprintf(uri, sizeof uri, "file://%s/root", base);
	require(store || store_open(env_default(), uri, &store, &err) == 0);
	static const char *const in_front[] = { "",   "d/",     "l/",  "d/u/",
		                                "s/", "d/u/u/", "../", "d/../" };
	char *key = malloc(size + 8);
	require(key != NULL);
	int len = sprintf(key, "%s", in_front[data[0] & 7]);
	memcpy(key + len, data + 1, size - 1);
	key[(size_t)len + size - 1] = 0;
	put_and_get(store, key);
	outside_is_untouched();
	free(key);
	return 0;
}
