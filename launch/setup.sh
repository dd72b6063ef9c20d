#!/usr/bin/env bash
# Makes the virtual environment .venv from pyproject.toml, once, and again when pyproject.toml changes.
# Usage: bash launch/setup.sh EXTRAS        EXTRAS: test, cuda13, ..., or none; PYTHON: the interpreter to use (default python3)
# DRY_RUN=1 prints what would be done.
set -euo pipefail
cd "$(dirname "$0")/.."
extras=${1:-}
python=${PYTHON:-python3}
run() { if [ "${DRY_RUN:-0}" = 1 ]; then echo "would run: $*"; else "$@"; fi; }

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || {
  found=$("$python" --version 2>&1) && found="$found is too old" || found="no Python at $python"
  echo "error: $found; set PYTHON to a Python 3.11 or newer" >&2
  exit 2
}
wanted="$extras $("$python" --version) $(cksum < pyproject.toml)"
stamp=.venv/installed-${extras:-none}
if [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then exit 0; fi
run "$python" -m venv .venv
run .venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".${extras:+[$extras]}"
if [ "${DRY_RUN:-0}" != 1 ]; then echo "$wanted" > "$stamp"; fi
