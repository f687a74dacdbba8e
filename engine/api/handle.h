/* What users hold of a volume. It outlives the volume (readers' items point to it), until the engine closes. */
#ifndef API_HANDLE_H
#define API_HANDLE_H
#include "engine/admit/volume.h"
#include <stdatomic.h>

struct firn_volume {
	_Atomic(struct volume *) v; /* NULL once detached */
	atomic_uint n_inside;       /* calls that use *v: it is not freed under them */
	struct engine *engine;
	struct firn_volume *next;
};

struct firn_volume *handle_new(struct volume *v);
void handle_close(struct firn_volume *h); /* no call gets in any more; waits for those inside */
/* The volume, which stays until volume_leave(); NULL (and nothing to leave) once it is detached. Not to be
 * held while waiting for anything but memory. */
struct volume *volume_enter(const struct firn_volume *h);
void volume_leave(const struct firn_volume *h);

static inline struct volume *volume_of(const struct firn_volume *h)
{
	return h ? atomic_load_explicit(&((struct firn_volume *)(uintptr_t)h)->v,
	                                memory_order_acquire)
	         : NULL;
}
#endif
