/* Comparing an attached volume with the model, through the public interface only. */
#ifndef SIM_CHECK_H
#define SIM_CHECK_H
#include "tests/sim/model.h"
#include <firn/engine.h>
#include <firn/read.h>

/* Everything: streams, marks, batches, gaps, pairs, producers are the sum of the first k writes. `whole`: reads may wait for
 * the store. */
void check_volume(struct firn_volume *volume, struct m_volume *m, uint64_t k, const char *when);
/* A part of a fetch from a stream of the model, at `offset`: batches are those of the model. Returns the offset behind. */
uint64_t check_part(struct m_volume *m, uint32_t stream, const struct m_state *st,
                    const struct firn_part *part, uint64_t offset, const char *when);
/* What a stream is configured as. */
struct firn_stream_config config_make(uint32_t number);
uint32_t kv_key_make(uint32_t key, char out[16]);
uint32_t kv_value_make(uint32_t value, uint8_t out[64]);
#endif
