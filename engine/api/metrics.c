/* The engine's figures: what its parts count, and what its stores were asked. */
#include "engine/api/engine.h"
#include "engine/base/mem.h"
#include <math.h>
#include <stddef.h>

struct metric_row {
	const char *name, *help, *unit;
	uint32_t kind;
	uint64_t value;
};

static struct firn_metric row_metric(const struct metric_row *row)
{
	return (struct firn_metric){ .name = row->name,
		                     .help = row->help,
		                     .unit = row->unit,
		                     .labels = "",
		                     .kind = row->kind,
		                     .value = row->value };
}

enum {
	N_OPS = METER_OPS - FIRN_STORE_PUT,
	N_OUTCOMES = 5,
	PER_OP = N_OUTCOMES + 3,
	N_PLAIN = 5,
	N_STORE = N_OPS * PER_OP + N_PLAIN
};

#define OUTCOMES(op)                                                                            \
	{                                                                                       \
		"op=\"" op "\"", "op=\"" op "\",outcome=\"done\"",                              \
		        "op=\"" op "\",outcome=\"refused\"", "op=\"" op "\",outcome=\"retry\"", \
		        "op=\"" op "\",outcome=\"throttled\"",                                  \
		        "op=\"" op "\",outcome=\"ambiguous\""                                   \
	}

/* One kind of request: by outcome, those that were not the first try, bytes, how long they took. */
static void op_metrics(const struct meter_op *m, uint32_t op, const double *bound, uint64_t *bucket,
                       struct firn_metric *to)
{
	static const char *const labels[N_OPS][1 + N_OUTCOMES] = { OUTCOMES("put"),
		                                                   OUTCOMES("get"),
		                                                   OUTCOMES("stat"),
		                                                   OUTCOMES("list"),
		                                                   OUTCOMES("delete"),
		                                                   OUTCOMES("multipart_begin"),
		                                                   OUTCOMES("multipart_put"),
		                                                   OUTCOMES("multipart_commit"),
		                                                   OUTCOMES("multipart_abort") };
	const uint64_t by_outcome[N_OUTCOMES] = { m->n_done, m->n_refused, m->n_retry,
		                                  m->n_throttled, m->n_ambiguous };
	const char *const *label = labels[op - FIRN_STORE_PUT];
	uint64_t count = 0;

	for (int i = 0; i < N_OUTCOMES; i++)
		*to++ = (struct firn_metric){ .name = "firn_store_requests",
			                      .help = "Requests to stores, by how they ended.",
			                      .unit = "",
			                      .labels = label[1 + i],
			                      .kind = FIRN_METRIC_COUNTER,
			                      .value = by_outcome[i] };
	*to++ = (struct firn_metric){ .name = "firn_store_retries",
		                      .help = "Of these, second and later tries, and hedges.",
		                      .unit = "",
		                      .labels = label[0],
		                      .kind = FIRN_METRIC_COUNTER,
		                      .value = m->n_again };
	*to++ = (struct firn_metric){ .name = "firn_store_bytes",
		                      .help = "Bytes put, or got.",
		                      .unit = "bytes",
		                      .labels = label[0],
		                      .kind = FIRN_METRIC_COUNTER,
		                      .value = m->bytes_in + m->bytes_out };
	for (int i = 0; i < METER_BUCKETS; i++)
		count += bucket[i] = m->latency[i];
	*to = (struct firn_metric){ .name = "firn_store_request_us",
		                    .help = "How long requests to stores took.",
		                    .unit = "us",
		                    .labels = label[0],
		                    .kind = FIRN_METRIC_HISTOGRAM,
		                    .n_bucket = METER_BUCKETS,
		                    .value = m->took_us,
		                    .count = count,
		                    .bucket = bucket,
		                    .bound = bound };
}

static void store_metrics(const struct meter *m, double *bound, uint64_t *bucket,
                          struct firn_metric *to)
{
	const struct metric_row rows[N_PLAIN] = {
		{ "firn_store_cost",
		  "What requests to stores have cost by the prices of their URIs, estimated.",
		  "millionths", FIRN_METRIC_COUNTER, m->money },
		{ "firn_store_outages", "Times that a store stopped answering.", "",
		  FIRN_METRIC_COUNTER, m->n_outage },
		{ "firn_store_waited_out",
		  "Calls that ended in an outage without having been sent.", "",
		  FIRN_METRIC_COUNTER, m->n_waited_out },
		{ "firn_store_hedges", "Reads that were asked a second time for being slow.", "",
		  FIRN_METRIC_COUNTER, m->n_hedge },
		{ "firn_store_hedges_won", "Of these, answered by the second.", "",
		  FIRN_METRIC_COUNTER, m->n_hedge_won },
	};

	for (int i = 0; i < METER_BUCKETS; i++)
		bound[i] = i + 1 < METER_BUCKETS ? (double)(UINT64_C(2) << i) : INFINITY;
	for (uint32_t i = 0; i < N_OPS; i++, to += PER_OP)
		op_metrics(&m->op[FIRN_STORE_PUT + i], FIRN_STORE_PUT + i, bound,
		           bucket + i * METER_BUCKETS, to);
	for (uint32_t i = 0; i < N_PLAIN; i++)
		to[i] = row_metric(&rows[i]);
}

static int put_metrics(struct engine *e, const struct metric_row *rows, uint32_t n_row,
                       const struct firn_metrics **out)
{
	const uint32_t n = n_row + N_STORE;
	size_t buckets = sizeof(uint64_t) * N_OPS * METER_BUCKETS;
	struct firn_metrics *m = result_new(e->account,
	                                    sizeof *m + n * sizeof(struct firn_metric) + buckets +
	                                            sizeof(double) * METER_BUCKETS,
	                                    NULL, 0);
	struct meter meter;

	*out = m;
	if (!m)
		return FIRN_ENOMEM;
	struct firn_metric *to = (struct firn_metric *)(m + 1);
	uint64_t *bucket = (uint64_t *)(to + n);

	totals_read(&e->stores, &meter);
	for (uint32_t i = 0; i < n_row; i++)
		to[i] = row_metric(&rows[i]);
	store_metrics(&meter, (double *)(bucket + N_OPS * METER_BUCKETS), bucket, to + n_row);
	*m = (struct firn_metrics){ sizeof *m, n, sizeof *to, 0, e->env->now_ms(e->env->ctx), to };
	return 0;
}

int firn_engine_metrics(struct firn_engine *engine, const struct firn_metrics **out)
{
	struct engine *e = engine_of(engine);
	if (!e || !out)
		return FIRN_EINVAL;
	struct wal *w = &e->wal;
	pthread_mutex_lock(&w->lock);
	uint64_t groups = w->n_groups, bytes = w->n_bytes, ns = w->n_flush_ns, pending = w->pending,
	         files = w->n_file, tail = w->tail_used, directories = w->n_directories;
	pthread_mutex_unlock(&w->lock);
	uint64_t unstored = 0;
	pthread_rwlock_rdlock(&e->volumes_lock);
	uint64_t volumes = e->n_volume;
	for (uint32_t i = 0; i < e->n_volume; i++) {
		pthread_mutex_lock(&e->volume[i]->lock);
		unstored += e->volume[i]->unstored_bytes;
		pthread_mutex_unlock(&e->volume[i]->lock);
	}
	pthread_rwlock_unlock(&e->volumes_lock);
	const struct metric_row rows[] = {
		{ "firn_wal_groups", "WAL writes, each with one flush.", "", FIRN_METRIC_COUNTER,
		  groups },
		{ "firn_wal_write_bytes", "Bytes written to the WAL.", "bytes", FIRN_METRIC_COUNTER,
		  bytes },
		{ "firn_wal_flush_us", "Time spent in WAL writes and flushes.", "us",
		  FIRN_METRIC_COUNTER, ns / 1000 },
		{ "firn_wal_pending_bytes", "Admitted, not yet durable.", "bytes",
		  FIRN_METRIC_GAUGE, pending },
		{ "firn_wal_files", "WAL files that hold something needed.", "", FIRN_METRIC_GAUGE,
		  files },
		{ "firn_wal_free_bytes", "Room left in the WAL.", "bytes", FIRN_METRIC_GAUGE,
		  wal_free_bytes(w) },
		{ "firn_tail_bytes", "Durable groups kept in memory.", "bytes", FIRN_METRIC_GAUGE,
		  tail },
		{ "firn_group_memory_bytes", "Memory of WAL groups, with those that results hold.",
		  "bytes", FIRN_METRIC_GAUGE, atomic_load(&e->account->group_bytes) },
		{ "firn_cache_bytes", "Decoded blocks in memory.", "bytes", FIRN_METRIC_GAUGE,
		  atomic_load(&e->account->cache_bytes) },
		{ "firn_upload_memory_bytes", "Segments being built or on their way to a store.",
		  "bytes", FIRN_METRIC_GAUGE, atomic_load(&e->account->upload_bytes) },
		{ "firn_segment_puts", "Requests that put a segment.", "", FIRN_METRIC_COUNTER,
		  atomic_load(&e->uploads.n_segment_put) },
		{ "firn_manifest_puts", "Requests that commit: compare-and-swap of a manifest.", "",
		  FIRN_METRIC_COUNTER, atomic_load(&e->uploads.n_manifest_put) },
		{ "firn_segment_bytes", "Bytes of segments put.", "bytes", FIRN_METRIC_COUNTER,
		  atomic_load(&e->uploads.put_bytes) },
		{ "firn_rewritten_bytes", "Of those, bytes that were stored before: rewrites.",
		  "bytes", FIRN_METRIC_COUNTER, atomic_load(&e->uploads.rewritten_bytes) },
		{ "firn_compacted_blocks", "Small blocks that became parts of larger ones.", "",
		  FIRN_METRIC_COUNTER, atomic_load(&e->uploads.n_gathered) },
		{ "firn_pinned_bytes", "Held by results not yet released.", "bytes",
		  FIRN_METRIC_GAUGE, atomic_load(&e->account->pin_bytes) },
		{ "firn_place_bytes", "Memory that tells where un-stored data lies.", "bytes",
		  FIRN_METRIC_GAUGE, atomic_load(&e->account->place_bytes) },
		{ "firn_other_bytes", "Memory of readers' items.", "bytes", FIRN_METRIC_GAUGE,
		  atomic_load(&e->account->other_bytes) },
		{ "firn_wal_directories", "Directories written to the WAL.", "",
		  FIRN_METRIC_COUNTER, directories },
		{ "firn_volumes", "Attached volumes.", "", FIRN_METRIC_GAUGE, volumes },
		{ "firn_unstored_bytes", "Durable, not yet stored.", "bytes", FIRN_METRIC_GAUGE,
		  unstored },
	};
	return put_metrics(e, rows, sizeof rows / sizeof rows[0], out);
}
