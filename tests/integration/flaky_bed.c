#include "tests/integration/flaky_bed.h"
#include <criterion/criterion.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct flaky *flaky_bed(struct site *site, const char *params)
{
	const char *cc = getenv("CC"), *source = getenv("FIRN_SOURCE_DIR");
	char path[100];
	source = source ? source : ".";
	site_run(
	        site,
	        "d=%s; %s -std=gnu11 -fPIC -shared -fvisibility=hidden"
	        " -I$d -I$d/include -Wl,-z,nodelete $d/tests/integration/flaky_store.c -o %s/flaky.so",
	        source, cc ? cc : "cc", site->dir);
	(void)snprintf(path, sizeof path, "%s/flaky.so", site->dir);
	(void)snprintf(site->uri, sizeof site->uri, "plugin:%s?%s", path, params);
	void *so = dlopen(path, RTLD_NOW | RTLD_LOCAL), *symbol;
	cr_assert(so, "%s", dlerror());
	symbol = dlsym(so, "flaky_control");
	struct flaky *(*get)(void);
	memcpy(&get, &symbol, sizeof get);
	return get();
}
