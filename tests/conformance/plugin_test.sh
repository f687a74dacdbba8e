#!/usr/bin/env bash
# Back ends of strangers: the SQLite example and the one of backends/README.md are built against what
# is installed and nothing else, and pass the installed firn-conformance.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
fail() {
	echo "FAIL: $*" >&2
	exit 1
}

cmake --install "$FIRN_BUILD_DIR" --prefix "$scratch/prefix" >"$scratch/install.log" ||
	fail "cmake --install: $(cat "$scratch/install.log")"
pc=$(find "$scratch/prefix" -name firn.pc)
export PKG_CONFIG_PATH=${pc%/*} CC=${CC:-cc}
program=$scratch/prefix/bin/firn-conformance

cp -r "$FIRN_SOURCE_DIR/examples/plugin-sqlite" "$scratch/sqlite"
make -s -C "$scratch/sqlite" CFLAGS='-O2 -Wall -Wextra -Werror'
"$program" "plugin:$scratch/sqlite/sqlite.so?db=$scratch/plain.db"
faults=seed=5,jitter_ms=2,throttle=2,reset=2,dropped=2,lost=3,truncate=2
for group in list delete condition concurrency cancel durable; do
	"$program" --group "$group" \
		"fault:$faults:plugin:$scratch/sqlite/sqlite.so?db=$scratch/fault.db" >"$scratch/out" ||
		fail "under fault: $(cat "$scratch/out")"
done
awk '
	$0 == "<!-- example: shelf.c -->" { armed = 1; next }
	armed && /^```/ { if (inside) exit; inside = 1; next }
	inside { print }
' "$FIRN_SOURCE_DIR/backends/README.md" >"$scratch/shelf.c"
[[ -s $scratch/shelf.c ]] || fail "backends/README.md has no block marked 'example: shelf.c'"
# The line that README.md gives, and warnings.
(cd "$scratch" && "$CC" -std=c11 -shared -fPIC -Wall -Wextra -Werror -D_POSIX_C_SOURCE=200809L \
	$(pkg-config --cflags firn) shelf.c -o shelf.so)
for uri in "plugin:$scratch/shelf.so" "fault:$faults:plugin:$scratch/shelf.so"; do
	status=0
	"$program" "$uri" >"$scratch/out" || status=$?
	cat "$scratch/out"
	if ((status != 1)) || grep FAILED "$scratch/out" | grep -v 'FAILED durable:'; then
		fail "$uri: expected all groups but 'durable' to pass"
	fi
done
