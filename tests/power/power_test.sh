#!/usr/bin/env bash
# Real power cuts: the engine on a file system on a loop device on a disk that forgets what was not
# flushed (platter.h). First the disk itself is tried, and what reads after a failed flush; then what was acked is there (P1), dense (P2),
# unchanged (P3), and one cut for an engine elsewhere (P10): both ways of writing the WAL, and the third
# that btrfs takes. Then the same loop must find the loss when the flush, or that of the directory, is
# taken away; last, what another log loses.
#
#	FIRN_CUTS   how many cuts in all, roughly (100); CI makes hundreds
#	FIRN_SEED   which ones (1); moments differ from run to run all the same
#	CI          set: a machine that cannot do this fails; else it says so and ends with 77
set -euo pipefail

cuts=${FIRN_CUTS-100}
seed=${FIRN_SEED-1}
tests=$FIRN_BUILD_DIR/tests
cannot=0

# try PROGRAM ARGUMENT...
try() {
	local status=0
	"$tests/power-$1" "${@:2}" || status=$?
	if ((status == 77)); then
		cannot=1
	elif ((status != 0)); then
		echo "FAILED: power-$*" >&2
		exit 1
	fi
}

for fs in ext4 ext4-4k xfs btrfs; do
	try selftest "$fs"
	((!cannot)) || exit 77
	try flush "$fs"
done

each=$((cuts / 8))
# The n-th loop with the n-th seed.
loop() {
	try power "$1" "$2" $((seed++)) "${@:3}"
}
loop ext4 "$each" uring outside
loop ext4 "$each" pwrite inside
loop ext4-4k "$each" uring inside
loop xfs "$each" uring outside
loop xfs "$each" pwrite inside
loop btrfs "$each" uring inside

loop ext4 40 uring outside no-flush
loop xfs 40 pwrite outside no-flush
loop ext4 40 uring outside no-dir-sync

try peers ext4 $((cuts / 16)) "$seed"
