#!/usr/bin/env bash
# Installs into a scratch prefix and builds the README's program against what was installed: as C11
# and as C++17, by pkg-config and by find_package, shared and static. Each program runs twice in one
# directory and must print what the README promises. Also: only public names are exported, nothing
# installed names the build's own paths, and the installed command answers.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source_dir=${FIRN_SOURCE_DIR:-$(cd "$here/../.." && pwd)}
build_dir=${FIRN_BUILD_DIR:-$source_dir/build}
cc=${CC:-cc}
cxx=${CXX:-c++}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
prefix=$scratch/prefix

fail() {
	echo "install_test: $*" >&2
	exit 1
}

# block MARK: the fenced block of the README that follows <!-- MARK -->.
block() {
	awk -v mark="<!-- $1 -->" '
		$0 == mark { armed = 1; next }
		armed && /^```/ { if (inside) exit; inside = 1; next }
		inside { print }
	' "$source_dir/README.md"
}

# check NAME PROGRAM: two runs, the second finds what the first wrote.
check() {
	local dir=$scratch/data/${1// /-} out
	mkdir -p "$dir"
	out=$("$2" "$dir" && "$2" "$dir") || fail "$1: the program failed; it printed: $out"
	[[ $out == "$expected" ]] || fail "$1: printed '$out' instead of '$expected'"
	# Every run preallocates a WAL: not six of them at once.
	rm -rf "$dir"
	echo "ok: $1"
}

# ---- install

cmake --install "$build_dir" --prefix "$prefix" >"$scratch/install.log" ||
	fail "cmake --install failed: $(cat "$scratch/install.log")"
pc=$(find "$prefix" -name firn.pc)
[[ -n $pc ]] || fail "firn.pc is not installed"
lib_dir=$(dirname "$(dirname "$pc")")
export PKG_CONFIG_PATH=$lib_dir/pkgconfig
[[ -e $lib_dir/libfirn.so && -e $lib_dir/libfirn.a ]] || fail "a library is missing in $lib_dir"

soname=$(readelf -d "$lib_dir/libfirn.so" | sed -n 's/.*SONAME.*\[\(.*\)\].*/\1/p')
[[ $soname == libfirn.so.0 ]] || fail "soname is '$soname'"
alien=$(nm -D --defined-only "$lib_dir/libfirn.so" | awk '$3 !~ /^firn_/ { print $3 }')
[[ -z $alien ]] || fail "libfirn.so exports what is not public: $alien"

# What the headers declare and what the library exports are the same set.
sed -n 's/^FIRN_API .*[ *]\(firn_[a-z0-9_]*\)(.*/\1/p' "$prefix"/include/firn/*.h | sort -u \
	>"$scratch/declared"
nm -D --defined-only "$lib_dir/libfirn.so" | awk '{ print $3 }' | sort -u >"$scratch/exported"
diff "$scratch/declared" "$scratch/exported" >"$scratch/diff" ||
	fail "declared (<) and exported (>) differ: $(cat "$scratch/diff")"

if grep -rqF -- "$source_dir" "$lib_dir/pkgconfig" "$lib_dir/cmake" "$prefix/include"; then
	fail "an installed file names the source directory"
fi
version=$(pkg-config --modversion firn)
[[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+$ ]] || fail "firn.pc has version '$version'"
"$prefix/bin/firn" --help >/dev/null || fail "the installed firn does not answer --help"

# ---- the program

block 'example: readme.c' >"$scratch/readme.c"
block 'output: readme.c' >"$scratch/expected"
[[ -s $scratch/readme.c ]] || fail "the README has no block marked 'example: readme.c'"
[[ -s $scratch/expected ]] || fail "the README has no block marked 'output: readme.c'"
expected=$(cat "$scratch/expected")
cp "$scratch/readme.c" "$scratch/readme.cpp"

warnings=(-Wall -Wextra -Wno-missing-field-initializers -pedantic -Werror)
read -ra cflags <<<"$(pkg-config --cflags firn)"
read -ra libs <<<"$(pkg-config --libs firn)"
"$cc" -std=c11 "${warnings[@]}" "${cflags[@]}" "$scratch/readme.c" "${libs[@]}" -o "$scratch/pc-c"
"$cxx" -std=c++17 "${warnings[@]}" "${cflags[@]}" "$scratch/readme.cpp" "${libs[@]}" \
	-o "$scratch/pc-cxx"
export LD_LIBRARY_PATH=$lib_dir
check 'C11 by pkg-config' "$scratch/pc-c"
check 'C++17 by pkg-config' "$scratch/pc-cxx"
unset LD_LIBRARY_PATH

cat >"$scratch/CMakeLists.txt" <<-'END'
	cmake_minimum_required(VERSION 3.25)
	project(user C CXX)
	find_package(firn 0.1 REQUIRED)
	foreach(lang c cpp)
	  foreach(kind firn static)
	    add_executable(${lang}-${kind} readme.${lang})
	    target_compile_features(${lang}-${kind} PRIVATE c_std_11 cxx_std_17)
	    set_target_properties(${lang}-${kind} PROPERTIES C_EXTENSIONS OFF CXX_EXTENSIONS OFF)
	    target_link_libraries(${lang}-${kind} PRIVATE firn::${kind})
	  endforeach()
	endforeach()
END
cmake -S "$scratch" -B "$scratch/build" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_C_COMPILER="$cc" \
	-DCMAKE_CXX_COMPILER="$cxx" >"$scratch/cmake.log" 2>&1 ||
	fail "find_package failed: $(cat "$scratch/cmake.log")"
cmake --build "$scratch/build" >"$scratch/cmake.log" 2>&1 ||
	fail "building by find_package failed: $(cat "$scratch/cmake.log")"
check 'C11 by find_package, shared' "$scratch/build/c-firn"
check 'C11 by find_package, static' "$scratch/build/c-static"
check 'C++17 by find_package, shared' "$scratch/build/cpp-firn"
check 'C++17 by find_package, static' "$scratch/build/cpp-static"
