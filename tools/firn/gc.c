/* firn gc --dry-run: what of a volume's objects would be deleted, and why. It only looks: the engine that has the volume
 * attached deletes, nobody else may (PROTOCOL 9).
 *
 *   manifest -> layers and footers: what is named, what something lies in -> LIST: what is there */
#include "tools/firn/check_layer.h"
#include "tools/firn/text.h"
#include <inttypes.h>
#include <string.h>

enum why {
	WHY_NAMED,
	WHY_REWRITE,
	WHY_DEAD,
	WHY_EMPTY,
	WHY_ORPHAN,
	WHY_UNSETTLED,
	WHY_FOREIGN,
	N_WHY
};

static const struct {
	const char *word, *text;
	bool goes;
} whys[N_WHY] = {
	[WHY_REWRITE] = { "rewrite",
	                  "holds trimmed or deleted bytes beside living ones: what lives is copied "
	                  "within delete_deadline_ms, and it goes",
	                  true },
	[WHY_DEAD] = { "dead", "a commit let it go: deleted after the grace time (delete_grace_ms)",
	               true },
	[WHY_EMPTY] = { "empty", "nothing lies in it any more: a later commit lets it go", true },
	[WHY_ORPHAN] = { "orphan",
	                 "no manifest names it, left by a crash or a late request: deleted by a sweep",
	                 true },
	[WHY_UNSETTLED] = { "unsettled", "no manifest names it, but its writer may be about to",
	                    false },
	[WHY_FOREIGN] = { "foreign", "not an object of this volume, or damaged: left alone",
	                  false },
};

struct gc {
	struct common common;
	bool dry_run;
	struct findings findings;
	struct stored_volume volume;
	struct named_segments named;
	struct json json;
	bool layers; /* the half of the list that is walked */
	uint64_t n[N_WHY], bytes[N_WHY];
};

enum { KEY_DRY_RUN = 256 };

static const struct argp_option argp_options[] = {
	{ "dry-run", KEY_DRY_RUN, NULL, 0, "Only say what would go; needed, there is no other way",
	  0 },
	{ 0 },
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct gc *g = state->input;
	(void)arg;
	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &g->common;
		return 0;
	case KEY_DRY_RUN:
		g->dry_run = true;
		return 0;
	case ARGP_KEY_END:
		if (!g->dry_run)
			argp_error(state, "give --dry-run: only the engine that has a volume "
			                  "attached deletes its objects, and does so by itself");
		if (g->common.dir)
			argp_error(state, "it looks at a store: --dir says nothing about that");
		common_need(state, &g->common, NEED_STORE | NEED_VOLUME);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* Does it say itself what its key says? */
static bool is_ours(const struct gc *g, struct segment_id id, const char *key)
{
	uint8_t head[SEGMENT_HEADER_LEN];
	struct segment_meta sm = { 0 };
	struct layer_meta lm = { 0 };
	size_t got = 0;
	int rc = store_get(g->volume.store, key, 0, head, sizeof head, &got, NULL);
	if (rc || got != sizeof head)
		return false;
	rc = g->layers ? layer_header_check(head, &lm, NULL)
	               : segment_header_check(head, &sm, NULL);
	const uint8_t *of = g->layers ? lm.volume_id : sm.volume_id;
	return !rc && !memcmp(of, g->volume.manifest.volume_id, 16) &&
	       segment_id_equal(g->layers ? lm.id : sm.id, id);
}

/* Of a volume that was let go of its last writer is done, too: the next one begins a new epoch. */
static enum why judge(const struct gc *g, const char *key, struct segment_id *id)
{
	const struct manifest *m = &g->volume.manifest;
	const char *name = key + strlen(g->volume.name) + 1;
	if (g->layers ? layer_key_parse(name, id) : segment_key_parse(name, id))
		return WHY_FOREIGN;
	if (manifest_find_dead(m, *id, g->layers))
		return WHY_DEAD;
	const struct named_segment *s = g->layers ? NULL : named_segment_find(&g->named, *id);
	if (s && s->live && (s->cut || s->live < s->row.n_block))
		return WHY_REWRITE;
	if (manifest_has(m, *id, g->layers))
		return WHY_NAMED;
	if (s)
		return s->live ? WHY_NAMED : WHY_EMPTY;
	if (!is_ours(g, *id, key))
		return WHY_FOREIGN;
	bool over = id->epoch < m->epoch || (id->epoch == m->epoch && m->state == MANIFEST_CLEAN);
	return over ? WHY_ORPHAN : WHY_UNSETTLED;
}

static int look(void *arg, const char *key, uint64_t size)
{
	struct gc *g = arg;
	struct segment_id id;
	enum why why = judge(g, key, &id);
	g->n[why]++;
	g->bytes[why] += size;
	if (why == WHY_NAMED)
		return 0;
	const struct manifest_dead *dead = why == WHY_DEAD ? manifest_find_dead(&g->volume.manifest,
	                                                                        id, g->layers)
	                                                   : NULL;
	if (g->common.json) {
		json_object(&g->json, NULL);
		json_bytes(&g->json, "key", key, strlen(key));
		json_u64(&g->json, "bytes", size);
		json_string(&g->json, "why", whys[why].word);
		json_bool(&g->json, "goes", whys[why].goes);
		json_time(&g->json, "since", dead ? dead->since_ms : 0);
		json_end(&g->json);
		return 0;
	}
	printf("%-9s  %10s  %s", whys[why].word, text_bytes(size).s, key);
	printf(dead ? "  since %s\n" : "\n", dead ? text_time(dead->since_ms).s : "");
	return 0;
}

static void tell(const struct gc *g)
{
	uint64_t n = 0, bytes = 0;
	for (enum why w = WHY_REWRITE; w < N_WHY; w++) {
		if (g->n[w])
			printf("%-9s  %s\n", whys[w].word, whys[w].text);
		n += whys[w].goes ? g->n[w] : 0;
		bytes += whys[w].goes ? g->bytes[w] : 0;
	}
	printf("%s: %s objects (%s) would go, %s (%s) stay; nothing was changed\n", g->volume.name,
	       text_count(n).s, text_bytes(bytes).s, text_count(g->n[WHY_NAMED]).s,
	       text_bytes(g->bytes[WHY_NAMED]).s);
}

static int walk(struct gc *g)
{
	struct firn_error err = FIRN_ERROR_INIT;
	for (int half = 0; half < 2; half++) {
		char prefix[512];
		g->layers = half;
		stored_volume_key(g->volume.name, half ? "layer/" : "seg/", prefix, sizeof prefix);
		if (store_list(g->volume.store, prefix, "", look, g, &err))
			return report(&g->common, &err);
	}
	return DONE;
}

static int list(struct gc *g)
{
	json_init(&g->json, stdout);
	if (g->common.json) {
		json_object(&g->json, NULL);
		json_string(&g->json, "volume", g->volume.name);
		json_u64(&g->json, "manifest_seq", g->volume.manifest.seq);
		json_array(&g->json, "objects");
	}
	int code = walk(g);
	if (g->common.json) {
		json_end(&g->json);
		for (enum why w = WHY_REWRITE; w < N_WHY; w++)
			json_u64(&g->json, whys[w].word, g->n[w]);
		json_u64(&g->json, "named", g->n[WHY_NAMED]);
		json_end(&g->json);
	} else if (code == DONE) {
		tell(g);
	}
	return code;
}

static int look_at_volume(struct gc *g)
{
	struct firn_error err = FIRN_ERROR_INIT;
	if (stored_volume_open(&g->volume, g->common.store, g->common.volume, &err))
		return report(&g->common, &err);
	int code = named_segments_load(&g->volume, &g->named, &g->findings);
	if (code == DONE && !g->named.whole)
		code = complain(
		        &g->common, WRONG,
		        "%s: a layer or a footer cannot be read: what is named cannot be said\n"
		        "  next: let `firn verify' name all that is damaged",
		        g->volume.name);
	code = code == DONE ? list(g) : code;
	named_segments_close(&g->named);
	stored_volume_close(&g->volume);
	return code;
}

int gc_run(int argc, char **argv)
{
	static const char doc[] =
	        "Say which objects of a volume would be deleted, and why. Changes nothing: the engine that "
	        "has the volume attached deletes them in their time, and nobody else may.\v"
	        "Examples:\n"
	        "  firn gc --dry-run -s file:///srv/firn -v chat\n"
	        "  firn gc --dry-run -s file:///srv/firn -v chat --json | jq .orphan\n";
	static const struct argp_child children[] = { { &where_argp, 0, NULL, 0 }, { 0 } };
	static const struct argp argp = { argp_options, parse, NULL, doc, children, NULL, NULL };
	struct gc g = { .common.name = argv[0] };
	argp_parse(&argp, argc, argv, 0, NULL, &g);
	g.findings.common = &g.common;
	int code = look_at_volume(&g);
	findings_fini(&g.findings);
	return code;
}
