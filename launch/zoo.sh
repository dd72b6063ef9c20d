#!/usr/bin/env bash
# Every network of the registry on FER2013 under the recipe of configs/zoo.py and the tables of configs/README.md from that.
# What is finished is kept, so it resumes where it was stopped; a network that the table has already is not trained again.
# Prepare fer2013 and run `expressnet audit fer2013` first.
# WORKDIR: where the runs go (default runs/zoo). NETWORKS: only these (default: all). OUT: the table's JSON, by default
# among the figures of the configs. Arguments go to every run, such as --config.train.epochs=100: then set OUT, too.
# DRY_RUN=1 only prints.
set -euo pipefail
cd "$(dirname "$0")/.."
bash launch/setup.sh
workdir=${WORKDIR:-runs/zoo}
out=${OUT:-configs/results/zoo_fer2013.json}
run() { if [ "${DRY_RUN:-0}" = 1 ]; then echo "would run: $*"; else "$@"; fi; }
# From the quickest to the slowest.
all="expressnet_tiny plain_cnn expressnet_small mini_xception resnet18 explainable_cnn attention_cnn csam_vgg occlusion_aware
ghost_resnet mobilenet_v2 resnet34 vgg11 efficientnet_b0 resnet50 alexnet efficientnet_b2 expressnet_base vgg16 vgg19
mobilenet_v3_small mobilenet_v3_large convnext_atto vit_tiny mobilefacenet vit_small ir18 ddamfn convnext_tiny ir50"

runs=()
for network in ${NETWORKS:-$all}; do
  if grep -qs "^    \"$network\": {" "$out"; then continue; fi
  runs+=("$workdir/$network")
  if [ -e "$workdir/$network/evaluation.json" ]; then continue; fi
  run .venv/bin/python -m expressnet_jax.main --config "configs/zoo.py:$network" --workdir "$workdir/$network" "$@"
done
run .venv/bin/expressnet bench zoo "${runs[@]}" --json "$out"
