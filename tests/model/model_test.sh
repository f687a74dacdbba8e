#!/usr/bin/env bash
# The model of recovery and commit: every state keeps the promises, and without any one of its rules some do not.
set -euo pipefail
model=$FIRN_SOURCE_DIR/tests/model/commit.py

python3 "$model"
rules=$(python3 "$model" --rules | awk '{ print $1 }')
[[ $(wc -w <<<"$rules") -ge 8 ]]
for rule in $rules; do
	status=0
	out=$(python3 "$model" "$rule") || status=$?
	if ((status != 1)) || ! grep -qE '^P[0-9]+: ' <<<"$out"; then
		echo "without the rule $rule the model finds nothing:"
		echo "$out"
		exit 1
	fi
	echo "without $rule: ${out%%;*}"
done
