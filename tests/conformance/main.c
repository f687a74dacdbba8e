/* firn-conformance: asks a store everything that store.h promises. */
#include "tests/conformance/run.h"
#include <argp.h>
#include <unistd.h>

static const char doc[] =
        "Checks that a store keeps the rules of firn's plug-in interface (firn/store.h).\v"
        "URI is what an engine would be given: file:///dir, mem:name, plugin:/path/libx.so?name=value, "
        "or one of these behind fault:SCRIPT:. All keys are put below firn-conformance/ and a "
        "random name, and deleted at the end. What a store does not claim is not asked of it; that "
        "it says so when asked is.\n\n"
        "Examples:\n"
        "  firn-conformance file:///tmp/store\n"
        "  firn-conformance --group condition plugin:/usr/lib/firn/sqlite.so?db=/tmp/a.db\n"
        "  firn-conformance --json mem:x | jq '.checks[] | select(.result == \"failed\")'\n\n"
        "Exit codes: 0 every check passed; 1 at least one failed; 2 wrong usage, or the store "
        "cannot be opened.";

enum { KEY_JSON = 1, KEY_LIST, KEY_WITHOUT, KEY_WRITER };

static const struct argp_option options[] = {
	{ "group", 'g', "NAME", 0, "only the checks of this group", 0 },
	{ "without", KEY_WITHOUT, "NAME", 0, "all checks but those of this group", 0 },
	{ "json", KEY_JSON, NULL, 0, "print the result as JSON", 0 },
	{ "list", KEY_LIST, NULL, 0, "print the names of all checks and end", 0 },
	{ "writer", KEY_WRITER, "PREFIX", OPTION_HIDDEN, NULL, 0 },
	{ 0 },
};

struct arguments {
	const char *uri, *group, *without, *writer;
	bool json, list;
};

static bool group_exists(const char *name)
{
	for (size_t g = 0; g < n_all_groups; g++)
		if (!strcmp(all_groups[g]->name, name))
			return true;
	return false;
}

static error_t parse(int key, char *text, struct argp_state *state)
{
	struct arguments *a = state->input;

	switch (key) {
	case 'g':
	case KEY_WITHOUT:
		*(key == 'g' ? &a->group : &a->without) = text;
		if (!group_exists(text))
			argp_error(state, "no group is named `%s'; --list shows them", text);
		return 0;
	case KEY_JSON:
		a->json = true;
		return 0;
	case KEY_LIST:
		a->list = true;
		return 0;
	case KEY_WRITER:
		a->writer = text;
		return 0;
	case ARGP_KEY_ARG:
		if (a->uri)
			argp_error(state, "one store at a time");
		a->uri = text;
		return 0;
	case ARGP_KEY_END:
		if (!a->uri && !a->list)
			argp_error(state, "which store?");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static void list_checks(const char *group)
{
	for (size_t g = 0; g < n_all_groups; g++)
		for (size_t i = 0; i < all_groups[g]->n; i++)
			if (!group || !strcmp(group, all_groups[g]->name))
				(void)printf("%s: %s\n", all_groups[g]->name,
				             all_groups[g]->check[i].name);
}

int main(int argc, char **argv)
{
	static const struct argp argp = { options, parse, "URI", doc, NULL, NULL, NULL };
	struct firn_error err = FIRN_ERROR_INIT;
	struct arguments a = { 0 };
	char program[4096] = { 0 };

	argp_err_exit_status = 2;
	(void)argp_parse(&argp, argc, argv, 0, NULL, &a);
	if (a.list) {
		list_checks(a.group);
		return 0;
	}
	if (a.writer)
		return durable_writer(a.uri, a.writer);
	if (readlink("/proc/self/exe", program, sizeof program - 1) < 0)
		(void)snprintf(program, sizeof program, "%s", argv[0]);
	struct run run = { .uri = a.uri, .program = program };

	if (!run_checks(&run, a.group, a.without, &err)) {
		(void)fprintf(stderr, "firn-conformance: %s\n", err.text);
		return 2;
	}
	size_t left = run.hung ? 0 : run_clean(&run);

	if (a.json)
		report_json(&run);
	else
		report_text(&run);
	if (left)
		(void)fprintf(stderr, "firn-conformance: %zu keys are left below %s\n", left,
		              run.prefix);
	int status = report_n(&run, NULL, CHECK_FAILED) || left ? 1 : 0;

	run_free(&run);
	return status;
}
