/* From a scheme to a back end. Built-ins and shared objects take the same road: an entry point that
 * gives a table, of which min(its size, ours) is copied.
 *
 * One scheme, libs3:, is a shared object of our own: libs3 brings licences and libraries that not
 * everybody wants. It lies in firn/ beside the library, or where the library would lie beside a program
 * that has it inside. */
#include "engine/base/error.h"
#include "engine/store/builtin.h"
#include "engine/store/internal.h"
#include <dlfcn.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

typedef const struct firn_store_plugin *(*plugin_entry)(void);

#ifndef FIRN_HAVE_S3
#define s3_store_entry NULL
#endif

#ifndef FIRN_LIBDIR /* where libraries lie, seen from the prefix */
#define FIRN_LIBDIR "lib"
#endif

static const struct scheme {
	const char *scheme;
	plugin_entry entry;  /* NULL: known by name, not in this build ... */
	const char *library; /* ... or a shared object of ours */
} schemes[] = {
	{ "file", file_store_entry, NULL },
	{ "mem", mem_store_entry, NULL },
	{ "s3", s3_store_entry, NULL },
	{ "libs3", NULL, "libs3.so" },
};

static int plugin_open_path(struct store *s, const char *path, plugin_entry *entry,
                            struct firn_error *err)
{
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

static int plugin_open_library(struct store *s, plugin_entry *entry, struct firn_error *err)
{
	const char *path = s->uri.path;

	/* No search path decides which code runs beside the data. */
	if (path[0] != '/' || s->uri.has_authority)
		return fail(err, FIRN_EINVAL, 0, "store",
		            "plugin: needs an absolute path, as in plugin:/usr/lib/libx.so");
	return plugin_open_path(s, path, entry, err);
}

/* The directory, without a slash at its end, of the file that this code was loaded from. 0 or -1. */
static int own_directory(char out[PATH_MAX])
{
	Dl_info info;
	ssize_t n;

	if (!dladdr(schemes, &info) || !info.dli_fname)
		return -1;
	if (info.dli_fname[0] == '/') {
		n = (ssize_t)strlen(info.dli_fname);
		if (n >= PATH_MAX)
			return -1;
		memcpy(out, info.dli_fname, (size_t)n);
	} else { /* of a program it is what the program was called by */
		n = readlink("/proc/self/exe", out, PATH_MAX - 1);
		if (n <= 0)
			return -1;
	}
	out[n] = 0;
	*strrchr(out, '/') = 0;
	return 0;
}

static int plugin_open_ours(struct store *s, const struct scheme *known, plugin_entry *entry,
                            struct firn_error *err)
{
	static const char *const places[] = { "firn", "../" FIRN_LIBDIR "/firn", "../lib/firn" };
	char dir[PATH_MAX], path[PATH_MAX + 64];

	for (size_t i = 0; !own_directory(dir) && i < sizeof places / sizeof places[0]; i++) {
		(void)snprintf(path, sizeof path, "%s/%s/%s", dir, places[i], known->library);
		if (access(path, R_OK) == 0)
			return plugin_open_path(s, path, entry, err);
	}
	return fail(err, FIRN_EUNSUPPORTED, 0, "store",
	            "%s: stores need firn/%s beside the library, built where libs3 was found and "
	            "not there; there are file:, mem:, plugin: and, where libcurl was found, s3:",
	            known->scheme, known->library);
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
		if (schemes[i].library)
			return plugin_open_ours(s, &schemes[i], entry, err);
		return fail(
		        err, FIRN_EUNSUPPORTED, 0, "store",
		        "this build has no %s: stores; there are file:, mem:, plugin: and, where "
		        "libcurl was found, s3:",
		        s->uri.scheme);
	}
	return fail(err, FIRN_EUNSUPPORTED, 0, "store",
	            "no store of the kind %s: is known; there are file:, mem:, s3:, libs3: and "
	            "plugin:",
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
