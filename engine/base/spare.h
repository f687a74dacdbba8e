/* Memory of frames that is used again: the kernel clears each page that it gives, which costs a replay as much as the
 * checksums do, and the C library gives back what is as long as a frame.
 *
 *   spare_alloc <-- the list, if it has that length --<-- spare_free: as long as there is room
 *        ^------- the host's allocator                         \-- else: the host's allocator
 *
 * What is kept takes nothing from others: with the frames that are alive it stays within `most`. Any thread; under
 * spares.lock, innermost, in which the host's allocator is not called. */
#ifndef BASE_SPARE_H
#define BASE_SPARE_H
#include "engine/base/account.h"
#include <stddef.h>

/* Length of the memory that `len` bytes get: up to a 16th more, so that frames of about one length share theirs.
 * Short ones, which the C library keeps itself, get what they ask for. */
size_t spare_len(size_t len);
/* len: as spare_len() gives it, and counted in the account's cache_bytes before, and until after. NULL without memory. */
void *spare_alloc(struct account *a, size_t len);
void spare_free(struct account *a, void *p, size_t len);
/* Kept from now on: so much that it and cache_bytes of the account make no more than `most`. 0: nothing. */
void spare_bound(struct account *a, uint64_t most);
#endif
