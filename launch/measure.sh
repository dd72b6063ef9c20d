#!/usr/bin/env bash
# Every benchmark of expressnet_jax/bench/README.md, one after the other, as JSON. Nothing else should run on the machine meanwhile.
# OUT: where the JSON goes; by default among the figures of the configs. KIND: cpu or gpu (default: gpu where there is /dev/nvidia0).
# Training steps are compared with PyTorch where it is installed in .venv. DRY_RUN=1 prints what would be done.
set -euo pipefail
cd "$(dirname "$0")/.."
bash launch/setup.sh
out=${OUT:-configs/results}
kind=${KIND:-$([ -e /dev/nvidia0 ] && echo gpu || echo cpu)}
bench() {  # NAME PART ARGUMENTS
  local name=$1 part=$2; shift 2
  local command=(.venv/bin/expressnet bench "$part" "$@" --json "$out/bench_${name}_$kind.json")
  if [ "${DRY_RUN:-0}" = 1 ]; then echo "would run: ${command[*]}"; else echo "== $name"; "${command[@]}"; fi
}
against=()
if .venv/bin/python -c "import torch" 2> /dev/null; then against=(--against torch); fi

if [ "$kind" = gpu ]; then
  for size in 48 112; do
    for model in expressnet_small expressnet_base resnet18; do
      bench "step_${model}_$size" step --model "$model" --size "$size" --batch_size 512 --steps_per_call 8 --augment "${against[@]}"
    done
  done
  bench train train --model expressnet_base --size 48 --batch_size 512
else
  bench step_expressnet_small step --model expressnet_small "${against[@]}"
  bench step_resnet18_width32 step --model resnet18 --option width=32 "${against[@]}"
  bench step_mobilenet_v2 step --model mobilenet_v2 "${against[@]}"
  bench train train
  bench adapt adapt
  bench devices devices
  bench muon muon
fi
bench input_memory input --reader memory
bench input_stream input --reader stream
bench input_stream_448 input --reader stream --stored 448
bench scale scale
bench model model
bench start start
