/* Bytes become a manifest, or an error that names the place. The input is hostile until its sums
 * have been checked, and is treated so afterwards, too: a sum is no signature.
 *
 * Order matters: what the header says about format and features is believed (its own sum right)
 * before anything else is looked at, so that a newer manifest is called newer and not damaged. */
#include "engine/base/error.h"
#include "engine/base/le.h"
#include "engine/base/mem.h"
#include "engine/base/sum.h"
#include "engine/manifest/layout.h"

struct decode {
	const struct firn_env *env;
	const uint8_t *data;
	struct cur c;
	struct manifest *m;
	struct firn_error *err;
};

static int corrupt(struct decode *d, const uint8_t *at, const char *what)
{
	return fail(d->err, FIRN_ECORRUPT, 0, "manifest", "byte %zu: %s", (size_t)(at - d->data),
	            what);
}

/* ---- header ---- */

/* Half of the magic there: it was one. Zeros: a file that lost its bytes. Else it is another's. */
static int check_magic(struct decode *d)
{
	int same = 0, zero = 1;

	for (int i = 0; i < 8; i++) {
		same += d->data[i] == (uint8_t)MANIFEST_MAGIC[i];
		zero &= d->data[i] == 0;
	}
	if (same == 8)
		return FIRN_OK;
	if (same >= 4 || zero)
		return corrupt(d, d->data, "the magic is damaged");
	return fail(d->err, FIRN_EUNSUPPORTED, 0, "manifest",
	            "this is no manifest: the magic is foreign");
}

static int check_features(struct decode *d, uint32_t format)
{
	struct manifest *m = d->m;
	uint64_t unknown;

	if (format != MANIFEST_FORMAT)
		return fail(d->err, FIRN_EUNSUPPORTED, 0, "manifest",
		            "format %u is newer than this release, which knows %d", format,
		            MANIFEST_FORMAT);
	unknown = m->incompat & ~(uint64_t)MANIFEST_KNOWN_INCOMPAT;
	if (unknown)
		return fail(d->err, FIRN_EUNSUPPORTED, 0, "manifest",
		            "it uses features this release does not know: incompat 0x%llx",
		            (unsigned long long)unknown);
	return FIRN_OK;
}

static int decode_header(struct decode *d, size_t len)
{
	if (len < MANIFEST_HEADER_LEN)
		return corrupt(d, d->data + len, "it ends within the header");
	int rc = check_magic(d);

	if (rc != FIRN_OK)
		return rc;
	if (sum64(d->data, MANIFEST_HEADER_SUM_AT) != le64_get(d->data + MANIFEST_HEADER_SUM_AT))
		return corrupt(d, d->data + MANIFEST_HEADER_SUM_AT, "header checksum mismatch");
	(void)cur_take(&d->c, 8);
	uint32_t format = cur_u32(&d->c), header_len = cur_u32(&d->c);

	d->m->compat = cur_u64(&d->c);
	d->m->ro_compat = cur_u64(&d->c);
	d->m->incompat = cur_u64(&d->c);
	rc = check_features(d, format);
	if (rc != FIRN_OK)
		return rc;
	uint64_t object_len = cur_u64(&d->c), reserved = cur_u64(&d->c);

	(void)cur_u64(&d->c); /* the sum */
	if (header_len != MANIFEST_HEADER_LEN || reserved)
		return corrupt(d, d->data, "the header's length or reserved bytes");
	if (object_len != len || len < MANIFEST_LEAST_LEN || len > MANIFEST_MAX_BYTES || len % 8)
		return fail(d->err, FIRN_ECORRUPT, 0, "manifest",
		            "byte 40: it should have %llu bytes and has %zu: cut, or grown",
		            (unsigned long long)object_len, len);
	if (sum64(d->data, len - MANIFEST_SUM_LEN) != le64_get(d->data + len - MANIFEST_SUM_LEN))
		return corrupt(d, d->data + len - MANIFEST_SUM_LEN, "checksum mismatch");
	d->c.end -= MANIFEST_SUM_LEN;
	return FIRN_OK;
}

/* ---- body ---- */

static void take(struct cur *c, void *dst, size_t len)
{
	const uint8_t *p = cur_take(c, len);

	if (p)
		memcpy(dst, p, len);
}

/* The zeros up to a multiple of 8 bytes from the object's beginning. */
static int take_padding(struct decode *d)
{
	size_t n = (size_t)(d->data - d->c.p) & 7;
	const uint8_t *p = cur_take(&d->c, n);

	for (size_t i = 0; p && i < n; i++)
		if (p[i])
			return corrupt(d, p + i, "padding is not zero");
	return FIRN_OK;
}

/* A text of `len` bytes into a NUL-terminated array. */
static int take_text(struct decode *d, char *dst, size_t room, size_t len, const char *what)
{
	const uint8_t *at = d->c.p;

	if (len >= room)
		return corrupt(d, at, what);
	take(&d->c, dst, len);
	dst[len] = 0;
	return strlen(dst) == len || d->c.failed ? FIRN_OK : corrupt(d, at, what);
}

static int decode_fixed(struct decode *d)
{
	struct manifest *m = d->m;
	struct cur *c = &d->c;

	take(c, m->volume_id, sizeof m->volume_id);
	take(c, m->nonce, sizeof m->nonce);
	m->seq = cur_u64(c);
	m->epoch = cur_u64(c);
	m->rev_stored = cur_u64(c);
	m->rev_durable = cur_u64(c);
	m->next_stream = cur_u64(c);
	m->next_segment = cur_u64(c);
	m->ack_lease_ms = cur_u64(c);
	m->committed_ms = (int64_t)cur_u64(c);
	m->rewrite_seq = cur_u64(c);
	m->cleaned_ms = (int64_t)cur_u64(c);
	m->state = cur_u32(c);
	m->n_log = cur_u32(c);
	m->n_layer = cur_u32(c);
	m->n_segment = cur_u32(c);
	m->n_lost = cur_u32(c);
	m->n_dead = cur_u32(c);
	uint16_t name_len = cur_u16(c), node_len = cur_u16(c);

	m->ext_len = cur_u32(c);
	int rc = take_text(d, m->name, sizeof m->name, name_len, "the volume's name");

	if (rc == FIRN_OK)
		rc = take_text(d, m->node, sizeof m->node, node_len, "the node's name");
	return rc == FIRN_OK ? take_padding(d) : rc;
}

/* Room for n rows, each of at least `least` bytes of what is left: a count cannot ask for more
 * memory than its object could fill. */
static int room_for(struct decode *d, uint32_t n, size_t least, size_t elem, void **array,
                    const char *what)
{
	*array = NULL;
	if (n == 0)
		return FIRN_OK;
	if (n > cur_left(&d->c) / least)
		return corrupt(d, d->c.p, what);
	*array = mem_zalloc(d->env, manifest_room(n) * elem);
	if (!*array)
		return fail(d->err, FIRN_ENOMEM, 0, "manifest", "no memory for %u %s", n, what);
	return FIRN_OK;
}

static int decode_logs(struct decode *d)
{
	struct manifest *m = d->m;
	struct cur *c = &d->c;
	void *array;
	int rc = room_for(d, m->n_log, MANIFEST_LOG_LEN, sizeof *m->log, &array, "logs");

	m->log = array;
	for (uint32_t i = 0; rc == FIRN_OK && i < m->n_log; i++) {
		struct manifest_log *l = &m->log[i];

		l->kind = cur_u32(c);
		uint32_t uri_len = cur_u32(c);

		take(c, l->id, sizeof l->id);
		l->position = cur_u64(c);
		rc = take_text(d, l->uri, sizeof l->uri, uri_len, "a log's URI");
		if (rc == FIRN_OK)
			rc = take_padding(d);
	}
	return rc;
}

static int decode_layers(struct decode *d)
{
	struct manifest *m = d->m;
	struct cur *c = &d->c;
	void *array;
	int rc = room_for(d, m->n_layer, MANIFEST_LAYER_LEN, sizeof *m->layer, &array, "layers");

	m->layer = array;
	for (uint32_t i = 0; rc == FIRN_OK && i < m->n_layer; i++) {
		struct manifest_layer *l = &m->layer[i];

		l->id.epoch = cur_u64(c);
		l->id.n = cur_u64(c);
		l->bytes = cur_u64(c);
		l->footer_pos = cur_u64(c);
		l->footer_sum = cur_u64(c);
		l->rev_from = cur_u64(c);
		l->rev_to = cur_u64(c);
		l->level = cur_u32(c);
		l->part = cur_u32(c);
		l->segment_bytes = cur_u64(c);
		l->n_segment = cur_u32(c);
		if (cur_u32(c))
			rc = corrupt(d, c->p - 4, "reserved bytes are not zero");
	}
	return rc;
}

static int decode_segments(struct decode *d)
{
	struct manifest *m = d->m;
	struct cur *c = &d->c;
	void *array;
	int rc = room_for(d, m->n_segment, MANIFEST_SEGMENT_LEN, sizeof *m->segment, &array,
	                  "segments");

	m->segment = array;
	for (uint32_t i = 0; rc == FIRN_OK && i < m->n_segment; i++) {
		struct manifest_segment *s = &m->segment[i];

		s->id.epoch = cur_u64(c);
		s->id.n = cur_u64(c);
		s->bytes = cur_u64(c);
		s->footer_pos = cur_u64(c);
		s->footer_sum = cur_u64(c);
		s->rev_from = cur_u64(c);
		s->rev_to = cur_u64(c);
		s->min_append_ms = (int64_t)cur_u64(c);
		s->max_append_ms = (int64_t)cur_u64(c);
		s->part = cur_u32(c);
		s->n_parts = cur_u32(c);
		s->n_block = cur_u32(c);
		if (cur_u32(c))
			rc = corrupt(d, c->p - 4, "reserved bytes are not zero");
	}
	return rc;
}

static int decode_lost(struct decode *d)
{
	struct manifest *m = d->m;
	void *array;
	int rc = room_for(d, m->n_lost, MANIFEST_LOST_LEN, sizeof *m->lost, &array, "lost entries");

	m->lost = array;
	for (uint32_t i = 0; rc == FIRN_OK && i < m->n_lost; i++) {
		struct lost_entry *l = &m->lost[i];

		take(&d->c, l->nonce, sizeof l->nonce);
		take(&d->c, l->wal_id, sizeof l->wal_id);
		l->rev_stored = cur_u64(&d->c);
		l->rev_skip = cur_u64(&d->c);
		l->at_ms = (int64_t)cur_u64(&d->c);
	}
	return rc;
}

static int decode_dead(struct decode *d)
{
	struct manifest *m = d->m;
	void *array;
	int rc = room_for(d, m->n_dead, MANIFEST_DEAD_LEN, sizeof *m->dead, &array, "dead keys");

	m->dead = array;
	for (uint32_t i = 0; rc == FIRN_OK && i < m->n_dead; i++) {
		m->dead[i].id.epoch = cur_u64(&d->c);
		m->dead[i].id.n = cur_u64(&d->c);
		m->dead[i].since_ms = (int64_t)cur_u64(&d->c);
		m->dead[i].kind = cur_u32(&d->c);
		if (cur_u32(&d->c))
			rc = corrupt(d, d->c.p - 4, "reserved bytes are not zero");
	}
	return rc;
}

static int decode_ext(struct decode *d)
{
	struct manifest *m = d->m;
	uint32_t len = (uint32_t)m->ext_len;
	void *array;
	int rc = room_for(d, len, 1, 1, &array, "bytes of extension");

	m->ext = array;
	if (rc != FIRN_OK)
		return rc;
	if (len)
		take(&d->c, m->ext, len);
	return take_padding(d);
}

static int decode_body(struct decode *d)
{
	static int (*const steps[])(
	        struct decode *) = { decode_fixed, decode_logs, decode_layers, decode_segments,
		                     decode_lost,  decode_dead, decode_ext };
	uint32_t row = 0;

	for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
		int rc = steps[i](d);

		if (rc != FIRN_OK)
			return rc;
		if (d->c.failed)
			return corrupt(d, d->c.p, "it ends too early");
	}
	if (cur_left(&d->c))
		return corrupt(d, d->c.p, "bytes that belong to nothing");
	const char *wrong = manifest_check(d->m, &row);

	if (wrong)
		return fail(d->err, FIRN_ECORRUPT, 0, "manifest", "row %u: %s", row, wrong);
	return FIRN_OK;
}

int manifest_decode(const struct firn_env *env, const uint8_t *data, size_t len,
                    struct manifest *out, struct firn_error *err)
{
	struct decode d = {
		.env = env, .data = data, .c = cur_of(data, len), .m = out, .err = err
	};

	manifest_init(out);
	int rc = decode_header(&d, len);

	if (rc == FIRN_OK)
		rc = decode_body(&d);
	if (rc != FIRN_OK) {
		/* The counts were set before their arrays: free what is there. */
		manifest_fini(out, env);
	}
	return rc;
}

int manifest_writable(const struct manifest *m, struct firn_error *err)
{
	uint64_t unknown = m->ro_compat & ~(uint64_t)MANIFEST_KNOWN_RO_COMPAT;

	if (!unknown)
		return FIRN_OK;
	return fail(
	        err, FIRN_EUNSUPPORTED, 0, "manifest",
	        "this release can read the volume but not write it: ro_compat 0x%llx is unknown",
	        (unsigned long long)unknown);
}
