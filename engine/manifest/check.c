/* What holds for every manifest, whoever wrote it. A manifest that breaks one of these was not
 * written by firn, or by a firn with a bug: in both cases it must not be acted upon, nor written.
 */
#include "engine/manifest/layout.h"
#include "engine/store/key.h"
#include <string.h>

static int is_zero(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i])
			return 0;
	return 1;
}

static int is_text(const char *text, size_t room)
{
	size_t len = strnlen(text, room);

	return len < room && key_is_text(text, len);
}

static const char *check_fixed(const struct manifest *m)
{
	if (m->state < MANIFEST_CLEAN || m->state > MANIFEST_DESTROYED)
		return "the state is none of clean, dirty, destroyed";
	if (m->seq == 0)
		return "seq is 0";
	if (m->epoch == 0 || m->epoch > MANIFEST_EPOCH_MAX)
		return "the epoch is 0 or above 2^24 - 1";
	if (is_zero(m->volume_id, sizeof m->volume_id))
		return "the volume id is zero";
	if (m->rev_stored > m->rev_durable)
		return "rev_stored is above rev_durable";
	if (m->rewrite_seq > m->seq)
		return "rewrite_seq is above seq";
	if (m->rewrite_seq && !m->n_layer)
		return "rewritten segments, and no layer that could name them";
	if (m->ack_lease_ms != 0)
		return "ack_lease_ms, which is reserved, is not 0";
	if (m->ext_len && !(m->compat | m->ro_compat))
		return "an extension without a feature bit";
	if (strnlen(m->name, sizeof m->name) == sizeof m->name ||
	    manifest_name_check(m->name, NULL))
		return "the volume's name is none";
	if (!is_text(m->node, sizeof m->node))
		return "the node's name is no text";
	return NULL;
}

static const char *check_log(const struct manifest_log *l)
{
	if (l->kind != MANIFEST_LOG_LOCAL && l->kind != MANIFEST_LOG_STORE)
		return "a log's kind is unknown";
	if (!is_text(l->uri, sizeof l->uri))
		return "a log's URI is no text";
	if (l->kind == MANIFEST_LOG_STORE && !l->uri[0])
		return "a log in a store has no URI";
	if (l->kind == MANIFEST_LOG_LOCAL && l->position)
		return "a local log has a position";
	return NULL;
}

/* An id that this epoch has not given yet could be given again. */
static int id_is_free(const struct manifest *m, struct segment_id id)
{
	return id.epoch > m->epoch || (id.epoch == m->epoch && id.n >= m->next_segment);
}

static const char *check_revs(const struct manifest *m, uint64_t from, uint64_t to)
{
	if (from == 0 || from >= to)
		return "an empty interval of revs";
	if (to - 1 > m->rev_stored)
		return "its revs end above rev_stored";
	return NULL;
}

static const char *check_segment(const struct manifest *m, uint32_t i)
{
	const struct manifest_segment *s = &m->segment[i];

	if (i == 0 && m->n_layer && s->rev_from < m->layer[m->n_layer - 1].rev_to)
		return "a segment lies below the layers";

	if (id_is_free(m, s->id))
		return "a segment's number may be given again";
	if (s->footer_pos >= s->bytes)
		return "a segment's footer lies beyond its end";
	if (s->n_parts == 0 || s->part >= s->n_parts)
		return "a segment's part is beyond n_parts";
	if (s->min_append_ms > s->max_append_ms)
		return "a segment's append times run backwards";
	if (i > 0 && s->rev_from < s[-1].rev_from)
		return "segments are not in the order of their revs";
	return check_revs(m, s->rev_from, s->rev_to);
}

static const char *check_layer(const struct manifest *m, uint32_t i)
{
	const struct manifest_layer *l = &m->layer[i];

	if (id_is_free(m, l->id))
		return "a layer's number may be given again";
	if (l->footer_pos >= l->bytes)
		return "a layer's footer lies beyond its end";
	if (l->part ? i == 0 || l->part != l[-1].part + 1 || l->rev_from != l[-1].rev_from ||
	                      l->rev_to != l[-1].rev_to || l->level != l[-1].level
	            : i > 0 && l->rev_from < l[-1].rev_to)
		return "layers do not follow one another";
	return check_revs(m, l->rev_from, l->rev_to);
}

static const char *check_dead(const struct manifest *m, const struct manifest_dead *d)
{
	if (id_is_free(m, d->id))
		return "a dead key's number may be given again";
	if (d->kind != MANIFEST_DEAD_SEGMENT && d->kind != MANIFEST_DEAD_LAYER)
		return "a dead key's kind is unknown";
	return NULL;
}

const char *manifest_check(const struct manifest *m, uint32_t *row)
{
	const char *wrong = check_fixed(m);

	*row = 0;
	for (uint32_t i = 0; !wrong && i < m->n_log; *row = i++)
		wrong = check_log(&m->log[i]);
	for (uint32_t i = 0; !wrong && i < m->n_layer; *row = i++)
		wrong = check_layer(m, i);
	for (uint32_t i = 0; !wrong && i < m->n_segment; *row = i++)
		wrong = check_segment(m, i);
	for (uint32_t i = 0; !wrong && i < m->n_lost; *row = i++)
		if (is_zero(m->lost[i].nonce, sizeof m->lost[i].nonce))
			wrong = "a lost entry has no nonce";
	for (uint32_t i = 0; !wrong && i < m->n_dead; *row = i++)
		wrong = check_dead(m, &m->dead[i]);
	return wrong;
}
