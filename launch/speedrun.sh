#!/usr/bin/env bash
# FER2013 from scratch in the least time, seed after seed, and the share of seeds that reach the mark.
# Prepare the data first: expressnet prepare fer2013 --source fer2013.csv
# FORM: gpu or cpu (default gpu). SEEDS: how many (default 10). MARK: the accuracy to reach (default 0.70).
# WORKDIR: where the runs go (default runs/speedrun). DRY_RUN=1 prints what would be done; arguments go to each run.
set -euo pipefail
cd "$(dirname "$0")/.."
bash launch/setup.sh
workdir=${WORKDIR:-runs/speedrun}
run() { if [ "${DRY_RUN:-0}" = 1 ]; then echo "would run: $*"; else "$@"; fi; }
runs=()
for ((seed = 0; seed < ${SEEDS:-10}; seed++)); do
  runs+=("$workdir/$seed")
  run .venv/bin/python -m expressnet_jax.main --config "configs/speedrun_fer2013.py:${FORM:-gpu}" --config.seed="$seed" \
    --workdir "$workdir/$seed" "$@"
done
run .venv/bin/expressnet summary "${runs[@]}" --mark "${MARK:-0.70}" --json "$workdir/summary.json"
