#!/usr/bin/env bash
# From a clone to a trained, evaluated, exported model: sets itself up, generates faces, trains, reports, exports.
# WORKDIR: where the result goes (default runs/quickstart). DRY_RUN=1 prints what would be done.
set -euo pipefail
cd "$(dirname "$0")/.."
bash launch/setup.sh
command=(.venv/bin/python -m expressnet_jax.main --config configs/quickstart.py --workdir "${WORKDIR:-runs/quickstart}" "$@")
if [ "${DRY_RUN:-0}" = 1 ]; then echo "would run: ${command[*]}"; exit 0; fi
exec "${command[@]}"
