/* From a scheme to a back end. Built-ins and shared objects take the same road: an entry point that
 * gives a table, of which min(its size, ours) is copied. */
#include "engine/base/error.h"
#include "engine/store/builtin.h"
#include "engine/store/internal.h"
#include <dlfcn.h>
#include <stddef.h>

typedef const struct firn_store_plugin *(*plugin_entry)(void);

#ifndef FIRN_HAVE_S3
#define s3_store_entry NULL
#endif

static const struct {
	const char *scheme;
	plugin_entry entry; /* NULL: known by name, not in this build */
} schemes[] = {
	{ "file", file_store_entry },
	{ "mem", mem_store_entry },
	{ "s3", s3_store_entry },
	{ "libs3", NULL },
};

static int plugin_open_library(struct store *s, plugin_entry *entry, struct firn_error *err)
{
	const char *path = s->uri.path;

	/* No search path decides which code runs beside the data. */
	if (path[0] != '/' || s->uri.has_authority)
		return fail(err, FIRN_EINVAL, 0, "store",
		            "plugin: needs an absolute path, as in plugin:/usr/lib/libx.so");
	s->library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!s->library)
		return fail(err, FIRN_ESTORE, 0, "store", "plug-in cannot be loaded: %s",
		            dlerror());
	void *symbol = dlsym(s->library, FIRN_STORE_ENTRY);

	if (!symbol)
		return fail(err, FIRN_EUNSUPPORTED, 0, "store",
		            "%s is no store plug-in: it does not export " FIRN_STORE_ENTRY, path);
	memcpy(entry, &symbol, sizeof symbol); /* ISO C has no cast from data to function */
	return FIRN_OK;
}

static int plugin_find(struct store *s, plugin_entry *entry, struct firn_error *err)
{
	if (!strcmp(s->uri.scheme, "plugin"))
		return plugin_open_library(s, entry, err);
	for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
		if (strcmp(s->uri.scheme, schemes[i].scheme))
			continue;
		*entry = schemes[i].entry;
		if (*entry)
			return FIRN_OK;
		return fail(
		        err, FIRN_EUNSUPPORTED, 0, "store",
		        "this build has no %s: stores; there are file:, mem:, plugin: and, where "
		        "libcurl was found, s3:",
		        s->uri.scheme);
	}
	return fail(err, FIRN_EUNSUPPORTED, 0, "store",
	            "no store of the kind %s: is known; there are file:, mem:, s3: and plugin:",
	            s->uri.scheme);
}

static int plugin_copy(struct store *s, const struct firn_store_plugin *p, struct firn_error *err)
{
	const size_t least = offsetof(struct firn_store_plugin, poll);

	if (!p)
		return fail(err, FIRN_EUNSUPPORTED, 0, "store",
		            "the %s: back end refuses to work here", s->uri.scheme);
	if (p->struct_size < least)
		return fail(err, FIRN_EUNSUPPORTED, 0, "store",
		            "the plug-in's table has %u bytes, at least %zu are needed",
		            p->struct_size, least);
	if (p->abi_major != FIRN_STORE_ABI_MAJOR)
		return fail(err, FIRN_EUNSUPPORTED, 0, "store",
		            "the plug-in was built for interface %u, this is %u", p->abi_major,
		            FIRN_STORE_ABI_MAJOR);
	memcpy(&s->plugin, p, p->struct_size < sizeof *p ? p->struct_size : sizeof *p);
	if (!s->plugin.name || !s->plugin.open || !s->plugin.close || !s->plugin.info ||
	    !s->plugin.submit || !s->plugin.cancel)
		return fail(err, FIRN_EUNSUPPORTED, 0, "store", "the plug-in's table has holes");
	return FIRN_OK;
}

int plugin_load(struct store *s, struct firn_error *err)
{
	plugin_entry entry = NULL;
	int rc = plugin_find(s, &entry, err);

	if (rc == FIRN_OK)
		rc = plugin_copy(s, entry(), err);
	if (rc != FIRN_OK)
		plugin_unload(s);
	return rc;
}

void plugin_unload(struct store *s)
{
	if (s->library)
		(void)dlclose(s->library);
	s->library = NULL;
}
