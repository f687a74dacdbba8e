/* The bytes of a manifest with their meaning beside them: what FORMAT.md shows and `firn dump
 * manifest` prints. It does not go through decode.c, which would refuse what one most wants to look
 * at. */
#include "engine/base/le.h"
#include "engine/base/sum.h"
#include "engine/manifest/layout.h"
#include <stdarg.h>
#include <stdio.h>

struct dump {
	const uint8_t *data;
	size_t len, pos; /* of what is left: [pos, len) */
	int ended;
	void (*line)(void *arg, const char *text);
	void *arg;
};

/* The next n bytes, 16 a line, and beside each a line of the text. Fewer there: all of them, and
 * the end. */
static const uint8_t *show(struct dump *d, size_t n, const char *fmt, ...)
        __attribute__((format(printf, 3, 4)));

static const uint8_t *show(struct dump *d, size_t n, const char *fmt, ...)
{
	const uint8_t *at = d->data + d->pos;
	char note[400], text[512], *next = note;
	va_list args;

	if (d->ended)
		return NULL;
	va_start(args, fmt);
	(void)vsnprintf(note, sizeof note, fmt, args);
	va_end(args);
	d->ended = n > d->len - d->pos;
	n = d->ended ? d->len - d->pos : n;
	for (size_t i = 0; i < n; i += 16) {
		int w = snprintf(text, sizeof text, "%06zx ", d->pos + i);

		for (size_t k = i; k < i + 16; k++)
			w += k < n ? snprintf(text + w, sizeof text - (size_t)w, " %02x", at[k])
			           : snprintf(text + w, sizeof text - (size_t)w, "   ");
		(void)snprintf(text + w, sizeof text - (size_t)w, "  %.*s",
		               (int)strcspn(next, "\n"), next);
		next += strcspn(next, "\n");
		next += *next == '\n';
		for (size_t end = strlen(text); end && text[end - 1] == ' ';)
			text[--end] = 0;
		d->line(d->arg, text);
	}
	d->pos += n;
	if (d->ended) {
		(void)snprintf(text, sizeof text, "%06zx  (it ends here, within: %.*s)", d->len,
		               (int)strcspn(note, "\n"), note);
		d->line(d->arg, text);
		return NULL;
	}
	return at;
}

/* The value at `ahead` bytes from here, 0 beyond the end. */
static uint64_t peek(const struct dump *d, size_t ahead, size_t n)
{
	uint64_t v = 0;

	if (!d->ended && ahead + n <= d->len - d->pos)
		memcpy(&v, d->data + d->pos + ahead, n);
	return v;
}

static uint64_t peek64(const struct dump *d, size_t ahead)
{
	return peek(d, ahead, 8);
}

static uint32_t peek32(const struct dump *d, size_t ahead)
{
	return (uint32_t)peek(d, ahead, 4);
}

static uint64_t show_u64(struct dump *d, const char *name)
{
	uint64_t v = peek64(d, 0);

	(void)show(d, 8, "%s = %llu", name, (unsigned long long)v);
	return v;
}

static uint32_t show_u32(struct dump *d, const char *name)
{
	uint32_t v = peek32(d, 0);

	(void)show(d, 4, "%s = %u", name, v);
	return v;
}

static void show_bits(struct dump *d, const char *name)
{
	(void)show(d, 8, "%s = 0x%llx", name, (unsigned long long)peek64(d, 0));
}

/* Hostile text stays on its line. */
static void show_text(struct dump *d, const char *name, size_t len)
{
	size_t there = d->ended ? 0 : d->len - d->pos;
	char text[65];
	size_t n = len < 64 ? len : 64;

	if (len == 0)
		return;
	n = n < there ? n : there;
	for (size_t i = 0; i < n; i++) {
		char c = (char)d->data[d->pos + i];

		text[i] = c >= 0x20 && c < 0x7f ? c : '.';
	}
	text[n] = 0;
	(void)show(d, len, "%s = \"%s\"%s", name, text, len > 64 ? "..." : "");
}

static void show_padding(struct dump *d)
{
	size_t n = (0 - d->pos) & 7;

	if (n)
		(void)show(d, n, "padding");
}

static const char *verdict(int good)
{
	return good ? "right" : "WRONG";
}

static void show_header(struct dump *d)
{
	(void)show(d, 8, "magic \"firnMANI\": %s",
	           verdict(d->len >= 8 && !memcmp(d->data, MANIFEST_MAGIC, 8)));
	(void)show_u32(d, "format");
	(void)show_u32(d, "header_len");
	show_bits(d, "compat");
	show_bits(d, "ro_compat");
	show_bits(d, "incompat");
	(void)show_u64(d, "object_len");
	(void)show_u64(d, "reserved");
	(void)show(d, 8, "header_sum = XXH3-64 of [0, 56): %s",
	           verdict(d->len >= MANIFEST_HEADER_LEN &&
	                   sum64(d->data, MANIFEST_HEADER_SUM_AT) == peek64(d, 0)));
}

struct counts {
	uint32_t logs, layers, segments, lost, dead, ext;
};

static void show_fixed(struct dump *d, struct counts *n)
{
	static const char *const states[] = { "?", "clean", "dirty", "destroyed" };
	uint32_t name_len, node_len, state;

	(void)show(d, 16, "volume_id");
	(void)show(d, 16, "nonce");
	(void)show_u64(d, "seq");
	(void)show_u64(d, "epoch");
	(void)show_u64(d, "rev_stored");
	(void)show_u64(d, "rev_durable");
	(void)show_u64(d, "next_stream");
	(void)show_u64(d, "next_segment");
	(void)show_u64(d, "ack_lease_ms");
	(void)show(d, 8, "committed_ms = %lld", (long long)peek64(d, 0));
	(void)show_u64(d, "rewrite_seq");
	(void)show(d, 8, "cleaned_ms = %lld", (long long)peek64(d, 0));
	state = peek32(d, 0);
	(void)show(d, 4, "state = %u (%s)", state, states[state < 4 ? state : 0]);
	n->logs = show_u32(d, "n_log");
	n->layers = show_u32(d, "n_layer");
	n->segments = show_u32(d, "n_segment");
	n->lost = show_u32(d, "n_lost");
	n->dead = show_u32(d, "n_dead");
	name_len = (uint32_t)peek(d, 0, 2);
	(void)show(d, 2, "name_len = %u", name_len);
	node_len = (uint32_t)peek(d, 0, 2);
	(void)show(d, 2, "node_len = %u", node_len);
	n->ext = show_u32(d, "ext_len");
	show_text(d, "name", name_len);
	show_text(d, "node", node_len);
	show_padding(d);
}

static void show_logs(struct dump *d, uint32_t n)
{
	for (uint32_t i = 0; i < n && !d->ended; i++) {
		uint32_t kind = peek32(d, 0), uri_len = peek32(d, 4);

		(void)show(d, MANIFEST_LOG_LEN, "log %u: %s, uri_len %u\n  position %llu", i,
		           kind == 1   ? "local"
		           : kind == 2 ? "store"
		                       : "?",
		           uri_len, (unsigned long long)peek64(d, 24));
		show_text(d, "uri", uri_len);
		show_padding(d);
	}
}

/* Epoch, number, bytes, footer and revs stand first in layers and in segments. */
static void show_object(struct dump *d, const char *what, uint32_t i, size_t len, const char *more)
{
	(void)show(d, len,
	           "%s %u: epoch %llu n %llu\n  %llu bytes, footer at %llu\n"
	           "  footer_sum %016llx, rev_from %llu\n  rev_to %llu, %s",
	           what, i, (unsigned long long)peek64(d, 0), (unsigned long long)peek64(d, 8),
	           (unsigned long long)peek64(d, 16), (unsigned long long)peek64(d, 24),
	           (unsigned long long)peek64(d, 32), (unsigned long long)peek64(d, 40),
	           (unsigned long long)peek64(d, 48), more);
}

static void show_arrays(struct dump *d, const struct counts *n)
{
	char more[120];

	show_logs(d, n->logs);
	for (uint32_t i = 0; i < n->layers && !d->ended; i++) {
		(void)snprintf(more, sizeof more,
		               "level %u, part %u\n  segment_bytes %llu, n_segment %u",
		               peek32(d, 56), peek32(d, 60), (unsigned long long)peek64(d, 64),
		               peek32(d, 72));
		show_object(d, "layer", i, MANIFEST_LAYER_LEN, more);
	}
	for (uint32_t i = 0; i < n->segments && !d->ended; i++) {
		(void)snprintf(
		        more, sizeof more,
		        "min_append_ms %lld\n  max_append_ms %lld, part %u of %u\n  n_block %u",
		        (long long)peek64(d, 56), (long long)peek64(d, 64), peek32(d, 72),
		        peek32(d, 76), peek32(d, 80));
		show_object(d, "segment", i, MANIFEST_SEGMENT_LEN, more);
	}
	for (uint32_t i = 0; i < n->lost && !d->ended; i++)
		(void)show(
		        d, MANIFEST_LOST_LEN,
		        "lost %u: nonce\n  wal id\n  rev_stored %llu, rev_skip %llu\n  at_ms %lld",
		        i, (unsigned long long)peek64(d, 32), (unsigned long long)peek64(d, 40),
		        (long long)peek64(d, 48));
	for (uint32_t i = 0; i < n->dead && !d->ended; i++)
		(void)show(d, MANIFEST_DEAD_LEN,
		           "dead %u: epoch %llu n %llu\n  since_ms %lld, kind %u", i,
		           (unsigned long long)peek64(d, 0), (unsigned long long)peek64(d, 8),
		           (long long)peek64(d, 16), peek32(d, 24));
	if (n->ext)
		(void)show(d, n->ext, "extension of a later release");
	show_padding(d);
}

void manifest_dump(const uint8_t *data, size_t len, void (*line)(void *arg, const char *text),
                   void *arg)
{
	struct dump d = { .data = data, .len = len, .line = line, .arg = arg };
	struct counts n = { 0 };

	show_header(&d);
	show_fixed(&d, &n);
	show_arrays(&d, &n);
	if (!d.ended) {
		size_t at = d.pos;

		(void)show(&d, MANIFEST_SUM_LEN, "sum = XXH3-64 of [0, %zu): %s", at,
		           verdict(sum64(data, at) == peek64(&d, 0)));
	}
	if (!d.ended && d.pos < len)
		(void)show(&d, len - d.pos, "bytes that belong to nothing");
}
