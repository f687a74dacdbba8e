#!/usr/bin/env bash
# The checker of histories finds each kind of wrong one, and lets a right one pass.
set -euo pipefail
python3 "$FIRN_SOURCE_DIR/tests/crash/history_check.py" --self-test
