/* The meta row is the first of all, and every transaction writes its own number into it. So a
 * flipped bit in the transaction number of an LMDB meta page, which has no sum, cannot make an
 * older state look like the newest: the state and its meta row disagree. */
#include "engine/base/error.h"
#include "engine/index/tx.h"
#include "engine/index/verify.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct verify {
	struct index_stats stats;
	uint64_t txnid, n_rows;
};

static int stamp_row(void *arg, const struct index_row *r, struct firn_error *err)
{
	const uint64_t *txnid = arg;
	struct index_meta m;
	if (index_row_table(r) != INDEX_META || index_row_number(r) != 0)
		return index_row_bad(r, "the meta row should be here", err);
	int rc = index_meta_get(r, &m, err);
	if (rc)
		return rc;
	return m.txnid == *txnid ? 0 : index_row_bad(r, "is not of this transaction", err);
}

static int short_key(const struct index_row *r, struct firn_error *err)
{
	return index_row_bad(r, "key is too short", err);
}

static int global_row(struct verify *v, const struct index_row *r, struct firn_error *err)
{
	struct index_volume volume;
	struct cur c;
	switch (index_row_table(r)) {
	case INDEX_VOLUME:
		v->stats.n_volumes++;
		return index_volume_row_get(r, &volume, err);
	case INDEX_DROP:
	case INDEX_FILL:
		return index_row_open(r, &c, err);
	default:
		return index_row_bad(r, "no such table", err);
	}
}

static int volume_row(struct verify *v, const struct index_row *r, struct firn_error *err)
{
	union {
		struct stream_state stream;
		struct index_extent_row extent;
		struct gap_entry gap;
		struct kv_change kv;
		struct index_producer_row producer;
		struct key_entry key;
		struct index_segment segment;
		struct segment_id empty;
	} u;
	switch (index_row_table(r)) {
	case INDEX_STREAM:
		v->stats.n_streams++;
		return index_stream_get(r, &u.stream, err);
	case INDEX_EXTENT:
		v->stats.n_extents++;
		return index_extent_get(r, &u.extent, err);
	case INDEX_GAP:
		v->stats.n_gaps++;
		return index_gap_get(r, &u.gap, err);
	case INDEX_KV:
		v->stats.n_kv++;
		return index_kv_get(r, &u.kv, err);
	case INDEX_PRODUCER:
		v->stats.n_producers++;
		return index_producer_get(r, &u.producer, err);
	case INDEX_KEY:
		v->stats.n_keys++;
		return index_idem_get(r, &u.key, err);
	case INDEX_SEGMENT:
		v->stats.n_segments++;
		return index_segment_row_get(r, &u.segment, err);
	case INDEX_EMPTY:
		v->stats.n_empties++;
		return index_empty_row_get(r, &u.empty, err);
	default:
		return index_row_bad(r, "no such table", err);
	}
}

static int verify_row(void *arg, const struct index_row *r, struct firn_error *err)
{
	struct verify *v = arg;
	v->stats.bytes += r->key_len + r->value_len;
	if (r->key_len < INDEX_KEY_HEAD)
		return short_key(r, err);
	if (v->n_rows++ == 0)
		return stamp_row(&v->txnid, r, err);
	if (index_row_number(r) == 0)
		return global_row(v, r, err);
	return r->key_len < INDEX_KEY_STREAM ? short_key(r, err) : volume_row(v, r, err);
}

static int verify_tree(const struct firn_env *env, int fd, const struct check_meta *m,
                       struct index_stats *stats, struct check_result *result,
                       struct firn_error *err)
{
	struct verify v = { .txnid = m->txnid };
	int rc = index_check_walk(env, fd, m, verify_row, &v, result, err);
	if (rc == 0 && v.n_rows == 0 && m->txnid)
		rc = fail(err, FIRN_ECORRUPT, 0, "index", "data.mdb: the meta row is missing");
	if (rc == 0 && stats)
		*stats = v.stats;
	return rc;
}

static int data_open(int dir, int *fd, struct firn_error *err)
{
	struct stat st;
	*fd = openat(dir, "data.mdb", O_RDONLY | O_CLOEXEC);
	if (*fd < 0)
		return errno == ENOENT
		               ? FIRN_ENOENT
		               : fail(err, code_of_errno(-errno), errno, "index", "open data.mdb");
	if (fstat(*fd, &st) == 0 && st.st_size > 0)
		return 0;
	close(*fd);
	return FIRN_ENOENT;
}

int index_verify_file(const struct firn_env *env, int dir, int *fresh, struct index_stats *stats,
                      struct check_result *result, struct firn_error *err)
{
	int fd;
	struct check_meta m[2];
	int rc = data_open(dir, &fd, err);
	*fresh = rc == FIRN_ENOENT;
	if (rc)
		return *fresh ? 0 : rc;
	rc = index_check_metas(fd, m, err);
	if (rc == 0)
		rc = verify_tree(env, fd, &m[0], stats, result, err);
	/* The state before the newest is whole, too: LMDB reuses none of its pages before the next
	 * commit. */
	if (rc == 0 && m[1].txnid)
		rc = index_check_first(env, fd, &m[1], stamp_row, &m[1].txnid, err);
	*fresh = rc == 0 && m[0].txnid == 0;
	close(fd);
	return rc;
}

/* Beside a running engine: a reader pins the state, and a write transaction that writes nothing
 * keeps the meta pages still while they are read. */
static int pin(struct index *ix, int fd, struct index_tx *reader, struct check_meta m[2],
               struct firn_error *err)
{
	struct index_tx still;
	int rc = index_tx_write(ix, &still, err);
	if (rc)
		return rc;
	rc = index_tx_read(ix, reader, err);
	if (rc == 0) {
		rc = index_check_metas(fd, m, err);
		if (rc == 0 && m[0].txnid != mdb_txn_id(reader->txn))
			rc = fail(err, FIRN_ECORRUPT, 0, "index",
			          "data.mdb: meta pages are not those in use");
		if (rc)
			index_tx_end(reader);
	}
	index_tx_end(&still);
	return rc;
}

int index_verify(struct index *ix, struct index_stats *out, struct firn_error *err)
{
	int fd;
	struct check_meta m[2];
	struct index_tx reader;
	int rc = data_open(ix->dir, &fd, err);
	if (rc)
		return rc == FIRN_ENOENT ? fail(err, FIRN_ECORRUPT, 0, "index", "data.mdb is gone")
		                         : rc;
	rc = pin(ix, fd, &reader, m, err);
	if (rc == 0) {
		rc = verify_tree(ix->env, fd, &m[0], out, NULL, err);
		index_tx_end(&reader);
	}
	close(fd);
	return rc;
}
