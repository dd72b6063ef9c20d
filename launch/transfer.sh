#!/usr/bin/env bash
# The figures on transfer in configs/README.md and expressnet_jax/adaptation/README.md: adaptation from FER2013 and
# FER+ to LFW and between drawing styles; identities first, then expressions, with and without. What is finished is
# kept, so it resumes where it was stopped.
# Prepare fer2013, ferplus, lfw_expression, and `identity --name people` on the same LFW folder first. SOURCE: a run on
# FER2013 (default runs/fer2013). TINY: one of configs/ferplus_heads.py:tiny (default runs/tiny). WORKDIR: where the runs
# go (default runs/transfer). SEEDS: default 3. DRY_RUN=1 only prints.
set -euo pipefail
cd "$(dirname "$0")/.."
bash launch/setup.sh
source=${SOURCE:-runs/fer2013}
tiny=${TINY:-runs/tiny}
workdir=${WORKDIR:-runs/transfer}
seeds=${SEEDS:-3}
run() { if [ "${DRY_RUN:-0}" = 1 ]; then echo "would run: $*"; else "$@"; fi; }
main() { run .venv/bin/python -m expressnet_jax.main "$@"; }
harness() { run .venv/bin/expressnet adapt-bench --workdir "$workdir/adapt" --seeds "$seeds" "$@"; }

run .venv/bin/expressnet prepare synthetic --option style=b --name synthetic_b
main --config configs/quickstart.py --workdir "$workdir/synthetic" --config.export=
harness --source synthetic --targets synthetic_b --init_from "$workdir/synthetic" --set train.epochs=2.0
harness --source fer2013 --targets lfw_expression --init_from "$source" --set train.epochs=0.2
harness --source ferplus --targets lfw_expression --init_from "$tiny" --set train.epochs=0.3 \
  --workdir "$workdir/adapt_ferplus" --methods source_only,adabn,tent,mmd,cdan,mcc,shot,self_training

main --config configs/pretrain_identity.py --workdir "$workdir/identity" --config.model.name=expressnet_tiny
for ((seed = 0; seed < seeds; seed++)); do
  tiny=(--config.model.name=expressnet_tiny --config.train.epochs=2.0 --config.seed="$seed")
  main --config configs/finetune_fer2013.py --workdir "$workdir/fer2013_after_identity_$seed" "${tiny[@]}" \
    --config.init_from="$workdir/identity"
  main --config configs/finetune_fer2013.py --workdir "$workdir/fer2013_afresh_$seed" "${tiny[@]}" \
    --config.optimizer.freeze_epochs=0.0 --config.optimizer.layer_decay=1.0
done
for start in after_identity afresh; do
  runs=()
  for ((seed = 0; seed < seeds; seed++)); do runs+=("$workdir/fer2013_${start}_$seed"); done
  run .venv/bin/expressnet summary "${runs[@]}" --json "$workdir/fer2013_$start.json"
done
