#!/usr/bin/env bash
# The command as a user meets it: exit codes, help, round trips, restarts, JSON, refusals. (P6)
set -euo pipefail
export LC_ALL=C

firn=$FIRN_BIN_DIR/firn
command -v jq >/dev/null || {
	echo "jq is missing: apt-get install jq" >&2
	exit 1
}
scratch=$(mktemp -d)
cd "$scratch"
background=
trap '[[ -z $background ]] || kill -9 $background 2>/dev/null || true; rm -rf "$scratch"' EXIT
store=file://$scratch/store
small=(--wal-size 64M)
n=0

fail() {
	echo "FAIL: $*" >&2
	for f in out err; do
		[[ -s $f ]] && sed "s/^/  $f: /" "$f" >&2
	done
	exit 1
}
# expect CODE COMMAND...: runs it, keeps its output in out and err, wants that exit code.
expect() {
	local want=$1 got=0
	shift
	"$@" >out 2>err || got=$?
	n=$((n + 1))
	[[ $got == "$want" ]] || fail "exit code $got, not $want: $*"
}
# says FILE PATTERN
says() { grep -qE -- "$2" "$1" || fail "no /$2/ in $1"; }
same() { cmp "$1" "$2" || fail "$1 and $2 differ"; }
# at DIR VOLUME: the options that say where.
at() { where=(--dir "$scratch/$1" --store "$store" --volume "$2" "${small[@]}"); }

# ---- usage

expect 0 "$firn" --version
says out '^firn [0-9]+\.[0-9]+\.[0-9]+$'
expect 2 "$firn"
expect 2 "$firn" nonsense
says err 'no command `nonsense'
expect 2 "$firn" volume
expect 2 "$firn" volume nonsense
expect 0 "$firn" volume --help
expect 0 "$firn" help
says out '^Commands:'
expect 0 "$firn" help volume drain
says out '^Examples:'
expect 0 "$firn" help volume
says out 'volume drain'
expect 2 "$firn" help nonsense
for command in 'volume create' 'volume list' 'volume info' 'volume drain' 'stream create' \
	'stream list' 'stream info' 'stream delete' 'stream trim' append read import drain salvage verify gc \
	'rebuild index' 'rebuild manifest' 'dump wal' 'dump segment' 'dump manifest' 'dump index' doctor; do
	# shellcheck disable=SC2086
	expect 0 "$firn" $command --help
	says out '^Examples:'
	# shellcheck disable=SC2086
	expect 2 "$firn" $command --no-such-option
	if [[ $command != 'dump wal' && $command != 'dump segment' ]]; then
		# shellcheck disable=SC2086
		expect 2 "$firn" $command
	fi
done
at a v
expect 2 "$firn" append "${where[@]}"
says err 'give --stream NAME or --key-field N'
expect 2 "$firn" append "${where[@]}" --stream s --window 0
expect 2 "$firn" append "${where[@]}" --stream s --wal-size many
expect 2 "$firn" append "${where[@]}" --stream s --option nonsense
expect 0 "$firn" append --option help
says out '^wal_io'
expect 2 "$firn" append --dir "$scratch/a" --store nonsense://x --volume v --stream s
expect 2 "$firn" append "${where[@]}" --stream s no-such-file
says err 'no-such-file: No such file'

# ---- not there

expect 1 "$firn" volume info --store "$store" --volume none
says err 'no (volume|store)'
expect 1 "$firn" volume list --store "file://$scratch/nowhere"
[[ ! -e $scratch/nowhere ]] || fail "looking made the store's directory"
at a none
expect 1 "$firn" read "${where[@]}" --all
says err 'next: '
expect 2 "$firn" verify --dir "$scratch/nowhere"
expect 2 "$firn" doctor --dir "$scratch/nowhere"

# ---- volumes

at a v
expect 0 "$firn" volume create "${where[@]}"
expect 1 "$firn" volume create "${where[@]}"
says err 'already'
expect 0 "$firn" volume list --store "$store"
says out '^clean .* v$'
expect 0 "$firn" volume list --store "$store" --json
jq -e 'length == 1 and .[0].name == "v" and .[0].state == "clean"' out >/dev/null || fail "JSON"
expect 0 "$firn" volume info --store "$store" --volume v
says out '^v: clean'
expect 0 "$firn" volume info --store "$store" --volume v --json
jq -e '.epoch >= 1 and .segments == 0' out >/dev/null || fail "JSON"

# ---- lines: out comes what went in, awkward bytes too

printf 'one\n\ntwo words\nlast \xff\xfe byte\nnul \0 inside\ntab\tand "quote" \\ \n' >lines
expect 0 "$firn" append "${where[@]}" --stream s lines
says out '^6 records'
expect 0 "$firn" read "${where[@]}" --stream s
same lines out
expect 0 "$firn" read "${where[@]}" --stream s --from 2 --max 1 --offsets
printf 's\t2\ttwo words\n' >want
same want out
expect 0 "$firn" read "${where[@]}" --stream s --json
jq -es 'length == 6 and .[0].data == "one" and .[2].offset == 2
	and (.[3].data_base64 | @base64d | startswith("last "))
	and .[5].data == "tab\tand \"quote\" \\ "' out >/dev/null || fail "JSON"
expect 1 "$firn" read "${where[@]}" --stream none
says err 'none'
expect 1 "$firn" read "${where[@]}" --stream s --from 7
expect 0 "$firn" read "${where[@]}" --stream s --from 6
[[ ! -s out ]] || fail "something beyond the end"

# acks: each line's offset, in order; standard input; the last line without a newline counts
printf 'seven\neight' | expect 0 "$firn" append "${where[@]}" --stream s --acks
printf 's 6\ns 7\n' >want
same want out
printf 'nine\n' | expect 0 "$firn" append "${where[@]}" --stream s --acks --json
jq -es '.[0] == {stream: "s", offset: 8} and .[1].appended == 1' out >/dev/null || fail "JSON"
# resume: what the stream holds of the input is left out
head -n 3 lines | expect 0 "$firn" append "${where[@]}" --stream half
expect 0 "$firn" append "${where[@]}" --stream half --resume --json lines
jq -es '.[0].records == 3 and .[0].end == 3 and .[0].attached_ms > 0 and .[1].appended == 3
	and .[1].first_ack_ms > .[0].attached_ms' out >/dev/null || fail "JSON"
expect 0 "$firn" append "${where[@]}" --stream half --resume lines
says err '^half: 6 records, goes on at 6; epoch'
expect 0 "$firn" read "${where[@]}" --stream half
same lines out
expect 2 "$firn" append "${where[@]}" --key-field 1 --resume lines
# an ack comes while the input waits for it
mkfifo line ack
"$firn" append "${where[@]}" --stream s --acks --window 1 <line >ack 2>err &
background=$!
exec 5>line 6<ack
echo ten >&5
read -r -t 60 -u 6 answer || fail "no ack while the input waits"
[[ $answer == 's 9' ]] || fail "ack: $answer"
exec 5>&-
wait "$background" || fail "append from a pipe"
background=
exec 6<&-

# ---- batches

printf '\3\0\0\0abc\0\0\0\0\5\0\0\0a\nb\0c' >batches
expect 0 "$firn" append "${where[@]}" --stream b --batches batches
expect 0 "$firn" read "${where[@]}" --stream b --batches
same batches out
printf '\3\0\0\0ab' >short
expect 1 "$firn" append "${where[@]}" --stream b --batches short
says err 'record 1: the input ends inside'

# ---- a key is a stream; several streams through one reader

printf 'x,red,1\ny,green,2\nz,red,3\n' >rows
expect 0 "$firn" append "${where[@]}" --key-field 2 --delimiter , rows
expect 0 "$firn" read "${where[@]}" --stream red
printf 'x,red,1\nz,red,3\n' >want
same want out
expect 0 "$firn" read "${where[@]}" --stream red --stream green --offsets
sort out >sorted
printf 'green\t0\ty,green,2\nred\t0\tx,red,1\nred\t1\tz,red,3\n' >want
same want sorted
printf 'only\n' >poor
expect 1 "$firn" append "${where[@]}" --key-field 2 --delimiter , poor
says err 'line 1 has no field 2'

# ---- time

before=$(date +%s%3N)
sleep 0.05
printf 'later\n' | expect 0 "$firn" append "${where[@]}" --stream red
expect 0 "$firn" read "${where[@]}" --stream red --since "$before"
printf 'later\n' >want
same want out
expect 0 "$firn" read "${where[@]}" --stream red --since 2001-01-01T00:00:00Z --max 1
printf 'x,red,1\n' >want
same want out
expect 0 "$firn" read "${where[@]}" --stream red --since 2999-01-01T00:00:00+02:00
[[ ! -s out ]] || fail "something from the future"
expect 2 "$firn" read "${where[@]}" --stream red --since yesterday

# ---- streams

expect 0 "$firn" stream create "${where[@]}" made --at 1000 --retention 1h --compression none
expect 1 "$firn" stream create "${where[@]}" made
printf 'first\n' | expect 0 "$firn" append "${where[@]}" --stream made --acks
says out '^made 1000$'
expect 0 "$firn" stream list "${where[@]}"
says out ' red$'
expect 0 "$firn" stream list "${where[@]}" --prefix re --json
jq -e 'length == 1 and .[0].name == "red" and .[0].durable == 3' out >/dev/null || fail "JSON"
expect 0 "$firn" stream info "${where[@]}" made
says out 'offsets +1000 to 1001'
expect 1 "$firn" stream info "${where[@]}" none
expect 0 "$firn" stream trim "${where[@]}" red --before 2
expect 0 "$firn" read "${where[@]}" --stream red --offsets
printf 'red\t2\tlater\n' >want
same want out
expect 1 "$firn" stream trim "${where[@]}" red --before 99
expect 0 "$firn" stream delete "${where[@]}" green
expect 1 "$firn" read "${where[@]}" --stream green
expect 1 "$firn" stream delete "${where[@]}" green

# ---- in use: refused, with the holder's number

mkfifo hold
"$firn" append "${where[@]}" --stream s --acks <hold >held 2>&1 &
background=$!
exec 5>hold
echo eleven >&5
for ((i = 0; i < 600; i++)); do
	[[ -s held ]] && break
	sleep 0.1
done
for command in verify doctor 'dump index'; do
	# shellcheck disable=SC2086
	expect 2 "$firn" $command --dir "$scratch/a"
	says err "process $background"
done
expect 2 "$firn" read "${where[@]}" --stream s
says err 'FIRN_EBUSY'
exec 5>&-
wait "$background" || fail "the holder"
background=

# ---- follow

"$firn" read "${where[@]}" --stream s --follow --from 10 --max 1 >followed 2>err ||
	fail "follow to a record that is there"
says followed '^eleven$'

# ---- the volume in the store, and elsewhere

expect 0 "$firn" doctor --dir "$scratch/a"
says out 'safe on this disk'
says out 'Not stored: writes'
says out '[0-9a-f]{16}\.wal'
expect 0 "$firn" doctor --dir "$scratch/a" --json
jq -e '.volumes[0] | .safe and .only_on_this_disk and .unstored_writes > 0' out >/dev/null ||
	fail "JSON"
# who sees the store alone is not told that all is well
expect 0 "$firn" doctor --store "$store" --volume v
says out 'v: safe with the directory of its engine$'
expect 2 "$firn" doctor --store "fault:outage=0+3600000:$store?deadline_ms=100" --volume v
says out 'v: not known$'
at b v
expect 1 "$firn" read "${where[@]}" --stream s
says err 'FIRN_ELOST'
says err 'takeover abandon'
at a v
expect 0 "$firn" read "${where[@]}" --stream s
cp out before
expect 0 "$firn" volume drain "${where[@]}"
expect 0 "$firn" doctor --dir "$scratch/a"
says out ': safe$'
at b v
expect 0 "$firn" read "${where[@]}" --stream s
same before out
expect 0 "$firn" read "${where[@]}" --all --split split
same before split/s
at a v
expect 0 "$firn" read "${where[@]}" --stream s
same before out

# ---- a store that goes away and comes back under a command that runs for long

away=$scratch/away.store
# tells FILE PATTERN: comes to say so while lines come in
tells() {
	until grep -qE -- "$2" "$1"; do
		kill -0 "$background" 2>/dev/null || fail "it ended, and $1 has no /$2/"
		echo line >&5
		sleep 0.02
	done
}
mkfifo drip
: >out
: >err
"$firn" append --dir "$scratch/w" --volume w "${small[@]}" --stream s --acks --upload-interval 50ms \
	--store "fault:outage_while=$away:$store?deadline_ms=100" <drip >out 2>err &
background=$!
exec 5>drip
tells out '^s 0$'
touch "$away"
tells err '^firn append: w: .*outage'
rm "$away"
tells err '^firn append: w: the store answers again$'
exec 5>&-
wait "$background" || fail "an append through an outage"
background=

# ---- a directory that was copied, or moved; a look without taking over

at m moved
echo one | expect 0 "$firn" append "${where[@]}" --stream s
cp -r m m2
at m2 moved
expect 1 "$firn" read "${where[@]}" --stream s
says err 'FIRN_ELOST'
expect 0 "$firn" read "${where[@]}" --stream s --takeover moved
says out '^one$'
at m moved
expect 1 "$firn" read "${where[@]}" --stream s
expect 0 "$firn" doctor --dir "$scratch/m"
says out 'Another engine .* has it now'
expect 2 "$firn" read "${where[@]}" --stream s --takeover steal
at look moved
expect 1 "$firn" read "${where[@]}" --stream s --read-only
at m2 moved
expect 0 "$firn" volume drain "${where[@]}"
at look moved
expect 0 "$firn" read "${where[@]}" --stream s --read-only
says out '^one$'
# and one that follows whoever writes
"$firn" read "${where[@]}" --stream s --read-only --follow --max 2 >followed 2>&1 &
background=$!
at m2 moved
echo two | expect 0 "$firn" append "${where[@]}" --stream s
expect 0 "$firn" volume drain "${where[@]}"
wait $background || fail "a follower: $(cat followed)"
[[ $(<followed) == $'one\ntwo' ]] || fail "followed: $(cat followed)"
background=
at look moved

# ---- a directory that is given up: all its volumes, in all stores

echo a | expect 0 "$firn" append -d d "${small[@]}" -s "$store" -v d1 --stream s
echo b | expect 0 "$firn" append -d d "${small[@]}" -s "$store" -v d2 --stream s
echo c | expect 0 "$firn" append -d d "${small[@]}" -s "$store-2" -v d3 --stream s
cp -r d d-moved && rm -r d
expect 1 "$firn" drain -d d-moved "${small[@]}"
says err 'takeover=moved'
says err '3 of 3 volumes could not be stored'
mv "$scratch/store-2" gone
expect 1 "$firn" drain -d d-moved "${small[@]}" --takeover moved --json
jq -e 'map(.state) == ["stored", "stored", "left"]' out >/dev/null || fail "states of a drain"
rm -rf "$scratch/store-2" && mv gone "$scratch/store-2"
expect 0 "$firn" drain -d d-moved "${small[@]}" --takeover moved
says out '^d3 is stored'
says out 'nothing is left'
expect 0 "$firn" drain -d d-moved "${small[@]}"
for volume in d1 d2; do
	expect 0 "$firn" read -d look "${small[@]}" -s "$store" -v $volume --stream s
done
says out '^b$'
expect 2 "$firn" drain -d look-nowhere
expect 0 "$firn" stream list "${where[@]}" --read-only --json
jq -e 'length == 1 and .[0].stored == 2' out >/dev/null || fail "JSON"
at m2 moved
expect 0 "$firn" read "${where[@]}" --stream s

# ---- import: again, after it grew, by key

mkdir rooms
awk -v seed=3 -v rooms=5 -v lines=300 -v dir=rooms -f "$FIRN_SOURCE_DIR/samples/chat.awk"
total=$(cat rooms/* | wc -l)
at i chat
expect 0 "$firn" import "${where[@]}" rooms --json
jq -e ".added == $total and .known == 0 and .files == 5 and .complete" out >/dev/null || fail "JSON"
expect 0 "$firn" import "${where[@]}" rooms --json
jq -e ".added == 0 and .known == $total" out >/dev/null || fail "imported twice"
for room in rooms/*; do
	echo 'one more' >>"$room"
done
expect 0 "$firn" import "${where[@]}" rooms --acks acks --drain --segment-size 64K --json
jq -e ".added == 5 and .known == $total" out >/dev/null || fail "JSON"
awk 'NF != 3 || $2 != $3 - 1 { exit 1 }' acks || fail "acks"
[[ $(wc -l <acks) == 5 ]] || fail "number of acks"
expect 0 "$firn" read "${where[@]}" --all --split got --readers 2
for room in rooms/*; do
	same "$room" "got/1/${room#rooms/}"
	same "$room" "got/2/${room#rooms/}"
done
expect 0 "$firn" import "${where[@]}" rows --key-column 2 --delimiter , --json
jq -e '.added == 3 and .streams == 2' out >/dev/null || fail "JSON"
expect 0 "$firn" import "${where[@]}" rows --key-column 2 --delimiter , --json
jq -e '.added == 0 and .known == 3' out >/dev/null || fail "JSON"
mkdir empty
expect 1 "$firn" import "${where[@]}" empty

# ---- verify and dump: sound, then one bit flipped in each kind of file

expect 0 "$firn" volume drain "${where[@]}"
expect 0 "$firn" verify --dir "$scratch/i"
says out '^volume +ok: chat'
expect 0 "$firn" verify --dir "$scratch/i" --store "$store" --volume chat --json
jq -e '.ok and .wal.ok and .index.ok and (.problems | length == 0)' out >/dev/null || fail "JSON"
wal=$(find i/wal -name '*.wal' | sort | head -n 1)
segment=$(find store/chat/seg -type f -printf '%s %p\n' | sort -n | tail -n 1 | cut -d' ' -f2-)
expect 0 "$firn" dump wal "$wal"
[[ $(wc -l <out) -gt 10 ]] || fail "a short dump"
expect 0 "$firn" dump segment "$segment"
expect 0 "$firn" dump segment --store "$store" --volume chat "${segment#store/chat/}"
expect 0 "$firn" dump manifest --store "$store" --volume chat
expect 0 "$firn" dump manifest store/chat/manifest --json
jq -e 'length > 5' out >/dev/null || fail "JSON"
expect 0 "$firn" dump index --dir "$scratch/i"

# flip FILE POS: turns over one bit
flip() {
	local byte
	byte=$(od -An -tu1 -j "$2" -N 1 "$1" | tr -d ' ')
	# shellcheck disable=SC2059
	printf "$(printf '\\%03o' $((byte ^ 16)))" |
		dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}
# damaged FILE POS WORD: verify names it, and is content again when the bit is back
damaged() {
	flip "$1" "$2"
	expect 1 "$firn" verify --dir "$scratch/i" --store "$store" --volume chat
	says out "^DAMAGED: .*$3"
	flip "$1" "$2"
}
size=$(stat -c %s "$segment")
for pos in 5 $((size / 3)) $((size / 2)) $((size - 600)) $((size - 3)); do
	damaged "$segment" "$pos" "${segment#store/chat/}"
done
damaged store/chat/manifest 40 manifest
damaged "$wal" 20 "$(basename "$wal")"
damaged "$wal" 4200 "$(basename "$wal")"
# Where the index has the name of a stream, one of the copies is read.
name=$(basename rooms/*_*-1.log)
positions=$(grep -abo -- "$name" i/index/data.mdb | cut -d: -f1)
[[ -n $positions ]] || fail "no stream name in the index"
for pos in $positions; do
	flip i/index/data.mdb "$pos"
done
expect 1 "$firn" verify --dir "$scratch/i" --store "$store" --volume chat
says out '^DAMAGED: index: '
for pos in $positions; do
	flip i/index/data.mdb "$pos"
done
mv "$segment" away
expect 1 "$firn" verify --store "$store" --volume chat
says out "^DAMAGED: .*${segment#store/chat/}"
mv away "$segment"
expect 0 "$firn" verify --dir "$scratch/i" --store "$store" --volume chat

# ---- salvage: of what was given up only (tests/integration/salvage_test.c has the rest)

expect 2 "$firn" salvage "${where[@]}"
says err 'from is missing'
expect 1 "$firn" salvage --from d-moved --dir own --store "$store" --volume d1 "${small[@]}"
says err 'nothing of it was given up'
expect 2 "$firn" salvage --from look-nowhere --dir own --store "$store" --volume d1 "${small[@]}"

# The doctor knows which directory has the only copy of what was given up.
at g given
echo one | expect 0 "$firn" append "${where[@]}" --stream s --drain
echo two | expect 0 "$firn" append "${where[@]}" --stream s
expect 0 "$firn" rebuild manifest --replace --store "$store" --volume given
expect 1 "$firn" doctor --dir "$scratch/g"
says out 'IN DANGER'
says out 'firn salvage --from'
expect 0 "$firn" salvage --from g --dir own --store "$store" --volume given "${small[@]}"
expect 0 "$firn" read --dir own --store "$store" --volume given "${small[@]}" --stream s
[[ $(<out) == $'one\ntwo' ]] || fail "what was put back"

# ---- gc: what would go

expect 2 "$firn" gc --store "$store" --volume chat
says err 'give --dry-run'
expect 2 "$firn" gc --dry-run "${where[@]}"
expect 1 "$firn" gc --dry-run --store "$store" --volume nowhere
expect 0 "$firn" gc --dry-run --store "$store" --volume chat
says out '^chat: 0 objects '
cp "$segment" store/chat/seg/copy
expect 0 "$firn" gc --dry-run --store "$store" --volume chat
says out '^foreign .* chat/seg/copy$'
expect 0 "$firn" gc --dry-run --store "$store" --volume chat --json
jq -e '.objects == [{key: "chat/seg/copy", bytes: .objects[0].bytes, why: "foreign", goes: false, since: null}] and
	.foreign == 1 and .orphan == 0 and .named > 0' out >/dev/null || fail "JSON"
rm store/chat/seg/copy
mv "$segment" away
expect 1 "$firn" gc --dry-run --store "$store" --volume chat
says err 'firn verify'
mv away "$segment"

mv store/chat/manifest away
expect 1 "$firn" doctor --dir "$scratch/i"
says out 'IN DANGER'
mv away store/chat/manifest

# ---- kill -9 and a restart of the import

awk -v seed=4 -v rooms=8 -v lines=6000 -v dir=rooms -f "$FIRN_SOURCE_DIR/samples/chat.awk"
total=$(cat rooms/* | wc -l)
at k chat2
for ((round = 1; round <= 3; round++)); do
	rm -f acks
	"$firn" import "${where[@]}" rooms --acks acks --window 2 >/dev/null 2>&1 &
	background=$!
	while kill -0 "$background" 2>/dev/null && [[ ! -s acks ]]; do
		sleep 0.02
	done
	kill -9 "$background" 2>/dev/null || true
	wait "$background" 2>/dev/null || true
	background=
done
expect 0 "$firn" import "${where[@]}" rooms --json
jq -e ".added + .known == $total" out >/dev/null || fail "JSON"
expect 0 "$firn" read "${where[@]}" --all --split again
for room in rooms/*; do
	same "$room" "again/${room#rooms/}"
done
expect 0 "$firn" verify --dir "$scratch/k"

# ---- few open files: no tool takes that for damage, and none looks where it cannot lock

at l chat3
expect 0 "$firn" append "${where[@]}" --stream s rooms/*
expect 0 "$firn" verify --dir "$scratch/l"
says out '^volume +ok: chat3'
for ((files = 4; files < 20; files++)); do
	code=0
	(ulimit -n "$files" && exec "$firn" verify --dir "$scratch/l") >out 2>err || code=$?
	n=$((n + 1))
	[[ $code != 1 ]] && ! grep -q DAMAGED out || fail "damage, with $files files"
	[[ $code != 0 ]] || says out '^volume +ok: chat3'
done

echo "$n commands behaved"
