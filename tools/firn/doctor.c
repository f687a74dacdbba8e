/* firn doctor: says in words whether data is safe, what is not yet stored, and what to do. */
#include "tools/firn/diagnose.h"
#include "tools/firn/text.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct doctor {
	struct common common;
	struct findings findings;
	struct held_dir dir;
	struct wal_report wal;
	struct patient *patient;
	uint32_t n_patient;
	struct json json;
	bool wrong, unknown;
};

static const char doc[] =
        "Say in words whether the data of a directory, or of a volume, is safe; what is not stored "
        "yet, how old it is and which WAL files hold it; and what to do.\v"
        "Changes nothing. Exit code 1 if something is wrong or missing, 2 if the store does not answer and "
        "there is no --dir to tell; writes that wait in the WAL are not wrong. While an engine runs on a "
        "directory ask with --store and --volume.\n\n"
        "Examples:\n"
        "  firn doctor -d /var/lib/firn\n"
        "  firn doctor -s file:///srv/firn -v chat\n";

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct doctor *d = state->input;
	(void)arg;
	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &d->common;
		return 0;
	case ARGP_KEY_END:
		if (!d->common.dir && !d->common.volume)
			argp_error(state, "give --dir, or --store and --volume");
		if (d->common.volume)
			common_need(state, &d->common, NEED_STORE);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* The WAL's volumes; or the one asked for, with its row if the WAL has it. */
static int find_patients(struct doctor *d)
{
	const struct common *c = &d->common;
	d->patient = calloc(d->wal.n_row + 1, sizeof *d->patient);
	if (!d->patient)
		return complain(c, TROUBLE, "no memory");
	for (uint32_t i = 0; i < d->wal.n_row; i++) {
		const struct wal_volume_row *row = &d->wal.row[i];
		if (!c->volume || !strcmp(c->volume, row->name))
			patient_init(&d->patient[d->n_patient++], row,
			             c->volume ? c->store : row->uri, row->name);
	}
	if (c->volume && !d->n_patient)
		patient_init(&d->patient[d->n_patient++], NULL, c->store, c->volume);
	return c->dir && d->dir.has_wal ? patients_read_wal(c, d->dir.wal, d->patient, d->n_patient)
	                                : DONE;
}

static void tell_wal(const struct doctor *d)
{
	if (d->common.json || !d->common.dir)
		return;
	printf("%s: no engine is running on it. Its WAL has %s files, %s, and knows %u volume%s.\n",
	       d->common.dir, text_count(d->wal.n_files).s, text_bytes(d->wal.bytes).s,
	       d->wal.n_row, d->wal.n_row == 1 ? "" : "s");
	if (d->findings.n)
		printf("  The WAL is damaged, see above. `firn verify' tells more; keep a copy of "
		       "the directory before an engine opens it.\n");
	else if (d->wal.note[0])
		printf("  %s (that is normal after a crash)\n", d->wal.note);
}

static void tell_json(struct doctor *d, const struct patient *p, const struct verdict *v)
{
	struct json *j = &d->json;
	json_object(j, NULL);
	json_string(j, "name", p->name);
	json_bool(j, "safe", v->safe);
	json_bool(j, "known", !v->unknown);
	json_bool(j, "only_on_this_disk", v->local);
	json_bool(j, "only_on_another_disk", v->elsewhere);
	json_u64(j, "rev_stored", p->rev_stored);
	json_u64(j, "unstored_writes", p->n_unstored);
	json_u64(j, "unstored_bytes", p->unstored_bytes);
	json_time(j, "oldest_unstored", p->oldest_ms);
	json_u64(j, "writes_in_logs", p->log.n_unstored);
	json_array(j, "wal_files");
	for (uint32_t i = 0; i < p->n_file; i++) {
		char name[32];
		snprintf(name, sizeof name, "%016" PRIx64 ".wal", p->file[i]);
		json_string(j, NULL, name);
	}
	json_end(j);
	json_string(j, "text", v->text);
	json_string(j, "advice", v->advice);
	json_end(j);
}

static const char *headline(const struct verdict *v)
{
	return v->unknown     ? "not known"
	       : !v->safe     ? "IN DANGER"
	       : v->local     ? "safe on this disk"
	       : v->elsewhere ? "safe with the directory of its engine"
	                      : "safe";
}

static void tell_patient(struct doctor *d, const struct patient *p)
{
	struct verdict v;
	diagnose(p, &d->common, &v);
	d->wrong = d->wrong || (!v.safe && !v.unknown);
	d->unknown = d->unknown || v.unknown;
	if (d->common.json) {
		tell_json(d, p, &v);
		return;
	}
	printf("\n%s: %s\n  %s\n", p->name, headline(&v), v.text);
	if (v.advice[0])
		printf("  %s\n", v.advice);
}

static int examine(struct doctor *d)
{
	int code = d->common.dir ? check_wal(&d->dir, &d->wal, &d->findings) : DONE;
	if (code == DONE)
		code = find_patients(d);
	if (code)
		return code;
	tell_wal(d);
	if (d->common.json)
		json_array(&d->json, "volumes");
	for (uint32_t i = 0; i < d->n_patient; i++)
		tell_patient(d, &d->patient[i]);
	if (d->common.json) {
		json_end(&d->json);
		findings_json(&d->findings, &d->json);
	} else if (!d->n_patient) {
		printf("There is no volume in it.\n");
		tell_of_copy(&d->dir);
	}
	return d->wrong || d->findings.n ? WRONG : d->unknown ? TROUBLE : DONE;
}

int doctor_run(int argc, char **argv)
{
	static const struct argp_child children[] = { { &where_argp, 0, NULL, 0 }, { 0 } };
	static const struct argp argp = { NULL, parse, NULL, doc, children, NULL, NULL };
	struct doctor d = { .common.name = argv[0], .dir.lock_fd = -1 };
	argp_parse(&argp, argc, argv, 0, NULL, &d);
	d.findings.common = &d.common;
	int code = d.common.dir ? dir_hold(&d.dir, &d.common) : DONE;
	if (code)
		return code;
	json_init(&d.json, stdout);
	if (d.common.json)
		json_object(&d.json, NULL);
	code = examine(&d);
	while (d.json.depth)
		json_end(&d.json);
	for (uint32_t i = 0; i < d.n_patient; i++)
		patient_fini(&d.patient[i]);
	free(d.patient);
	dir_release(&d.dir);
	wal_report_fini(&d.wal);
	findings_fini(&d.findings);
	return code;
}
