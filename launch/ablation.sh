#!/usr/bin/env bash
# What each part of ExpressNet and of its training is worth: expressnet_tiny under the recipe of configs/zoo.py with one
# thing changed at a time, every seed of all of them, and the table of configs/README.md from that. What is finished is
# kept, so it resumes where it was stopped. Prepare fer2013 and run `expressnet audit fer2013` first.
# WORKDIR: where the runs go (default runs/ablation). SEEDS: default "0 1 2". OUT: the table's JSON, by default among the
# figures of the configs. Arguments go to every run, such as --config.train.epochs=30: then set OUT, too.
# DRY_RUN=1 only prints.
set -euo pipefail
cd "$(dirname "$0")/.."
bash launch/setup.sh
workdir=${WORKDIR:-runs/ablation}
out=${OUT:-configs/results/ablation_fer2013.json}
run() { if [ "${DRY_RUN:-0}" = 1 ]; then echo "would run: $*"; else "$@"; fi; }

# A line each: a name for the folder, then what is changed.
changes="whole
attention_none model.options.attention=none
attention_cam model.options.attention=cam
attention_spatial model.options.attention=spatial
attention_cbam model.options.attention=cbam
attention_csam model.options.attention=csam
attention_multi_scale model.options.attention=multi_scale
triplet_center losses.center.loss=triplet_center losses.center.target=expression losses.center.weight=0.01
center losses.center.loss=center losses.center.target=expression losses.center.weight=0.01
no_smoothing losses.expression.label_smoothing=0.0
balanced_sampling data.balance=1.0
inverse losses.expression.class_weighting=inverse
effective_number losses.expression.class_weighting=effective_number
logit_adjustment losses.expression.class_weighting=logit_adjustment
no_mirror augment.flip=0.0
no_rotation augment.rotate=0.0
no_zoom augment.zoom=0.0
no_light augment.brightness=0.0 augment.contrast=0.0
whole_images augment.pad=0 augment.crop=0
erasing augment.random_erasing=0.25
mixup augment.mixup=0.2
cutmix augment.cutmix=1.0"

runs=()
for seed in ${SEEDS:-0 1 2}; do
  while read -r name keys; do
    folder="$workdir/$name/seed$seed"
    runs+=("$folder")
    if [ -e "$folder/evaluation.json" ]; then continue; fi
    flags=()
    for key in $keys; do flags+=("--config.$key"); done
    run .venv/bin/python -m expressnet_jax.main --config configs/zoo.py:expressnet_tiny --workdir "$folder" \
      "--config.seed=$seed" "${flags[@]}" "$@" </dev/null
  done <<<"$changes"
done
run .venv/bin/expressnet bench ablation "${runs[@]}" --json "$out"
