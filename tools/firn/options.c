/* Options that mean the same in every sub-command. */
#include "tools/firn/command.h"
#include "tools/firn/text.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t option_size(const struct argp_state *state, const char *option, const char *arg)
{
	uint64_t bytes = 0;
	if (parse_size(arg, &bytes))
		argp_error(state, "--%s: `%s' is no size; write 4096, 64K, 256M, 4G", option, arg);
	return bytes;
}

uint32_t option_duration(const struct argp_state *state, const char *option, const char *arg)
{
	uint64_t ms = 0;
	if (parse_duration(arg, &ms) || ms >= FIRN_FOREVER)
		argp_error(state, "--%s: `%s' is no duration; write 500ms, 5s, 1m, 2h", option,
		           arg);
	return (uint32_t)ms;
}

uint64_t option_number(const struct argp_state *state, const char *option, const char *arg,
                       uint64_t min, uint64_t max)
{
	uint64_t v = 0;
	if (parse_u64(arg, &v) || v < min || v > max)
		argp_error(state, "--%s: `%s' is not a number from %llu to %llu", option, arg,
		           (unsigned long long)min, (unsigned long long)max);
	return v;
}

void common_need(const struct argp_state *state, const struct common *c, unsigned need)
{
	if (need & NEED_DIR && !c->dir)
		argp_error(state,
		           "--dir is missing: the engine's directory, for its WAL and index");
	if (need & NEED_STORE && !c->store)
		argp_error(state,
		           "--store is missing: where segments live, such as file:///srv/firn");
	if (need & NEED_VOLUME && !c->volume)
		argp_error(state, "--volume is missing: the volume's name");
}

static const struct argp_option where_options[] = {
	{ "dir", 'd', "DIR", 0, "Engine directory: WAL and index; one process at a time", 0 },
	{ "store", 's', "URI", 0, "Store of the volume, such as file:///srv/firn", 0 },
	{ "volume", 'v', "NAME", 0, "Name of the volume", 0 },
	{ "json", 'j', NULL, 0, "Print JSON", 0 },
	{ 0 },
};

static error_t where_parse(int key, char *arg, struct argp_state *state)
{
	struct common *c = state->input;
	switch (key) {
	case 'd':
		c->dir = arg;
		return 0;
	case 's':
		c->store = arg;
		return 0;
	case 'v':
		c->volume = arg;
		return 0;
	case 'j':
		c->json = true;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

const struct argp where_argp = { where_options, where_parse, NULL, NULL, NULL, NULL, NULL };

enum { KEY_WAL_SIZE = 0x1000, KEY_SEGMENT_SIZE, KEY_UPLOAD_INTERVAL, KEY_TAKEOVER };

static const struct argp_option engine_options[] = {
	{ "wal-size", KEY_WAL_SIZE, "SIZE", 0, "Room for the WAL on disk (4G)", 0 },
	{ "segment-size", KEY_SEGMENT_SIZE, "SIZE", 0, "Un-stored bytes that start an upload", 0 },
	{ "upload-interval", KEY_UPLOAD_INTERVAL, "TIME", 0,
	  "Age of an un-stored record that starts one", 0 },
	{ "takeover", KEY_TAKEOVER, "moved|abandon", 0,
	  "moved: the directory was moved here for good, the original is gone. abandon: so is the "
	  "directory; what it had not stored is given up, after two minutes",
	  0 },
	{ "option", 'o', "NAME=VALUE", 0, "Any other option of the engine; `-o help' lists them",
	  0 },
	{ 0 },
};

static void list_options(void)
{
	size_t n;
	const struct firn_option *o = firn_options(&n);
	for (size_t i = 0; i < n; i++) {
		const char *def = o[i].def && *o[i].def ? o[i].def : "none";
		printf("%-24s %s%s%s (default %s)\n    %s\n", o[i].name, o[i].type,
		       *o[i].unit ? ", " : "", o[i].unit, def, o[i].help);
	}
	exit(DONE);
}

static void add_option(struct common *c, const char *arg, const struct argp_state *state)
{
	if (!strcmp(arg, "help"))
		list_options();
	if (!strchr(arg, '='))
		argp_error(state, "--option: `%s' is not NAME=VALUE; `-o help' lists them", arg);
	if (c->n_option == MAX_OPTIONS)
		argp_error(state, "--option: more than %d", MAX_OPTIONS);
	c->option[c->n_option++] = arg;
}

static error_t engine_parse(int key, char *arg, struct argp_state *state)
{
	struct common *c = state->input;
	switch (key) {
	case KEY_WAL_SIZE:
		c->wal_bytes = option_size(state, "wal-size", arg);
		return 0;
	case KEY_SEGMENT_SIZE:
		c->segment_bytes = option_size(state, "segment-size", arg);
		return 0;
	case KEY_UPLOAD_INTERVAL:
		c->upload_ms = option_duration(state, "upload-interval", arg);
		return 0;
	case KEY_TAKEOVER:
		if (strcmp(arg, "moved") != 0 && strcmp(arg, "abandon") != 0)
			argp_error(state, "--takeover: `moved' or `abandon', not `%s'", arg);
		c->takeover = arg;
		return 0;
	case 'o':
		add_option(c, arg, state);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

const struct argp engine_argp = { engine_options, engine_parse, NULL, NULL, NULL, NULL, NULL };
