/* firn: the command. Finds the sub-command and hands over; each one has a file of its own. */
#include "tools/firn/command.h"
#include "tools/firn/text.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct command commands[] = {
	{ "volume create", "make a volume in a store", volume_create_run },
	{ "volume list", "list the volumes of a store", volume_list_run },
	{ "volume info", "show what a volume's manifest says", volume_info_run },
	{ "volume drain", "store all that waits in the WAL, and let go", volume_drain_run },
	{ "stream create", "make streams", stream_create_run },
	{ "stream list", "list the streams of a volume", stream_list_run },
	{ "stream info", "show marks and sizes of one stream", stream_info_run },
	{ "stream delete", "delete streams", stream_delete_run },
	{ "stream trim", "give up the oldest records of a stream", stream_trim_run },
	{ "append", "append lines or batches from files or standard input", append_run },
	{ "read", "read streams from an offset or a time", read_run },
	{ "import", "import files, one stream each; run again to go on", import_run },
	{ "drain", "store all that a directory's WAL holds, of every volume", drain_run },
	{ "salvage", "put back what was given up with an abandoned WAL", salvage_command_run },
	{ "rebuild index", "make a volume's local index anew from its store", rebuild_index_run },
	{ "rebuild manifest", "put a manifest that is gone together from layers and segments",
	  rebuild_manifest_run },
	{ "verify", "check every byte of WAL, index, manifests and segments", verify_run },
	{ "dump wal", "print a WAL file, annotated", dump_wal_run },
	{ "dump segment", "print a segment, annotated", dump_segment_run },
	{ "dump layer", "print an index layer, annotated", dump_layer_run },
	{ "dump manifest", "print a manifest, annotated", dump_manifest_run },
	{ "dump index", "print the rows of a local index", dump_index_run },
	{ "gc", "say which objects would be deleted, and why", gc_run },
	{ "doctor", "say whether the data is safe, and what to do", doctor_run },
};
enum { N_COMMANDS = sizeof commands / sizeof commands[0] };

static const char main_doc[] =
        "Durable logs on local disks, their history in an object store.\v"
        "`firn COMMAND --help' tells more, with examples.\n\n"
        "Exit codes: 0 all is well; 1 what was asked about is wrong or not there;\n"
        "2 wrong usage, or the environment does not let it happen.";

static void print_commands(FILE *out, const char *group)
{
	size_t len = strlen(group);
	for (unsigned i = 0; i < N_COMMANDS; i++)
		if (!strncmp(commands[i].name, group, len))
			fprintf(out, "  %-17s %s\n", commands[i].name, commands[i].summary);
}

/* argp asks for each part of the help; the list of commands goes in front of the last part. */
static char *main_help(int key, const char *text, void *input)
{
	(void)input;
	if (key != ARGP_KEY_HELP_POST_DOC)
		return (char *)(uintptr_t)text;
	char *all = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&all, &len);
	if (!out)
		return (char *)(uintptr_t)text;
	fputs("Commands:\n", out);
	print_commands(out, "");
	fprintf(out, "\n%s", text ? text : "");
	fclose(out);
	return all;
}

static error_t main_parse(int key, char *arg, struct argp_state *state)
{
	int *first = state->input;
	(void)arg;
	if (key == ARGP_KEY_ARG) {
		*first = state->next - 1;
		state->next = state->argc;
		return 0;
	}
	if (key == ARGP_KEY_NO_ARGS)
		argp_usage(state);
	return ARGP_ERR_UNKNOWN;
}

static const struct argp main_argp = { NULL,      main_parse, "COMMAND [ARG...]", main_doc, NULL,
	                               main_help, NULL };

static const struct command *find_command(const char *name)
{
	for (unsigned i = 0; i < N_COMMANDS; i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	return NULL;
}

static bool is_group(const char *name)
{
	size_t len = strlen(name);
	for (unsigned i = 0; i < N_COMMANDS; i++)
		if (!strncmp(commands[i].name, name, len) && commands[i].name[len] == ' ')
			return true;
	return false;
}

/* `firn volume`, `firn volume --help`, `firn volume nonsense`. */
static int group_help(const char *group, const char *verb)
{
	bool asked = verb && (!strcmp(verb, "--help") || !strcmp(verb, "-?"));
	char prefix[64];
	snprintf(prefix, sizeof prefix, "%s ", group);
	if (verb && !asked)
		fprintf(stderr, "firn: there is no `%s %s'\n", group, verb);
	fprintf(asked ? stdout : stderr, "Usage: firn %s VERB [OPTION...]\n\n", group);
	print_commands(asked ? stdout : stderr, prefix);
	fprintf(asked ? stdout : stderr, "\n`firn %s VERB --help' tells more, with examples.\n",
	        group);
	return asked ? DONE : TROUBLE;
}

static int dispatch(int argc, char **argv);

/* `firn help volume drain` is `firn volume drain --help`. */
static int help(int argc, char **argv)
{
	static char firn[] = "firn", option[] = "--help";
	char *as[4] = { firn };
	int n = 0;
	for (int i = 1; i < argc && i < 3; i++)
		as[n++] = argv[i];
	if (n) {
		as[n] = option;
		return dispatch(n + 1, as);
	}
	as[1] = option;
	return argp_parse(&main_argp, 2, as, ARGP_IN_ORDER, NULL, &(int){ 0 }) ? TROUBLE : DONE;
}

static int dispatch(int argc, char **argv)
{
	char name[64];
	int used = 1;
	snprintf(name, sizeof name, "%s", argv[0]);
	if (!strcmp(name, "help"))
		return help(argc, argv);
	if (is_group(name)) {
		const char *verb = argc > 1 ? argv[1] : NULL;
		if (verb)
			snprintf(name, sizeof name, "%s %s", argv[0], verb);
		if (!find_command(name))
			return group_help(argv[0], verb);
		used = 2;
	}
	const struct command *command = find_command(name);
	if (!command) {
		fprintf(stderr, "firn: there is no command `%s'; `firn --help' lists them\n", name);
		return TROUBLE;
	}
	static char title[80];
	snprintf(title, sizeof title, "firn %s", command->name);
	argv[used - 1] = title;
	return command->run(argc - used + 1, argv + used - 1);
}

int main(int argc, char **argv)
{
	static char version[64];
	uint32_t v = firn_version();
	snprintf(version, sizeof version, "firn %u.%u.%u", v >> 16, v >> 8 & 255, v & 255);
	argp_program_version = version;
	argp_err_exit_status = TROUBLE;
	/* `firn read | head` ends with an error on write, and so with an orderly detach. */
	signal(SIGPIPE, SIG_IGN);
	/* A limit on the size of files is an error like a full disk. */
	signal(SIGXFSZ, SIG_IGN);

	int first = 0;
	argp_parse(&main_argp, argc, argv, ARGP_IN_ORDER, NULL, &first);
	int code = dispatch(argc - first, argv + first);
	if (fflush(stdout) && code == DONE)
		code = TROUBLE;
	return code;
}
