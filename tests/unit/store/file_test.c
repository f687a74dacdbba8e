/* What is special about a store in a directory: links, strangers' files, leftovers, locks, a full
 * or read-only file system. */
#include "engine/store/internal.h"
#include "tests/unit/store/bed.h"
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <time.h>

static struct trial t;

static void file_open(void)
{
	trial_open(&t, "file");
}

static void file_close(void)
{
	trial_close(&t);
}

TestSuite(file_store, .init = file_open, .fini = file_close, .timeout = 60);

/* A path inside the store's directory. */
static const char *inside(const char *name)
{
	static char path[2][512];
	static int which;

	which = !which;
	(void)snprintf(path[which], sizeof path[which], "%s/store/%s", t.dir, name);
	return path[which];
}

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	cr_assert_not_null(f, "%s", path);
	(void)fputs(text, f);
	(void)fclose(f);
}

static int exists(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

/* ---- not out of the root ---- */

Test(file_store, a_symbolic_link_as_a_directory_is_not_followed)
{
	char outside[300], victim[320];

	(void)snprintf(outside, sizeof outside, "%s/outside", t.dir);
	(void)snprintf(victim, sizeof victim, "%s/victim", outside);
	cr_assert_eq(mkdir(outside, 0755), 0);
	write_file(victim, "safe");
	cr_assert_eq(symlink(outside, inside("link")), 0);
	cr_assert_eq(try_put(&t, "link/victim", "x", STORE_ALWAYS, NULL, NULL), FIRN_EINVAL);
	cr_assert_eq(try_put(&t, "link/new", "x", STORE_IF_ABSENT, NULL, NULL), FIRN_EINVAL);
	cr_assert_str_eq(text_of(&t, "link/victim"), "FIRN_EINVAL");
	cr_assert_eq(store_stat(t.store, "link/victim", NULL, NULL, &t.err), FIRN_EINVAL);
	cr_assert_eq(store_delete(t.store, "link/victim", &t.err), FIRN_EINVAL);
	cr_assert_not_null(strstr(t.err.text, "symbolic link"), "%s", t.err.text);
	cr_assert(exists(victim));
	(void)put(&t, "real", "x");
	cr_assert_str_eq(keys_of(&t, "", ""), "real ", "a link is not listed, nor followed");
}

Test(file_store, a_symbolic_link_as_an_object_is_neither_read_nor_replaced)
{
	struct store_version v = put(&t, "other", "x");

	write_file(inside("target"), "secret");
	cr_assert_eq(symlink("target", inside("k")), 0);
	cr_assert_str_eq(text_of(&t, "k"), "FIRN_EINVAL");
	cr_assert_eq(try_put(&t, "k", "x", STORE_ALWAYS, NULL, NULL), FIRN_EINVAL);
	cr_assert_eq(try_put(&t, "k", "x", STORE_IF_ABSENT, NULL, NULL), FIRN_EINVAL);
	cr_assert_eq(try_put(&t, "k", "x", STORE_IF_MATCH, &v, NULL), FIRN_EINVAL);
	cr_assert_eq(store_delete(t.store, "k", &t.err), FIRN_EINVAL);
	cr_assert_str_eq(text_of(&t, "target"), "secret");
}

Test(file_store, a_pipe_in_the_way_holds_nobody)
{
	cr_assert_eq(mkfifo(inside("pipe"), 0644), 0);
	cr_assert_str_eq(text_of(&t, "pipe"), "FIRN_EINVAL");
	cr_assert_eq(try_put(&t, "pipe", "x", STORE_ALWAYS, NULL, NULL), FIRN_EINVAL);
	cr_assert_str_eq(keys_of(&t, "", ""), "");
}

/* ---- strangers and leftovers ---- */

Test(file_store, names_that_are_no_keys_are_not_listed)
{
	write_file(inside(".firn~tmp-0123456789abcdef"), "half");
	write_file(inside("not\xffutf8"), "x");
	write_file(inside("line\nfeed"), "x");
	cr_assert_eq(mkdir(inside(".firn~dir"), 0755), 0);
	write_file(inside(".firn~dir/x"), "x");
	(void)put(&t, "k", "x");
	cr_assert_str_eq(keys_of(&t, "", ""), "k ");
}

static void age(const char *path, int seconds)
{
	struct timespec ts[2] = { { 0, UTIME_OMIT }, { time(NULL) - seconds, 0 } };

	cr_assert_eq(utimensat(AT_FDCWD, path, ts, 0), 0);
}

Test(file_store, a_dead_writers_file_goes_after_a_day_and_a_living_ones_stays)
{
	char dead[300], living[300];

	cr_assert_eq(mkdir(inside("vol"), 0755), 0);
	(void)snprintf(dead, sizeof dead, "%s", inside("vol/.firn~tmp-dead"));
	(void)snprintf(living, sizeof living, "%s", inside("vol/.firn~tmp-living"));
	write_file(dead, "bytes of a deleted tenant");
	write_file(living, "x");
	age(dead, 25 * 3600);
	age(living, 23 * 3600);
	(void)put(&t, "vol/k", "x");
	cr_assert_not(exists(dead));
	cr_assert(exists(living));
}

Test(file_store, a_put_leaves_no_temporary_file_behind_won_or_lost)
{
	struct store_version v = put(&t, "d/k", "one"), stale = v;
	FILE *p;
	char command[400], line[100] = "";

	cr_assert_eq(try_put(&t, "d/k", "two", STORE_IF_MATCH, &v, NULL), FIRN_OK);
	cr_assert_eq(try_put(&t, "d/k", "three", STORE_IF_MATCH, &stale, NULL), FIRN_ECONFLICT);
	cr_assert_eq(try_put(&t, "d/k", "four", STORE_IF_ABSENT, NULL, NULL), FIRN_ECONFLICT);
	cr_assert_eq(try_put(&t, "d", "five", STORE_ALWAYS, NULL, NULL), FIRN_EUNSUPPORTED);
	cr_assert_eq(try_put(&t, "d/new", "six", STORE_IF_ABSENT, NULL, NULL), FIRN_OK);
	(void)snprintf(command, sizeof command, "find '%s' -name '.firn~tmp*'", t.dir);
	p = popen(command, "r");
	cr_assert_null(fgets(line, sizeof line, p), "%s", line);
	(void)pclose(p);
}

/* ---- the root ---- */

Test(file_store, the_root_is_made_with_its_parents)
{
	char uri[400];
	struct store *s;

	(void)snprintf(uri, sizeof uri, "file://%s/a/b%%20c/d", t.dir);
	cr_assert_eq(store_open(env_default(), uri, &s, &t.err), FIRN_OK, "%s", t.err.text);
	store_close(s);
	(void)snprintf(uri, sizeof uri, "%s/a/b c/d", t.dir);
	cr_assert(exists(uri));
	(void)snprintf(uri, sizeof uri, "%s/plain", t.dir);
	write_file(uri, "x");
	(void)snprintf(uri, sizeof uri, "file://%s/plain", t.dir);
	cr_assert_eq(store_open(env_default(), uri, &s, &t.err), FIRN_EIO);
	cr_assert_eq(t.err.sys, ENOTDIR, "%s", t.err.text);
}

Test(file_store, without_a_free_descriptor_it_is_enomem_and_no_bad_disk)
{
	struct rlimit was, none;
	struct store *s;

	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &was), 0);
	none = was;
	none.rlim_cur = 0;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	int rc = store_open(env_default(), t.uri, &s, &t.err);

	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &was), 0);
	cr_assert_eq(rc, FIRN_ENOMEM, "%s", t.err.text);
	cr_assert_eq(t.err.sys, EMFILE, "%s", t.err.text);
}

Test(file_store, without_the_right_to_write_it_reads_and_says_ereadonly)
{
	int was_root = geteuid() == 0;
	struct store_version v = put(&t, "d/k", "kept");

	cr_assert_eq(chmod(t.dir, 0755), 0);
	cr_assert_eq(chmod(inside("d"), 0555), 0);
	if (was_root)
		cr_assert_eq(seteuid(65534), 0);
	cr_assert_eq(try_put(&t, "d/new", "x", STORE_ALWAYS, NULL, NULL), FIRN_EREADONLY, "%s",
	             t.err.text);
	cr_assert_eq(t.err.sys, EACCES);
	cr_assert_eq(try_put(&t, "d/k", "x", STORE_IF_MATCH, &v, NULL), FIRN_EREADONLY);
	cr_assert_eq(try_put(&t, "d/e/k", "x", STORE_ALWAYS, NULL, NULL), FIRN_EREADONLY);
	cr_assert_eq(store_delete(t.store, "d/k", &t.err), FIRN_EREADONLY);
	cr_assert_str_eq(text_of(&t, "d/k"), "kept");
	if (was_root)
		cr_assert_eq(seteuid(0), 0);
	cr_assert_eq(chmod(inside("d"), 0755), 0);
}

/* Needs the right to mount; where that is missing there is nothing to say. */
Test(file_store, a_full_or_read_only_file_system_is_typed_and_leaves_nothing)
{
	static char big[1 << 20];
	struct iovec iov[4] = {
		{ big, sizeof big }, { big, sizeof big }, { big, sizeof big }, { big, sizeof big }
	};
	char at[300], uri[320];
	struct store *first = t.store;

	(void)snprintf(at, sizeof at, "%s/small", t.dir);
	(void)snprintf(uri, sizeof uri, "file://%s", at);
	cr_assert_eq(mkdir(at, 0755), 0);
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("none", at, "tmpfs", 0, "size=2m"))
		cr_skip_test("no right to mount");
	cr_assert_eq(store_open(env_default(), uri, &t.store, &t.err), FIRN_OK);
	(void)put(&t, "d/k", "before");
	cr_assert_eq(store_put(t.store, "d/big", iov, 4, STORE_ALWAYS, NULL, NULL, &t.err),
	             FIRN_ENOSPC);
	cr_assert_eq(t.err.sys, ENOSPC, "%s", t.err.text);
	cr_assert_eq(store_put(t.store, "d/k", iov, 4, STORE_ALWAYS, NULL, NULL, &t.err),
	             FIRN_ENOSPC);
	cr_assert_str_eq(text_of(&t, "d/k"), "before", "the old object is whole");
	cr_assert_eq(store_put(t.store, "d/big", iov, 1, STORE_ALWAYS, NULL, NULL, &t.err), FIRN_OK,
	             "the room came back: %s", t.err.text);
	cr_assert_eq(mount("none", at, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
	cr_assert_eq(try_put(&t, "d/new", "x", STORE_ALWAYS, NULL, NULL), FIRN_EREADONLY);
	cr_assert_eq(t.err.sys, EROFS, "%s", t.err.text);
	cr_assert_str_eq(text_of(&t, "d/k"), "before");
	store_close(t.store);
	t.store = first;
	cr_assert_eq(umount2(at, MNT_DETACH), 0);
}

/* ---- the lock ---- */

Test(file_store, a_lock_that_is_held_delays_replacing_until_the_deadline_and_nothing_else)
{
	struct store *first = t.store;
	char uri[400];
	int fd;

	(void)put(&t, "d/k", "one");
	fd = open(inside("d/.firn~lock"), O_RDWR);
	cr_assert_geq(fd, 0, "the lock file is there");
	cr_assert_eq(flock(fd, LOCK_EX), 0);
	(void)snprintf(uri, sizeof uri, "%s?deadline_ms=200", t.uri);
	cr_assert_eq(store_open(env_default(), uri, &t.store, &t.err), FIRN_OK);
	cr_assert_eq(try_put(&t, "d/k", "two", STORE_ALWAYS, NULL, NULL), FIRN_ESTORE);
	cr_assert(t.err.flags & FIRN_ERR_RETRY, "%s", t.err.text);
	cr_assert_str_eq(text_of(&t, "d/k"), "one");
	cr_assert_eq(try_put(&t, "d/new", "x", STORE_IF_ABSENT, NULL, NULL), FIRN_OK,
	             "the kernel orders that");
	cr_assert_eq(try_put(&t, "e/k", "x", STORE_ALWAYS, NULL, NULL), FIRN_OK,
	             "another directory");
	cr_assert_eq(close(fd), 0);
	cr_assert_eq(try_put(&t, "d/k", "two", STORE_ALWAYS, NULL, NULL), FIRN_OK);
	store_close(t.store);
	t.store = first;
}

/* ---- versions ---- */

static int64_t stopped_clock(void *ctx)
{
	(void)ctx;
	return 1700000000000;
}

static void no_chance(void *ctx, void *buf, size_t len)
{
	static uint64_t n; /* names of temporary files must differ, the rest need not */

	(void)ctx;
	memset(buf, 0, len);
	n++;
	memcpy(buf, &n, len < 8 ? len : 8);
}

/* Clock stopped, chance gone, the same bytes: the rising times under the lock still tell them
 * apart. */
Test(file_store, versions_of_one_key_differ_without_clock_and_chance)
{
	struct store *first = t.store;
	struct firn_env env = *env_default();
	struct store_version v[50];

	env.now_ms = stopped_clock;
	env.random = no_chance;
	cr_assert_eq(store_open(&env, t.uri, &t.store, &t.err), FIRN_OK);
	for (int i = 0; i < 50; i++) {
		v[i] = put(&t, "k", "same");
		for (int j = 0; j < i; j++)
			cr_assert_not(same_version(&v[i], &v[j]), "%d and %d", i, j);
	}
	store_close(t.store);
	t.store = first;
}

Test(file_store, a_key_is_the_path_of_a_plain_file)
{
	char text[32] = "";
	FILE *f;

	(void)put(&t, "rooms/eu-1/manifest", "plain bytes");
	f = fopen(inside("rooms/eu-1/manifest"), "r");
	cr_assert_not_null(f);
	cr_assert_not_null(fgets(text, sizeof text, f));
	(void)fclose(f);
	cr_assert_str_eq(text, "plain bytes");
}

/* ---- keys, without the host's own check in front ---- */

static uint32_t raw(uint32_t op, const char *key, int32_t *code)
{
	struct store_slot *slot = slot_get(t.store);
	struct firn_store_page page = { .struct_size = (uint32_t)sizeof page, .max = 10 };
	static uint8_t room[8192] __attribute__((aligned(8)));
	struct iovec iov = { (void *)(uintptr_t) "x", 1 };
	char byte;

	page.data = room;
	page.cap = sizeof room;
	if (op == FIRN_STORE_GET)
		iov.iov_base = &byte;
	slot->req = (struct firn_store_request){ .op = op,
		                                 .key = key,
		                                 .prefix = key,
		                                 .start_after = "",
		                                 .page = op == FIRN_STORE_LIST ? &page : NULL,
		                                 .iov = &iov,
		                                 .n_iov = 1,
		                                 .len = 1 };
	slot_submit(slot);
	(void)slot_wait(slot, UINT64_MAX / 2);
	uint32_t outcome = slot->req.outcome;

	*code = slot->req.code;
	slot_put(slot);
	return outcome;
}

Test(file_store, no_key_leads_out_of_the_root_whoever_asks)
{
	static char long_key[FIRN_STORE_KEY_MAX + 3], long_name[300];
	static const char *const keys[] = {
		"../victim",
		"..",
		".",
		"/etc/passwd",
		"//x",
		"a/../../victim",
		"a/./b",
		"a//b",
		"a/",
		"\xff",
		"a\xc3",
		"\xc0\xae\xc0\xae/x",
		"a\nb",
		"a\x7f",
		"\x01",
		".firn~lock",
		"a/.firn~tmp",
		".firn~x/y",
		"\xed\xa0\x80",
		long_key,
		long_name,
		"",
	};
	static const uint32_t ops[] = { FIRN_STORE_PUT, FIRN_STORE_GET, FIRN_STORE_STAT,
		                        FIRN_STORE_DELETE };
	char victim[300];
	int32_t code;

	memset(long_key, 'k', sizeof long_key - 1);
	for (int i = 200; i < (int)sizeof long_key - 2; i += 200)
		long_key[i] = '/';
	memset(long_name, 'n', 256);
	(void)snprintf(victim, sizeof victim, "%s/victim", t.dir);
	write_file(victim, "safe");
	for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
		for (size_t op = 0; op < 4; op++) {
			cr_assert_eq(raw(ops[op], keys[i], &code), FIRN_STORE_PERMANENT, "key %zu",
			             i);
			cr_assert_eq(code, FIRN_EINVAL, "key %zu, op %u: %d", i, ops[op], code);
		}
	}
	/* As prefixes these can begin a key: ".", "..", "a/", "". */
	static const char *const prefixes[] = {
		"../", "/", "a/../", "a//", "\xff", ".firn~", "a/./"
	};

	for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++) {
		cr_assert_eq(raw(FIRN_STORE_LIST, prefixes[i], &code), FIRN_STORE_PERMANENT);
		cr_assert_eq(code, FIRN_EINVAL, "prefix %zu", i);
	}
	cr_assert_eq(raw(FIRN_STORE_LIST, "..", &code), FIRN_STORE_DONE);
	cr_assert(exists(victim));
	cr_assert_str_eq(keys_of(&t, "", ""), "");
}

/* A directory that is exchanged for a link while the store is open: the next step down sees it. */
Test(file_store, a_directory_exchanged_for_a_link_is_not_followed)
{
	char outside[300], victim[320], moved[320];

	(void)snprintf(outside, sizeof outside, "%s/outside", t.dir);
	(void)snprintf(victim, sizeof victim, "%s/k", outside);
	(void)snprintf(moved, sizeof moved, "%s/moved", t.dir);
	cr_assert_eq(mkdir(outside, 0755), 0);
	write_file(victim, "safe");
	(void)put(&t, "d/k", "mine");
	cr_assert_eq(rename(inside("d"), moved), 0);
	cr_assert_eq(symlink(outside, inside("d")), 0);
	cr_assert_str_eq(text_of(&t, "d/k"), "FIRN_EINVAL");
	cr_assert_eq(try_put(&t, "d/k", "x", STORE_ALWAYS, NULL, NULL), FIRN_EINVAL);
	cr_assert_eq(store_delete(t.store, "d/k", &t.err), FIRN_EINVAL);
	cr_assert_str_eq(keys_of(&t, "", ""), "");
	cr_assert(exists(victim));
}

/* Memory does not grow with the directory: what LIST allocates for 20 names and for 3000 is the same. */
static size_t allocated, most_allocated;

static void *counting_alloc(void *ctx, size_t len, size_t align)
{
	(void)ctx;
	(void)align;
	size_t now = __atomic_add_fetch(&allocated, len, __ATOMIC_RELAXED);

	if (now > most_allocated)
		most_allocated = now;
	size_t *p = malloc(len + 64);

	if (!p)
		return NULL;
	p[0] = len;
	return (char *)p + 64;
}

static void counting_release(void *ctx, void *p)
{
	(void)ctx;
	if (!p)
		return;
	size_t *head = (size_t *)(void *)((char *)p - 64);

	(void)__atomic_sub_fetch(&allocated, head[0], __ATOMIC_RELAXED);
	free(head);
}

static int count_key(void *arg, const char *key, uint64_t size)
{
	(void)key;
	(void)size;
	++*(int *)arg;
	return 0;
}

Test(file_store, a_list_takes_the_same_memory_for_few_and_for_many_keys)
{
	struct store *first = t.store;
	struct firn_env env = *env_default();
	size_t before = 0;
	char path[64];
	int n = 0;

	env.alloc = counting_alloc;
	env.release = counting_release;
	(void)mkdir(inside("d"), 0755);
	cr_assert_eq(store_open(&env, t.uri, &t.store, &t.err), FIRN_OK);
	for (int made = 0; made < 3000; n = 0) {
		for (int end = made ? 3000 : 20; made < end; made++) {
			(void)snprintf(path, sizeof path, "d/%05d", made);
			write_file(inside(path), "x");
		}
		most_allocated = allocated;
		cr_assert_eq(store_list(t.store, "", "", count_key, &n, &t.err), FIRN_OK);
		cr_assert_eq(n, made);
		cr_assert(before == 0 || most_allocated == before, "%zu bytes for 20, %zu for 3000",
		          before, most_allocated);
		before = most_allocated;
	}
	store_close(t.store);
	t.store = first;
}
