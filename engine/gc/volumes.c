#include "engine/gc/volumes.h"
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Finds the next key that ends a volume's name, and where to go on behind it: there may be many segments. */
struct scan {
	char name[512], after[1100];
	bool found, passed;
};

static int scan_key(void *arg, const char *key, uint64_t size)
{
	static const char manifest[] = "/manifest";
	struct scan *s = arg;
	size_t len = strlen(key), tail = sizeof manifest - 1;
	(void)size;
	if (!strncmp(key, ".firn", 5)) { /* of engines: slots, heartbeats */
		(void)snprintf(s->after, sizeof s->after, ".firo");
		return s->passed = true;
	}
	if (len <= tail || strcmp(key + len - tail, manifest) != 0 || len - tail >= sizeof s->name)
		return 0;
	memcpy(s->name, key, len - tail);
	s->name[len - tail] = 0;
	(void)snprintf(s->after, sizeof s->after, "%s/seg0", s->name); /* '0' stands behind '/' */
	return s->found = true;
}

int volumes_each(struct store *store, int (*each)(void *arg, const char *name), void *arg,
                 struct firn_error *err)
{
	struct scan s = { .after = "" };
	int rc;
	do {
		s.found = s.passed = false;
		rc = store_list(store, "", s.after, scan_key, &s, err);
		rc = rc > 0 ? 0 : rc;
		if (!rc && s.found)
			rc = each(arg, s.name);
	} while ((s.found || s.passed) && !rc);
	return rc;
}
