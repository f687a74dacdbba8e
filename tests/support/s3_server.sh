#!/usr/bin/env bash
# Runs a command beside a real S3 server that is gone when the command has ended.
#
#	tests/support/s3_server.sh minio COMMAND...       MinIO
#	tests/support/s3_server.sh versitygw COMMAND...   versitygw over a directory
#	tests/support/s3_server.sh --install              builds both, for later runs
#	tests/support/s3_server.sh --at-hand minio        0 if that needs neither a build nor a download
#	tests/support/s3_server.sh --mortal minio COMMAND...   a server of the command's own, which it may
#	tests/support/s3_server.sh --kill, --revive            kill -9, and bring back with its data, at its port
#
# With FIRN_TEST_S3_CERTS=DIR MinIO speaks TLS with DIR's public.crt and private.key, which are localhost's
# and firn.localhost's, and takes firn.localhost as well as localhost/firn.
#
# The command finds in its environment FIRN_TEST_S3_URI (an empty bucket; a query is there, so more
# parameters are added with &) and keys. The server listens on a loopback port that the kernel chose
# and keeps its data in a scratch directory; both go on every way out, also when this script is killed.
#
# MinIO is found in this order: FIRN_TEST_S3_URI, if it is set already (used as it is, with the
# environment's keys); `minio` on PATH; `go install` of the version below, kept in
# ${XDG_CACHE_HOME:-~/.cache}/firn-test; a container (docker or podman). versitygw: on PATH or by
# `go install`. Without any of them the script ends with 77, which CTest shows as not run; where CI is set, it fails.
set -euo pipefail

minio_module=github.com/minio/minio
minio_version=v0.0.0-20260212201848-7aac2a2c5b7c
minio_image=docker.io/minio/minio:latest
versitygw_module=github.com/versity/versitygw/cmd/versitygw
versitygw_version=v1.8.0
bucket=firn

die() {
	echo "s3_server: $*" >&2
	exit 1
}

# Go 1.21 and later fetch the toolchain that a module asks for; Debian 12's 1.19 does not.
go_command() {
	local go
	for go in go /usr/local/go/bin/go /usr/lib/go-1.2?/bin/go; do
		if command -v "$go" >/dev/null && "$go" version | grep -qE ' go1\.(2[1-9]|[3-9][0-9])'; then
			echo "$go"
			return
		fi
	done
}

# built NAME VERSION: where that program is, once it was built.
built() {
	echo "${XDG_CACHE_HOME:-$HOME/.cache}/firn-test/$1-$2/$1"
}

# installed NAME MODULE VERSION: the program's path, built if need be; nothing if it cannot be.
installed() {
	local dir go
	dir=$(dirname "$(built "$1" "$3")")
	mkdir -p "$dir"
	(
		# Two tests at once must not build twice.
		flock 9
		if [[ ! -x $dir/$1 ]]; then
			go=$(go_command)
			[[ -n $go ]] || exit 0
			echo "s3_server: building $1 $3, some minutes, once" >&2
			GOBIN=$dir GOFLAGS=-buildvcs=false "$go" install "$2@$3" >&2 || exit 0
		fi
		echo "$dir/$1"
	) 9>"$dir/lock"
}

find_server() {
	case $1 in
	minio) command -v minio || installed minio "$minio_module" "$minio_version" ;;
	versitygw) command -v versitygw || installed versitygw "$versitygw_module" "$versitygw_version" ;;
	esac
}

at_hand() {
	case $1 in
	minio) [[ -n ${FIRN_TEST_S3_URI-} ]] || command -v minio || [[ -x $(built minio "$minio_version") ]] ;;
	versitygw) command -v versitygw || [[ -x $(built versitygw "$versitygw_version") ]] ;;
	esac >/dev/null
}

free_port() {
	perl -MIO::Socket::INET -e '
		my $s = IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => 0, Listen => 1) or die;
		print $s->sockport'
}

# Anything but a refused connection or "not yet" (503) is an answer.
answers() {
	local status
	exec 8<>"/dev/tcp/127.0.0.1/$port" || return 1
	printf 'HEAD /%s HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n' "$bucket" >&8
	read -r _ status _ <&8 || true
	exec 8>&-
	[[ ${status:-503} != 503 ]]
} 2>/dev/null

start() {
	local kind=$1 program=$2
	# --pdeathsig: the server does not outlive this script, however it ends.
	case $kind in
	minio)
		local secure=()
		[[ -z ${FIRN_TEST_S3_CERTS-} ]] || secure=(--certs-dir "$FIRN_TEST_S3_CERTS")
		MINIO_ROOT_USER=$AWS_ACCESS_KEY_ID MINIO_ROOT_PASSWORD=$AWS_SECRET_ACCESS_KEY MINIO_BROWSER=off \
			MINIO_DOMAIN=${FIRN_TEST_S3_CERTS:+localhost} \
			setpriv --pdeathsig KILL "$program" server --quiet --address "127.0.0.1:$port" \
			"${secure[@]}" "$scratch/data" >"$scratch/log" 2>&1 9>&- &
		;;
	versitygw)
		ROOT_ACCESS_KEY=$AWS_ACCESS_KEY_ID ROOT_SECRET_KEY=$AWS_SECRET_ACCESS_KEY \
			setpriv --pdeathsig KILL "$program" --quiet --keep-alive --port "127.0.0.1:$port" \
			posix "$scratch/data" >"$scratch/log" 2>&1 &
		;;
	container)
		"$program" run --rm --name "firn-test-$port" -p "127.0.0.1:$port:9000" \
			-e MINIO_ROOT_USER="$AWS_ACCESS_KEY_ID" -e MINIO_ROOT_PASSWORD="$AWS_SECRET_ACCESS_KEY" \
			-v "$scratch/data:/data" "$minio_image" server /data >"$scratch/log" 2>&1 &
		;;
	esac
	pid=$!
	for ((i = 0; i < 600; i++)); do
		answers && return 0
		kill -0 "$pid" 2>/dev/null || return 1
		sleep 0.1
	done
	return 1
}

end() { # SIGNAL
	[[ -z ${container-} ]] || "$container" kill "firn-test-$port" >/dev/null 2>&1 || true
	if [[ -n ${pid-} ]]; then
		kill -s "$1" "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	fi
	pid=
}

stop() {
	end TERM
	rm -rf "$scratch"
}

# Makes the server what the command wants it to be: there, or not.
obey() {
	local want again
	want=$(cat "$scratch/want")
	if [[ $want == down ]]; then
		end KILL
		return
	fi
	for ((again = 0; !${#pid} && again < 100; again++)); do # somebody else may have its port for a moment
		start "$kind" "$program" || end KILL
	done
	((${#pid})) || kill "$command"
}

[[ $# -ge 1 ]] || die "usage: s3_server.sh [--mortal] minio|versitygw COMMAND... | --install | --at-hand minio|versitygw"
case $1 in
--at-hand)
	status=0
	at_hand "${2-}" || status=1
	exit "$status"
	;;
--kill | --revive)
	port=${FIRN_TEST_S3_URI##*:}
	if [[ $1 == --kill ]]; then echo down; else echo up; fi >"$FIRN_TEST_S3_WANT"
	while
		kill -USR1 "$FIRN_TEST_S3_KEEPER" || die "who keeps the server is gone"
		sleep 0.1
		if answers; then [[ $1 == --kill ]]; else [[ $1 == --revive ]]; fi
	do :; done
	exit
	;;
esac
mortal=0
if [[ $1 == --mortal ]]; then
	mortal=1
	shift
fi
if [[ $1 == --install ]]; then
	for kind in minio versitygw; do
		[[ -n $(find_server "$kind") ]] || die "no $kind on PATH and no Go 1.21 or later to build it with"
	done
	exit 0
fi
kind=$1
shift
[[ $kind == minio || $kind == versitygw ]] || die "no server is called $kind"
(($#)) || die "no command"

if [[ $kind == minio && -n ${FIRN_TEST_S3_URI-} && -z ${FIRN_TEST_S3_CERTS-} ]] && ((!mortal)); then
	exec "$@"
fi
program=$(find_server "$kind")
if [[ -z $program && $kind == minio ]]; then
	for runtime in podman docker; do
		if "$runtime" info >/dev/null 2>&1; then
			container=$runtime program=$runtime kind=container
			break
		fi
	done
fi
if [[ -z $program ]]; then
	echo "not run: no S3 server. Any of these will do: FIRN_TEST_S3_URI with keys in the environment;" \
		"minio on PATH (for versitygw: versitygw); Go 1.21 or later to build it with; a container" \
		"runtime (MinIO only)" >&2
	# CI must have one; elsewhere CTest says "did not run".
	[[ -z ${CI-} ]] || exit 1
	exit 77
fi

scratch=$(mktemp -d)
trap stop EXIT
trap 'exit 129' HUP INT TERM
mkdir -p "$scratch/data/$bucket"
export AWS_ACCESS_KEY_ID=firn-test AWS_SECRET_ACCESS_KEY=firn-test-secret AWS_EC2_METADATA_DISABLED=true
export AWS_SHARED_CREDENTIALS_FILE=/dev/null AWS_CONFIG_FILE=/dev/null
unset AWS_SESSION_TOKEN AWS_PROFILE

# Between asking for a port and using it another may take it: once more, then.
for attempt in 1 2 3 4 5; do
	port=$(free_port)
	start "$kind" "$program" && break
	((attempt < 5)) || die "$kind does not start: $(tail -5 "$scratch/log")"
	kill "$pid" 2>/dev/null || true
	wait "$pid" 2>/dev/null || true
done
FIRN_TEST_S3_URI="s3://$bucket?endpoint=http://127.0.0.1:$port"
[[ -z ${FIRN_TEST_S3_CERTS-} ]] || FIRN_TEST_S3_URI="s3://$bucket?endpoint=https://localhost:$port"
export FIRN_TEST_S3_URI
status=0
if ((!mortal)); then
	export FIRN_TEST_S3_PID=$pid
	"$@" || status=$?
	exit "$status"
fi
export FIRN_TEST_S3_WANT=$scratch/want FIRN_TEST_S3_KEEPER=$$
"$@" <&0 &
command=$!
trap 'kill "$command" 2>/dev/null || true; exit 129' HUP INT TERM
# A signal that comes when nobody waits is sent again.
trap : USR1
while kill -0 "$command" 2>/dev/null; do
	wait "$command" || true
	[[ ! -e $scratch/want ]] || obey
done 2>/dev/null
wait "$command" || status=$?
exit "$status"
