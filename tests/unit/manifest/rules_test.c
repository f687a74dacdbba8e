#include "engine/manifest/manifest.h"
#include <criterion/criterion.h>
#include <string.h>

Test(manifest_rules, the_manifest_of_a_volume_has_one_key)
{
	char key[210];

	cr_assert_eq(manifest_key("rooms/eu-1", key, sizeof key), FIRN_OK);
	cr_assert_str_eq(key, "rooms/eu-1/manifest");
	cr_assert_eq(manifest_key("rooms", key, 14), FIRN_ETOOBIG);
	cr_assert_eq(manifest_key("rooms", key, 15), FIRN_OK);
	cr_assert_eq(manifest_key("", key, sizeof key), FIRN_EINVAL);
}

Test(manifest_rules, ordinary_names_are_volume_names)
{
	static const char *const names[] = { "a",   "A.b_c-9", "a/b/c", "segments", "manifests/x",
		                             "...", ".hidden", "a/..b", "seg-1",    "9" };
	char longest[201];

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		cr_assert_eq(manifest_name_check(names[i], NULL), FIRN_OK, "%s", names[i]);
	memset(longest, 'v', 200);
	longest[200] = 0;
	cr_assert_eq(manifest_name_check(longest, NULL), FIRN_OK);
}

/* A volume `a/seg/00` would keep its manifest among the segments of `a`. */
Test(manifest_rules, names_that_lead_elsewhere_are_refused_with_the_reason)
{
	static const struct {
		const char *name, *why;
	} bad[] = {
		{ "", "empty" },          { "/a", "empty" },     { "a/", "empty" },
		{ "a//b", "empty" },      { ".", ". or .." },    { "a/../b", ". or .." },
		{ "a/.", ". or .." },     { "a b", "allowed" },  { "\xc3\xa9", "allowed" },
		{ "a\n", "allowed" },     { "a/seg", "seg" },    { "a/manifest", "manifest" },
		{ "seg", "seg" },         { "a/seg/00", "seg" }, { ".firn-probe/x", ".firn" },
		{ "a/.firn~x", ".firn" }, { "a*", "allowed" },   { "a\\b", "allowed" },
	};
	char too_long[202];

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		struct firn_error err = FIRN_ERROR_INIT;

		cr_assert_eq(manifest_name_check(bad[i].name, &err), FIRN_EINVAL, "%s",
		             bad[i].name);
		cr_assert_not_null(strstr(err.text, bad[i].why), "%s: %s", bad[i].name, err.text);
	}
	memset(too_long, 'v', 201);
	too_long[201] = 0;
	cr_assert_eq(manifest_name_check(too_long, NULL), FIRN_EINVAL);
}
