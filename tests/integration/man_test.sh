#!/usr/bin/env bash
# The man pages cannot rot: they render without a warning, every sub-command and option of --help stands
# in them, and they name no option that is not there.
set -euo pipefail

page=$FIRN_SOURCE_DIR/tools/firn/firn.1
conformance_page=$FIRN_SOURCE_DIR/tools/firn/firn-conformance.1
firn=$FIRN_BIN_DIR/firn
failed=0
fail() {
	echo "FAIL: $*" >&2
	failed=1
}

for each in "$page" "$conformance_page"; do
	if command -v groff >/dev/null; then
		warnings=$(groff -mandoc -Tutf8 -ww "$each" 2>&1 >/dev/null)
	elif command -v mandoc >/dev/null; then
		warnings=$(mandoc -T lint -W warning "$each" || true)
	else
		echo "neither groff nor mandoc is here: apt-get install groff-base" >&2
		exit 1
	fi
	[[ -z $warnings ]] || fail "${each##*/} renders with warnings: $warnings"
done

# Lines of help that list an option begin with it; the commands stand indented under "Commands:".
options_of() { "$@" --help | grep -E '^ +(-., )?--[a-z]' | grep -oE -- '--[a-z][a-z-]*' | sort -u; }
mapfile -t commands < <("$firn" --help | sed -n '/^Commands:/,/^$/p' |
	sed -nE 's/^  ([a-z]+( [a-z]+)?)   ?.*/\1/p')
((${#commands[@]} >= 15)) || fail "only ${#commands[@]} commands found in firn --help"

all=$(options_of "$firn")
for command in "${commands[@]}"; do
	grep -qE "^\.It Nm Cm $command( |\$)" "$page" || fail "the page does not have: firn $command"
	# shellcheck disable=SC2086
	options=$(options_of "$firn" $command)
	for option in $options; do
		grep -qE "Fl Fl ${option#--}( |\$)" "$page" ||
			fail "the page does not have: firn $command $option"
	done
	all+=$'\n'$options
	# shellcheck disable=SC2086
	"$firn" $command --help | grep -q '^Examples:' || fail "firn $command --help has no examples"
done

for option in $(grep -oE 'Fl Fl [a-z][a-z-]*' "$page" | sed 's/Fl Fl //' | sort -u); do
	grep -qx -- "--$option" <<<"$all" || fail "the page has an option that is not there: --$option"
done

# firn-conformance has no commands: the options of its page are those of its help.
diff <(options_of "$FIRN_BIN_DIR/firn-conformance") \
	<(grep -oE 'Fl Fl [a-z][a-z-]*' "$conformance_page" | sed 's/Fl Fl /--/' | sort -u) >&2 ||
	fail "firn-conformance.1 and firn-conformance --help (<) differ in options"
"$FIRN_BIN_DIR/firn-conformance" --help | grep -q '^Examples:' ||
	fail "firn-conformance --help has no examples"
((failed == 0)) && echo "man page: ${#commands[@]} commands, all options, no warnings"
exit "$failed"
