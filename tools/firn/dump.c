/* firn dump wal, segment, manifest, index: bytes and rows, annotated, for people who debug. */
#include "engine/base/error.h"
#include "engine/os/env.h"
#include "engine/wal/inspect.h"
#include "tools/firn/json.h"
#include "tools/firn/offline.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct dump {
	struct common common;
	unsigned need; /* options of a volume in a store, when no file is named */
	const char *what;
	char **file; /* arguments, NULL-terminated */
	struct json json;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct dump *d = state->input;
	(void)arg;
	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &d->common;
		return 0;
	case ARGP_KEY_ARGS:
		d->file = state->argv + state->next;
		return 0;
	case ARGP_KEY_END:
		if (!d->file && !d->need)
			argp_error(state, "name a %s", d->what);
		if (!d->file)
			common_need(state, &d->common, d->need);
		if (d->common.store)
			common_need(state, &d->common, NEED_VOLUME);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static void line(void *arg, const char *text)
{
	struct dump *d = arg;
	if (d->common.json)
		json_string(&d->json, NULL, text);
	else
		puts(text);
}

/* ---- where the bytes come from ---- */

static int load_file(const struct dump *d, const char *path, struct buf *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = -1;
	if (fd >= 0) {
		do {
			size_t step = 1 << 20;
			void *at = buf_add(out, step);
			n = at ? read(fd, at, step) : -1;
			out->len -= step - (n > 0 ? (size_t)n : 0);
		} while (n > 0);
	}
	int saved = errno;
	if (fd >= 0)
		close(fd);
	return n < 0 ? complain(&d->common, TROUBLE, "%s: %s", path, strerror(saved)) : DONE;
}

static int load_object(const struct dump *d, const char *name, struct buf *out)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct store *store;
	char key[512];
	if (store_look(d->common.store, &store, &err))
		return report(&d->common, &err);
	stored_volume_key(d->common.volume, name, key, sizeof key);
	int rc = store_get_all(store, key, SIZE_MAX / 2, out, NULL, &err);
	if (rc)
		fail_context(&err, rc, "%s", key);
	store_close(store);
	return rc ? report(&d->common, &err) : DONE;
}

/* ---- the verbs ---- */

static int dump_wal(struct dump *d, const char *path)
{
	struct firn_error err = FIRN_ERROR_INIT;
	if (wal_dump(env_default(), path, line, d, &err))
		return report(&d->common, &err);
	return DONE;
}

static int dump_manifest(struct dump *d, const char *path)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct manifest m;
	struct buf bytes;
	buf_init(&bytes, env_default());
	int code = path ? load_file(d, path, &bytes) : load_object(d, "manifest", &bytes);
	if (code == DONE) {
		manifest_dump(bytes.data, bytes.len, line, d);
		manifest_init(&m);
		if (manifest_decode(env_default(), bytes.data, bytes.len, &m, &err))
			code = report(&d->common, &err);
		manifest_fini(&m, env_default());
	}
	buf_fini(&bytes);
	return code;
}

static int dump_object(struct dump *d, const char *name,
                       int (*tell)(const struct firn_env *env, const uint8_t *data, size_t len,
                                   void (*line)(void *arg, const char *text), void *arg,
                                   struct firn_error *err))
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct buf bytes;
	buf_init(&bytes, env_default());
	int code = d->common.store ? load_object(d, name, &bytes) : load_file(d, name, &bytes);
	if (code == DONE && tell(env_default(), bytes.data, bytes.len, line, d, &err))
		code = report(&d->common, &err);
	buf_fini(&bytes);
	return code;
}

static int dump_segment(struct dump *d, const char *name)
{
	return dump_object(d, name, segment_dump);
}

static int dump_layer(struct dump *d, const char *name)
{
	return dump_object(d, name, layer_dump);
}

static int index_line(void *arg, const char *text)
{
	(void)arg;
	puts(text);
	return 0;
}

static int index_lines(struct index *ix, struct index_result *out, struct firn_error *err)
{
	(void)out;
	return index_dump(ix, index_line, NULL, err);
}

static int dump_index(struct dump *d)
{
	struct held_dir h;
	struct index_result result;
	memset(&result, 0, sizeof result);
	int code = dir_hold(&h, &d->common);
	if (code)
		return code;
	if (!h.has_index)
		code = complain(&d->common, WRONG, "%s has no index yet", d->common.dir);
	else
		code = index_apart(&d->common, h.index, index_lines, &result);
	dir_release(&h);
	if (code == DONE && result.code)
		code = report_code(&d->common, result.code, result.text);
	return code;
}

/* ---- command lines ---- */

static const struct argp_child children[] = { { &where_argp, 0, NULL, 0 }, { 0 } };

/* One file or object after the other, until one cannot be dumped. */
static int run(int argc, char **argv, const struct argp *argp, struct dump *d,
               int (*verb)(struct dump *d, const char *name))
{
	static char *none[] = { NULL };
	int code = DONE;
	d->common.name = argv[0];
	argp_parse(argp, argc, argv, 0, NULL, d);
	json_init(&d->json, stdout);
	if (d->common.json)
		json_array(&d->json, NULL);
	char **name = d->file ? d->file : none;
	do
		code = verb(d, *name);
	while (code == DONE && *name && *++name);
	if (d->common.json)
		json_end(&d->json);
	return code;
}

int dump_wal_run(int argc, char **argv)
{
	static const char doc[] =
	        "Print WAL files: headers, groups, records and operations with their places.\v"
	        "Examples:\n"
	        "  firn dump wal /var/lib/firn/wal/0000000000000001.wal\n";
	static const struct argp argp = { NULL, parse, "FILE...", doc, children, NULL, NULL };
	struct dump d = { .what = "WAL file: DIR/wal/*.wal" };
	return run(argc, argv, &argp, &d, dump_wal);
}

int dump_segment_run(int argc, char **argv)
{
	static const char doc[] =
	        "Print segments field by field: files, or with --store and --volume keys of that "
	        "volume, as `firn dump manifest' shows them.\v"
	        "Examples:\n"
	        "  firn dump segment /srv/firn/chat/seg/3f/0000000000000001-0000000000000001\n"
	        "  firn dump segment -s URI -v chat seg/3f/0000000000000001-0000000000000001\n";
	static const struct argp argp = { NULL, parse, "FILE|KEY...", doc, children, NULL, NULL };
	struct dump d = { .what = "segment: a file, or a key with --store and --volume" };
	return run(argc, argv, &argp, &d, dump_segment);
}

int dump_layer_run(int argc, char **argv)
{
	static const char doc[] =
	        "Print index layers row by row: files, or with --store and --volume keys of that "
	        "volume.\v"
	        "Examples:\n"
	        "  firn dump layer /srv/firn/chat/layer/3f/0000000000000001-0000000000000101\n"
	        "  firn dump layer -s URI -v chat layer/3f/0000000000000001-0000000000000101\n";
	static const struct argp argp = { NULL, parse, "FILE|KEY...", doc, children, NULL, NULL };
	struct dump d = { .what = "layer: a file, or a key with --store and --volume" };
	return run(argc, argv, &argp, &d, dump_layer);
}

int dump_manifest_run(int argc, char **argv)
{
	static const char doc[] =
	        "Print the manifest of a volume, or of files that hold one, field by field.\v"
	        "Examples:\n"
	        "  firn dump manifest -s file:///srv/firn -v chat\n"
	        "  firn dump manifest saved-manifest\n";
	static const struct argp argp = { NULL, parse, "[FILE...]", doc, children, NULL, NULL };
	struct dump d = { .need = NEED_STORE | NEED_VOLUME };
	return run(argc, argv, &argp, &d, dump_manifest);
}

static error_t parse_index(int key, char *arg, struct argp_state *state)
{
	struct dump *d = state->input;
	(void)arg;
	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &d->common;
		return 0;
	case ARGP_KEY_END:
		common_need(state, &d->common, NEED_DIR);
		if (d->common.json)
			argp_error(state, "rows of an index are printed as text only");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

int dump_index_run(int argc, char **argv)
{
	static const char doc[] = "Print the rows of a directory's index, from a copy of it.\v"
	                          "Examples:\n"
	                          "  firn dump index -d /var/lib/firn\n";
	static const struct argp argp = { NULL, parse_index, NULL, doc, children, NULL, NULL };
	struct dump d = { .common.name = argv[0] };
	argp_parse(&argp, argc, argv, 0, NULL, &d);
	return dump_index(&d);
}
