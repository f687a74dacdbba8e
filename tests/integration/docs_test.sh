#!/usr/bin/env bash
# What the pages at the root say is there: files and folders that they name exist, scripts can be
# run, programs know the sub-commands shown, the versions agree.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "${FIRN_SOURCE_DIR:-$here/../..}"
bin_dir=${FIRN_BIN_DIR:-build/bin}
pages=(README.md CONTRIBUTING.md CHANGELOG.md)
wrong=0

complain() {
	echo "docs_test: $*" >&2
	wrong=1
}

# Paths in backticks, without patterns and made-up names.
while IFS=: read -r page path; do
	[[ -e $path ]] || complain "$page names $path, which does not exist"
done < <(grep -oE '`(include|engine|backends|bench|cmake|tools|tests|\.ci)/[A-Za-z0-9_./-]*' \
	"${pages[@]}" | sed 's/`//' | sort -u)

# Folders of the layout table.
while read -r folder; do
	[[ -d $folder ]] || complain "README.md lists $folder, which does not exist"
done < <(sed -n '/^## Layout/,/^## /s/^    \([a-z]*\/[a-z/]*\) .*/\1/p' README.md)

# Commands in sh blocks: scripts exist, and what is built answers --help for the sub-command shown.
while read -r program verb _; do
	case $program in
	tools/*)
		[[ -x $program ]] || complain "README.md runs $program, which cannot be run"
		;;
	build/bin/*)
		binary=$bin_dir/${program#build/bin/}
		if [[ ! -x $binary ]]; then
			# A sanitizer build has no benchmark.
			[[ $program == build/bin/firn-bench && $bin_dir != */build/bin ]] ||
				complain "README.md runs $program, which is not built"
		elif [[ $verb =~ ^[a-z] ]]; then
			"$binary" "$verb" --help >/dev/null ||
				complain "README.md runs '$program $verb', which has no --help"
		fi
		;;
	esac
done < <(awk '/^```sh$/ { inside = 1; next } /^```/ { inside = 0 } inside' README.md)

version=$(sed -n 's/^project(firn VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
grep -q "^## $version" CHANGELOG.md || complain "CHANGELOG.md has no section for $version"

exit "$wrong"
