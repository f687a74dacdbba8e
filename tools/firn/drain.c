/* firn drain: everything that a directory's WAL holds goes to its stores, and every volume is let go. What is left of the
 * directory is not needed any more: for a disk that was moved, a machine that goes, a broker that is not to come back.
 *
 *   table of the WAL -> for each volume: attach, store all, detach clean -> what could not be done, by name
 *
 * Run again it goes on with what is left. */
#include "engine/os/env.h"
#include "engine/wal/inspect.h"
#include "tools/firn/json.h"
#include "tools/firn/offline.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct drain {
	struct common common;
	struct wal_report wal;
	struct json json;
	struct session session;
	uint32_t n_done, n_left;
	struct held_dir dir;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct drain *d = state->input;
	(void)arg;
	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = state->child_inputs[1] = &d->common;
		return 0;
	case ARGP_KEY_END:
		common_need(state, &d->common, NEED_DIR);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* The table, while no engine has the directory. */
static int read_table(struct drain *d)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct held_dir *h = &d->dir;
	int code = dir_hold(h, &d->common);
	if (code)
		return code;
	int rc = h->has_wal ? wal_verify(env_default(), h->wal, &d->wal, NULL, NULL, &err) : 0;
	dir_release(h);
	/* Damage stops the volumes that it hits, at their attach, and no others. */
	return rc && rc != FIRN_ECORRUPT ? report(&d->common, &err) : DONE;
}

static bool wanted(const struct drain *d, const struct wal_volume_row *row)
{
	if (d->common.volume && strcmp(d->common.volume, row->name) != 0)
		return false;
	return !(row->flags & (WAL_VOLUME_CLEAN | WAL_VOLUME_FENCED));
}

/* Nothing is to be stored: its last detach was marked clean without this WAL's knowing, or there is no such volume. */
static bool nothing_to_do(const char *store, const struct wal_volume_row *row, bool *clean)
{
	struct stored_volume v;
	int rc = stored_volume_open(&v, store, row->name, NULL);
	*clean = !rc && v.manifest.state == MANIFEST_CLEAN;
	bool other = !rc && memcmp(v.manifest.volume_id, row->id, 16) != 0;
	if (!rc)
		stored_volume_close(&v);
	return *clean || ((rc == FIRN_ENOENT || other) && row_is_intent(row));
}

static void tell(struct drain *d, const struct wal_volume_row *row, const char *store, bool stored)
{
	d->n_done += stored;
	d->n_left += !stored;
	if (d->common.json) {
		json_object(&d->json, NULL);
		json_string(&d->json, "name", row->name);
		json_string(&d->json, "store", store);
		json_string(&d->json, "state", stored ? "stored" : "left");
		json_end(&d->json);
	} else if (stored) {
		printf("%s is stored; any engine can attach it\n", row->name);
	}
}

static void drain_one(struct drain *d, const struct wal_volume_row *row)
{
	struct common c = d->common;
	c.store = c.store ? c.store : row->uri;
	c.volume = row->name;
	bool stored;
	if (nothing_to_do(c.store, row, &stored)) {
		if (stored)
			tell(d, row, c.store, true);
		return;
	}
	d->session.common = &c;
	stored = session_attach(&d->session, 0) == DONE &&
	         session_leave(&d->session, SESSION_DRAIN, DONE) == DONE;
	tell(d, row, c.store, stored);
}

static int drain(struct drain *d)
{
	int code = read_table(d);
	uint32_t n = 0;
	for (uint32_t i = 0; code == DONE && i < d->wal.n_row; i++)
		n += wanted(d, &d->wal.row[i]);
	code = code == DONE && n ? session_start(&d->session, &d->common) : code;
	json_init(&d->json, stdout);
	if (code == DONE && d->common.json)
		json_array(&d->json, NULL);
	for (uint32_t i = 0; code == DONE && n && i < d->wal.n_row; i++)
		if (wanted(d, &d->wal.row[i]))
			drain_one(d, &d->wal.row[i]);
	if (code == DONE && d->common.json)
		json_end(&d->json);
	if (d->session.engine)
		firn_engine_close(d->session.engine);
	wal_report_fini(&d->wal);
	if (code == DONE && d->n_left)
		code = complain(
		        &d->common, WRONG,
		        "%u of %u volumes could not be stored\n"
		        "  next: nothing is lost, run it again when what is said above is mended",
		        d->n_left, n);
	else if (code == DONE && !d->common.json) {
		printf("%s: nothing is left %sthat is not stored\n", d->common.dir,
		       d->dir.has_copy ? "in its files " : "");
		tell_of_copy(&d->dir);
	}
	return code;
}

int drain_run(int argc, char **argv)
{
	static const char doc[] =
	        "Store all that waits in a directory's WAL, of every volume, and let the volumes go: the "
	        "directory is not needed any more then. Stores are those that the WAL names; --store is for "
	        "one that has another address now, --volume for one volume of them.\v"
	        "Examples:\n"
	        "  firn drain -d /var/lib/firn\n"
	        "  firn drain -d /mnt/moved/firn --takeover moved\n";
	static const struct argp_child children[] = { { &where_argp, 0, "Where:", 1 },
		                                      { &engine_argp, 0, "Engine:", 2 },
		                                      { 0 } };
	static const struct argp argp = { NULL, parse, NULL, doc, children, NULL, NULL };
	struct drain d = { .common.name = argv[0] };
	argp_parse(&argp, argc, argv, 0, NULL, &d);
	return drain(&d);
}
