#!/bin/bash
# Compiles each public header alone, as C11 and as C++17, then all of them with every initialiser
# and the sizes that are promised. Fails on any warning. CC, CXX: the compilers (gcc, g++).
# Usage: tests/headers/check.sh [header ...]
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
CC=${CC:-gcc}
CXX=${CXX:-g++}
common="-Wall -Wextra -Wpadded -Wconversion -Werror -fsyntax-only -I$root/include"
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
failed=0

try() { # name source
	$CC -std=c11 -Wstrict-prototypes $common -x c "$2" ||
		{ echo "FAIL $1 ($CC, C11)" >&2; failed=1; }
	$CXX -std=c++17 $common -x c++ "$2" ||
		{ echo "FAIL $1 ($CXX, C++17)" >&2; failed=1; }
}

if [ $# -eq 0 ]; then
	set -- "$root"/include/firn/*.h
fi
for header; do
	name=${header##*/}
	printf '#include <firn/%s>\n#include <firn/%s>\n' "$name" "$name" >"$work/alone.c"
	try "$name" "$work/alone.c"
done

cat >"$work/use.c" <<'END'
#include <firn/firn.h>
#ifndef __cplusplus
#define static_assert _Static_assert
#endif
static_assert(sizeof(struct firn_error) == 248, "error");
static_assert(sizeof(struct firn_req) == 64, "req");
static_assert(sizeof(struct firn_event) == 64, "event");
static_assert(sizeof(struct firn_op) == 96, "op");
static_assert(sizeof(struct firn_lost) == 32, "lost");
static_assert(sizeof(struct firn_volume_entry) == 312, "volume_entry");
int firn_check_init(void);
int firn_check_init(void)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct firn_attach attach = FIRN_ATTACH_INIT;
	struct firn_detach detach = FIRN_DETACH_INIT;
	struct firn_write write = FIRN_WRITE_INIT;
	struct firn_fetch fetch = FIRN_FETCH_INIT;
	struct firn_lookup lookup = FIRN_LOOKUP_INIT;
	struct firn_flush flush = FIRN_FLUSH_INIT;
	return err.code + attach.req.kind + detach.req.kind + write.req.kind + fetch.req.kind +
	       lookup.req.kind + flush.req.kind;
}
END
sed 's/FIRN_FLUSH_INIT;$/&\n\tstatic_assert(FIRN_MARK_DURABLE == 2, "FIRN_FLUSH_INIT");/' \
	"$work/use.c" >"$work/all.c"
try initialisers "$work/all.c"
exit $failed
