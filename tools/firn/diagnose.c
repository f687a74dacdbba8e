#include "tools/firn/diagnose.h"
#include "engine/os/env.h"
#include "tools/firn/text.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the store's side ---- */

static bool is_mine(const struct wal_volume_row *row, const uint8_t nonce[16])
{
	if (!memcmp(row->nonce, nonce, 16))
		return true;
	for (uint32_t i = 0; i < row->n_intent && i < WAL_MAX_INTENTS; i++)
		if (!memcmp(row->intent[i], nonce, 16))
			return true;
	return false;
}

static enum store_answer ask_store(struct patient *p)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct stored_volume v;
	int rc = stored_volume_open(&v, p->uri, p->name, &err);
	if (rc) {
		snprintf(p->answer_text, sizeof p->answer_text, "%s", err.text);
		if (rc == FIRN_ENOENT)
			return STORE_WITHOUT;
		return rc == FIRN_ECORRUPT || rc == FIRN_EUNSUPPORTED ? STORE_DAMAGED : STORE_AWAY;
	}
	rc = manifest_copy(&v.manifest, &p->manifest, env_default());
	p->log_rc = logs_check(&v, &p->log, &err);
	if (p->log_rc)
		snprintf(p->log_text, sizeof p->log_text, "%s", err.text);
	stored_volume_close(&v);
	if (!rc)
		return STORE_ANSWERS;
	snprintf(p->answer_text, sizeof p->answer_text, "no memory for its manifest");
	return STORE_AWAY;
}

/* Numbers skip what is given up: what the WAL has of that range nobody has stored, or ever will. */
static void find_given_up(struct patient *p)
{
	for (uint32_t i = 0; i < p->manifest.n_lost; i++) {
		const struct lost_entry *l = &p->manifest.lost[i];
		if (p->row.rev <= l->rev_stored || l->rev_stored >= p->rev_stored)
			continue;
		p->rev_stored = l->rev_stored;
		p->given_up = true;
	}
}

void patient_init(struct patient *p, const struct wal_volume_row *row, const char *uri,
                  const char *name)
{
	memset(p, 0, sizeof *p);
	snprintf(p->name, sizeof p->name, "%s", name);
	snprintf(p->uri, sizeof p->uri, "%s", uri);
	manifest_init(&p->manifest);
	p->in_wal = row;
	if (row) {
		p->row = *row;
		p->rev_stored = row->rev_stored;
	}
	p->answer = ask_store(p);
	if (p->answer == STORE_ANSWERS) {
		p->rev_stored = p->manifest.rev_stored;
		p->foreign = row && p->manifest.epoch > row->epoch &&
		             !is_mine(row, p->manifest.nonce);
	}
	if (p->foreign)
		find_given_up(p);
}

void patient_fini(struct patient *p)
{
	manifest_fini(&p->manifest, env_default());
}

/* ---- the WAL's side ---- */

static void take_record(struct patient *p, uint32_t n, const struct wal_record *r, uint64_t file_no)
{
	for (; n; n--, p++) {
		if (!p->in_wal || r->volume_no != p->row.volume_no || r->rev <= p->rev_stored ||
		    r->rev > p->row.rev)
			continue;
		if (r->rev <= p->rev_last) /* moved aside, and still in its file */
			return;
		if (!p->n_unstored++ || r->append_ms < p->oldest_ms)
			p->oldest_ms = r->append_ms;
		if (!p->rev_first)
			p->rev_first = r->rev;
		p->rev_last = r->rev;
		p->unstored_bytes += r->len;
		if (p->n_file < PATIENT_FILES && (!p->n_file || p->file[p->n_file - 1] != file_no))
			p->file[p->n_file++] = file_no;
		return;
	}
}

/* Groups of this file's own run, up to where they end. */
static void walk_file(const uint8_t *file, size_t len, struct patient *p, uint32_t n)
{
	struct wal_file_header head;
	struct wal_group_header group;
	if (len < WAL_PAGE || wal_file_header_get(file, &head, NULL))
		return;
	for (uint64_t pos = WAL_PAGE; pos < len; pos += wal_group_len(group.used)) {
		struct wal_record r;
		if (wal_group_header_get(file + pos, len - pos, &group) || group.run != head.run ||
		    group.lsn != (head.file_no << 32 | pos) ||
		    wal_group_verify(file + pos, wal_group_len(group.used), &group, NULL, NULL))
			return;
		for (uint32_t at = WAL_GROUP_HEADER;
		     (at = wal_record_next(file + pos, group.used, at, &r));)
			if (r.type == WAL_WRITE)
				take_record(p, n, &r, head.file_no);
	}
}

static int read_file(const struct common *c, const char *path, struct patient *p, uint32_t n)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st)) {
		int code = complain(c, TROUBLE, "%s: %s", path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return code;
	}
	size_t len = (size_t)st.st_size & ~(size_t)(WAL_PAGE - 1);
	void *file = len ? mmap(NULL, len, PROT_READ, MAP_PRIVATE, fd, 0) : NULL;
	close(fd);
	if (file == MAP_FAILED)
		return complain(c, TROUBLE, "%s: %s", path, strerror(errno));
	if (file) {
		walk_file(file, len, p, n);
		munmap(file, len);
	}
	return DONE;
}

struct file_list {
	uint64_t *no;
	size_t n, cap;
};

static int add_file(void *arg, const char *name)
{
	struct file_list *l = arg;
	uint64_t no;
	if (wal_file_name_parse(name, &no) && wal_aside_name_parse(name, &no))
		return 0;
	if (l->n == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 64;
		uint64_t *grown = reallocarray(l->no, cap, sizeof *grown);
		if (!grown)
			return -ENOMEM;
		l->no = grown;
		l->cap = cap;
	}
	l->no[l->n++] = no;
	return 0;
}

static int by_number(const void *a, const void *b)
{
	/* What lies aside comes first. */
	uint64_t x = wal_order(*(const uint64_t *)a << 32),
	         y = wal_order(*(const uint64_t *)b << 32);
	return (x > y) - (x < y);
}

int patients_read_wal(const struct common *c, const char *wal_dir, struct patient *p, uint32_t n)
{
	const struct firn_env *env = env_default();
	struct file_list list = { NULL, 0, 0 };
	char path[4200];
	int code = DONE;
	int rc = env->files->list(env->ctx, wal_dir, add_file, &list);
	if (rc)
		code = complain(c, TROUBLE, "%s: %s", wal_dir, strerror(-rc));
	if (list.n)
		qsort(list.no, list.n, sizeof list.no[0], by_number);
	for (size_t i = 0; i < list.n && code == DONE; i++) {
		wal_file_path(wal_dir, list.no[i], path, sizeof path);
		code = read_file(c, path, p, n);
	}
	free(list.no);
	return code;
}

/* ---- in words ---- */

__attribute__((format(printf, 3, 4))) static void say(char *text, size_t cap, const char *fmt, ...)
{
	size_t len = strlen(text);
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text + len, cap - len, fmt, ap);
	va_end(ap);
}
#define SAY(...) say(out->text, sizeof out->text, __VA_ARGS__)
#define ADVISE(...) say(out->advice, sizeof out->advice, __VA_ARGS__)

static struct text age(int64_t ms)
{
	int64_t now = wall_ms();
	return text_duration(ms > 0 && ms < now ? (uint64_t)(now - ms) * 1000000 : 0);
}

static void say_unstored(const struct patient *p, struct verdict *out)
{
	if (!p->n_unstored) {
		SAY("Everything it holds is in the store (writes up to %" PRIu64 ").",
		    p->rev_stored);
		return;
	}
	SAY("Stored up to write %" PRIu64 ". Not stored: writes %" PRIu64 " to %" PRIu64
	    ", %s, the oldest %s old. They are durable in this directory's WAL and are replayed at "
	    "the next attach, but they are nowhere else: the loss of this disk loses them. Held by",
	    p->rev_stored, p->rev_first, p->rev_last, text_bytes(p->unstored_bytes).s,
	    age(p->oldest_ms).s);
	for (uint32_t i = 0; i < p->n_file && i < 8; i++)
		SAY("%s %016" PRIx64 ".%s", i ? "," : "", p->file[i], wal_suffix(p->file[i]));
	if (p->n_file > 8)
		SAY(" and %u more files", p->n_file - 8);
	SAY(".");
	out->local = true;
}

static void advise_drain(const struct patient *p, const struct common *c, struct verdict *out)
{
	ADVISE("To store it all: firn volume drain --dir %s --store %s --volume %s", c->dir, p->uri,
	       p->name);
}

/* Its writer is another engine by now. */
static void diagnose_foreign(const struct patient *p, const struct common *c, struct verdict *out)
{
	const struct manifest *m = &p->manifest;
	SAY("Another engine (%s, epoch %" PRIu64 ") has it now.", m->node, m->epoch);
	if (!p->n_unstored) {
		SAY(" It misses nothing there; this directory is not needed for it.");
		return;
	}
	SAY(" This WAL holds writes %" PRIu64 " to %" PRIu64 ", which are not stored.",
	    p->rev_first, p->rev_last);
	if (!p->given_up && m->rev_durable >= p->rev_last) {
		SAY(" That engine has them in its own.");
		ADVISE("Keep this directory until they are stored.");
		return;
	}
	out->safe = false;
	SAY(" That engine has not got them.");
	ADVISE("Keep this directory: it is the only copy of those writes.");
	if (p->given_up)
		ADVISE(" To put them back: firn salvage --from %s --dir NEW --store %s --volume %s; "
		       "with --dry-run it says what of them is not back yet.",
		       c->dir, p->uri, p->name);
}

/* Known to this directory's WAL, and the store answers. */
static void diagnose_known(const struct patient *p, const struct common *c, struct verdict *out)
{
	const struct manifest *m = &p->manifest;
	if (p->foreign) {
		diagnose_foreign(p, c, out);
		return;
	}
	say_unstored(p, out);
	if (p->row.rev < m->rev_durable) {
		out->safe = false;
		SAY(" The manifest knows writes up to %" PRIu64 ", this WAL only up to %" PRIu64
		    ": the WAL went backwards, or is a copy.",
		    m->rev_durable, p->row.rev);
		ADVISE("Do not attach it here before the newer WAL is found.");
	} else if (m->state == MANIFEST_CLEAN && !p->n_unstored) {
		SAY(" It was detached clean: any engine can attach it.");
	} else {
		if (!p->n_unstored)
			SAY(" It is still marked as attached here.");
		advise_drain(p, c, out);
	}
}

/* Its log lies in a store, too: whoever takes it over has all of it. */
static void diagnose_log(const struct patient *p, struct verdict *out)
{
	const struct manifest *m = &p->manifest;
	const struct log_check *l = &p->log;
	SAY(" It is attached by %s, or that engine died; its log is in %s",
	    m->node[0] ? m->node : "some engine", l->uri);
	if (p->log_rc == FIRN_ECORRUPT || p->log_rc == FIRN_EUNSUPPORTED) {
		out->safe = false;
		SAY(", and not whole: %s.", p->log_text);
		ADVISE("Keep a copy of that store. If nothing brings it back, takeover=abandon gives up what "
		       "is not stored.");
		return;
	}
	if (p->log_rc) {
		out->safe = false;
		SAY(", which cannot be read: %s.", p->log_text);
		ADVISE("Bring that store back: what was acked and not stored is there only.");
		return;
	}
	if (l->n_unstored)
		SAY(", with writes %" PRIu64 " to %" PRIu64
		    " that are not stored yet, %s, the oldest %s old.",
		    l->rev_first, l->rev_last, text_bytes(l->unstored_bytes).s,
		    age(l->oldest_ms).s);
	else
		SAY(", with nothing that is not stored.");
	ADVISE("Any engine with its log in a store takes it over (-o wal=store:URI), whether that one "
	       "lives or not.");
}

/* Only the store is known. */
static void diagnose_manifest(const struct patient *p, struct verdict *out)
{
	const struct manifest *m = &p->manifest;
	SAY("Writes up to %" PRIu64 " are in the store, last committed %s ago.", m->rev_stored,
	    age(m->committed_ms).s);
	if (m->state == MANIFEST_CLEAN) {
		SAY(" It was detached clean: nothing is missing, any engine can attach it.");
		return;
	}
	if (m->state == MANIFEST_DESTROYED) {
		SAY(" It was destroyed.");
		return;
	}
	if (p->log.n_log) {
		diagnose_log(p, out);
		return;
	}
	out->elsewhere = true;
	SAY(" It is attached by %s, or that engine died: what it acked above that (write %" PRIu64
	    " at the last commit, or later) is in its WAL (id %s) only.",
	    m->node[0] ? m->node : "some engine", m->rev_durable,
	    m->n_log ? text_hex(m->log[m->n_log - 1].id, 16).s : "unknown");
	ADVISE("If that engine is not running: run firn doctor with its --dir, then firn volume drain. "
	       "If that directory is gone for good: --takeover=abandon gives up what is in it only.");
}

static void diagnose_away(const struct patient *p, const struct common *c, struct verdict *out)
{
	SAY("The store does not answer: %s.", p->answer_text);
	if (!p->in_wal) {
		out->safe = false;
		out->unknown = true;
		ADVISE("Ask again when it answers, or give the --dir of its engine.");
		return;
	}
	SAY(" As of the last commit that the WAL knows: ");
	say_unstored(p, out);
	ADVISE("When the store is back it drains by itself under a running engine. ");
	advise_drain(p, c, out);
}

void diagnose(const struct patient *p, const struct common *c, struct verdict *out)
{
	memset(out, 0, sizeof *out);
	out->safe = true;
	switch (p->answer) {
	case STORE_ANSWERS:
		if (p->in_wal)
			diagnose_known(p, c, out);
		else
			diagnose_manifest(p, out);
		break;
	case STORE_AWAY:
		diagnose_away(p, c, out);
		break;
	case STORE_WITHOUT:
		out->safe = false;
		SAY("It is not in its store: %s.", p->answer_text);
		ADVISE("Bring the store back as it was; create no volume of that name there.");
		break;
	case STORE_DAMAGED:
		out->safe = false;
		SAY("Its manifest cannot be used: %s.", p->answer_text);
		ADVISE("Run firn verify --store %s --volume %s, and keep a copy of the store.",
		       p->uri, p->name);
		break;
	}
	for (uint32_t i = 0; p->answer == STORE_ANSWERS && i < p->manifest.n_lost; i++)
		SAY(" A takeover gave up what its owner acked above write %" PRIu64 ".",
		    p->manifest.lost[i].rev_stored);
}
