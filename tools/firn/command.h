/* What all sub-commands of `firn` share: the table of commands, options that mean the same
 * everywhere, an attached volume, and how errors are told.
 *
 * Exit codes: DONE, WRONG (what was asked about is wrong or not there), TROUBLE (usage,
 * environment). A function that returns one of the last two has told the user why. */
#ifndef TOOL_COMMAND_H
#define TOOL_COMMAND_H
#include <argp.h>
#include <firn/firn.h>
#include <stdbool.h>

enum { DONE = 0, WRONG = 1, TROUBLE = 2 };

struct command {
	const char *name; /* "append", "volume create" */
	const char *summary;
	int (*run)(int argc, char **argv); /* argv[0] is "firn <name>" */
};

int append_run(int argc, char **argv);
int doctor_run(int argc, char **argv);
int drain_run(int argc, char **argv);
int dump_index_run(int argc, char **argv);
int dump_manifest_run(int argc, char **argv);
int dump_segment_run(int argc, char **argv);
int dump_layer_run(int argc, char **argv);
int dump_wal_run(int argc, char **argv);
int gc_run(int argc, char **argv);
int import_run(int argc, char **argv);
int read_run(int argc, char **argv);
int rebuild_index_run(int argc, char **argv);
int rebuild_manifest_run(int argc, char **argv);
int salvage_command_run(int argc, char **argv);
int stream_create_run(int argc, char **argv);
int stream_delete_run(int argc, char **argv);
int stream_info_run(int argc, char **argv);
int stream_list_run(int argc, char **argv);
int stream_trim_run(int argc, char **argv);
int verify_run(int argc, char **argv);
int volume_create_run(int argc, char **argv);
int volume_drain_run(int argc, char **argv);
int volume_info_run(int argc, char **argv);
int volume_list_run(int argc, char **argv);

/* ---- options (options.c) ---- */

enum { MAX_OPTIONS = 32 };

struct common {
	const char *name; /* "firn append": begins every message */
	const char *dir, *store, *volume;
	uint64_t wal_bytes, segment_bytes;
	uint32_t upload_ms;
	bool json, read_only;
	const char *takeover;
	unsigned n_option;
	const char *option[MAX_OPTIONS + 1];
};

/* Child parsers. Their input is a struct common: put it into state->child_inputs at
 * ARGP_KEY_INIT. */
extern const struct argp where_argp; /* --dir --store --volume --json */
extern const struct argp
        engine_argp; /* --wal-size --segment-size --upload-interval --takeover --option */

enum { NEED_DIR = 1, NEED_STORE = 2, NEED_VOLUME = 4, NEED_ALL = 7 };
/* At ARGP_KEY_END: ends the process with a usage error if an option of `need` is absent. */
void common_need(const struct argp_state *state, const struct common *c, unsigned need);
/* Values of options, or the end of the process with a usage error. */
uint64_t option_size(const struct argp_state *state, const char *option, const char *arg);
uint32_t option_duration(const struct argp_state *state, const char *option, const char *arg);
uint64_t option_number(const struct argp_state *state, const char *option, const char *arg,
                       uint64_t min, uint64_t max);

/* ---- errors (report.c) ---- */

/* One line about what failed, one about what to do next; returns the exit code that fits. */
int report(const struct common *c, const struct firn_error *err);
/* Likewise for a result without a struct firn_error; `what` names the thing. */
int report_code(const struct common *c, int code, const char *what);
/* A line of our own: returns `exit_code`. */
int complain(const struct common *c, int exit_code, const char *fmt, ...)
        __attribute__((format(printf, 3, 4)));

/* ---- an attached volume (session.c) ---- */

struct session {
	const struct common *common;
	struct firn_engine *engine;
	struct firn_volume *volume;
	uint64_t epoch, replayed_bytes;
	int64_t last_commit_ms;         /* 0 = the volume is new */
	uint64_t began_ns, attached_ns; /* the attach; mono_ns() */
};

enum session_end {
	SESSION_KEEP,  /* what is not stored waits in the WAL */
	SESSION_TIDY,  /* marked clean if all is stored anyway, else as KEEP: for who only looked */
	SESSION_DRAIN, /* everything stored, marked clean */
};

/* The engine alone; then one volume after the other: s->common says which. */
int session_start(struct session *s, const struct common *c);
int session_attach(struct session *s, uint32_t attach_flags);
int session_leave(struct session *s, enum session_end end, int so_far);
int session_open(struct session *s, const struct common *c, uint32_t attach_flags);
/* `so_far` is what the command has come to; the worse of it and of the end is returned. */
int session_close(struct session *s, enum session_end end, int so_far);
#endif
