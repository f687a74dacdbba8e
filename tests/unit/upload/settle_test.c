/* The outcome of a compare-and-swap whose answer was lost. What cannot be read for lack of memory says nothing. */
#include "engine/admit/volume.h"
#include "engine/api/engine.h"
#include "engine/store/store.h"
#include "engine/upload/upload.h"
#include "tests/integration/faulty.h"
#include "tests/unit/manifest/sample.h"
#include <criterion/criterion.h>
#include <errno.h>

TestSuite(settle, .timeout = 20);

Test(settle, no_memory_to_decode_a_manifest_is_no_damage)
{
	static struct engine e;
	static struct volume v;
	struct faulty f;
	struct manifest sent;
	struct buf body;
	struct store_version version;
	struct firn_error err = FIRN_ERROR_INIT;
	faulty_init(&f, env_default());
	e.env = &f.env;
	v.engine = &e;
	(void)snprintf(v.name, sizeof v.name, "v");
	sample_manifest(&sent);
	buf_init(&body, env_default());
	cr_assert_eq(manifest_encode(&sent, &body), 0);
	cr_assert_eq(store_open(env_default(), "mem:settle", &v.store, &err), 0, "%s", err.text);
	struct iovec iov = { body.data, body.len };
	cr_assert_eq(store_put(v.store, "v/manifest", &iov, 1, STORE_ALWAYS, NULL, &version, &err),
	             0, "%s", err.text);
	for (long long n = 1;; n++) {
		faulty_arm(&f, FAULT_ALLOC, -ENOMEM, n);
		enum settled s = settle(&v, &sent, &version, &err);
		bool failed = atomic_load(&f.n_failed) != 0;
		cr_expect_eq(s, failed ? SETTLED_UNKNOWN : SETTLED_MINE, "allocation %lld", n);
		if (!failed)
			break;
	}
	cr_expect_eq(atomic_load(&f.live), 0);
	store_close(v.store);
	buf_fini(&body);
	manifest_fini(&sent, env_default());
}
