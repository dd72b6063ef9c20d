#!/usr/bin/env bash
# The whole check: sets itself up, then formatting, lint, types and tests. Arguments go to pytest (-k NAME, -x, ...);
# -m fast runs the fast tier. The tiers are fast, slow (compiles networks), process (starts other processes) and browser;
# tests/tiers.py has the table. -m torch runs what compares with PyTorch, and first installs it, without CUDA, with
# torchvision and timm; TORCH is another version or wheel of it.
# DRY_RUN=1 prints what would be done.
set -euo pipefail
cd "$(dirname "$0")/.."
bash launch/setup.sh test
run() { if [ "${DRY_RUN:-0}" = 1 ]; then echo "would run: $*"; else "$@"; fi; }
if [[ " $* " =~ \ -m[\ =]?[^-]*torch ]] && ! .venv/bin/python -c "import torch" 2> /dev/null; then
  run .venv/bin/python -m pip install --quiet --disable-pip-version-check --retries 1 \
    --extra-index-url https://download.pytorch.org/whl/cpu torchvision timm "${TORCH:-torch}"
fi
run .venv/bin/ruff format --check .
run .venv/bin/ruff check .
run .venv/bin/python -m mypy
# One process a core, four at most: the time goes into compiling, which takes one core whatever it compiles.
run .venv/bin/python -m pytest -n logical --maxprocesses 4 --dist loadfile "$@"
