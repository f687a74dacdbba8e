/* What came of a run: a line for each failed check, a table of groups; or JSON. */
#include "tests/conformance/run.h"
#include "tools/firn/json.h"

static const struct {
	uint64_t bit;
	const char *name;
} cap_names[] = {
	{ FIRN_STORE_CAN_PUT_IF_ABSENT, "put-if-absent" },
	{ FIRN_STORE_CAN_PUT_IF_MATCH, "put-if-match" },
	{ FIRN_STORE_CAN_LIST, "list" },
	{ FIRN_STORE_CAN_RANGE, "range" },
	{ FIRN_STORE_CAN_MULTIPART, "multipart" },
	{ FIRN_STORE_CAN_MULTIPART_CONDITIONS, "multipart-conditions" },
	{ FIRN_STORE_CAN_LIST_UPLOADS, "list-uploads" },
	{ FIRN_STORE_CAN_NESTED_KEYS, "nested-keys" },
};
enum { N_CAPS = sizeof cap_names / sizeof cap_names[0] };

size_t report_n(const struct run *run, const struct group *group, enum result result)
{
	size_t n = 0;

	for (size_t i = 0; i < run->n_outcome; i++)
		n += (!group || run->outcome[i].group == group) && run->outcome[i].result == result;
	return n;
}

static void print_caps(const struct run *run, const char *title, bool claimed)
{
	unsigned n = 0;

	(void)printf("%s", title);
	for (int i = 0; i < N_CAPS; i++)
		if (!(run->host->info.caps & cap_names[i].bit) != claimed)
			(void)printf("%s%s", n++ ? ", " : " ", cap_names[i].name);
	(void)printf("%s\n", n ? "" : " nothing");
}

void report_text(const struct run *run)
{
	(void)printf("store       %s\n", store_uri_shown(run->host->store));
	(void)printf("back end    %s\n", run->host->plugin->name);
	print_caps(run, "claims     ", true);
	print_caps(run, "lacks      ", false);
	(void)printf("\n%-12s %5s %7s %12s\n", "group", "ok", "failed", "not asked");
	for (size_t g = 0; g < n_all_groups; g++) {
		size_t ok = report_n(run, all_groups[g], CHECK_OK);
		size_t failed = report_n(run, all_groups[g], CHECK_FAILED);
		size_t not_asked = report_n(run, all_groups[g], CHECK_NOT_ASKED);

		if (ok + failed + not_asked)
			(void)printf("%-12s %5zu %7zu %12zu\n", all_groups[g]->name, ok, failed,
			             not_asked);
	}
	(void)printf("%-12s %5zu %7zu %12zu\n", "all", report_n(run, NULL, CHECK_OK),
	             report_n(run, NULL, CHECK_FAILED), report_n(run, NULL, CHECK_NOT_ASKED));
	if (report_n(run, NULL, CHECK_FAILED))
		(void)printf("\n");
	for (size_t i = 0; i < run->n_outcome; i++)
		if (run->outcome[i].result == CHECK_FAILED)
			(void)printf("FAILED %s: %s\n       %s\n", run->outcome[i].group->name,
			             run->outcome[i].check->name, run->outcome[i].why);
}

void report_json(const struct run *run)
{
	static const char *const results[] = { "", "ok", "failed", "not asked" };
	struct json j;

	json_init(&j, stdout);
	json_object(&j, NULL);
	json_string(&j, "store", store_uri_shown(run->host->store));
	json_string(&j, "back_end", run->host->plugin->name);
	json_object(&j, "claims");
	for (int i = 0; i < N_CAPS; i++)
		json_bool(&j, cap_names[i].name, (run->host->info.caps & cap_names[i].bit) != 0);
	json_end(&j);
	json_u64(&j, "ok", report_n(run, NULL, CHECK_OK));
	json_u64(&j, "failed", report_n(run, NULL, CHECK_FAILED));
	json_u64(&j, "not_asked", report_n(run, NULL, CHECK_NOT_ASKED));
	json_array(&j, "checks");
	for (size_t i = 0; i < run->n_outcome; i++) {
		const struct outcome *o = &run->outcome[i];

		json_object(&j, NULL);
		json_string(&j, "group", o->group->name);
		json_string(&j, "check", o->check->name);
		json_string(&j, "result", results[o->result]);
		json_u64(&j, "ms", o->ms);
		if (o->why)
			json_string(&j, "why", o->why);
		json_end(&j);
	}
	json_end(&j);
	json_end(&j);
}
