#!/usr/bin/env bash
# The models: every state keeps the promises, and without any one of its rules some do not. About 50 s of CPU.
set -euo pipefail
export PYTHONDONTWRITEBYTECODE=1 # the source tree is not written to

check() {
	local model=$FIRN_SOURCE_DIR/tests/model/$1.py least=$2 rules rule out status
	python3 "$model"
	rules=$(python3 "$model" --rules | awk '{ print $1 }')
	[[ $(wc -w <<<"$rules") -ge $least ]]
	for rule in $rules; do
		status=0
		out=$(python3 "$model" "$rule") || status=$?
		if ((status != 1)) || ! grep -qE '^P[0-9]+: ' <<<"$out"; then
			echo "$1: without the rule $rule the model finds nothing:"
			echo "$out"
			exit 1
		fi
		echo "$1 without $rule: ${out%%;*}"
	done
}

check commit 8
check slots 10
check owner 10
