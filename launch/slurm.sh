#!/usr/bin/env bash
# Trains on the nodes of an SLURM cluster, a process a node with all its GPUs; a preempted or failed job comes back by itself.
# Usage: bash launch/slurm.sh --config configs/affectnet.py --workdir /shared/runs/affectnet
# NODES (default 1). GPUS: of each node (default 8). CPUS: of each node (default 64). TIME (default 24:00:00).
# PARTITION, ACCOUNT: the cluster's own names. LOGS: where the output goes (default runs/logs).
# The clone, the data and --workdir lie on a disk that all nodes share. Set up once, on a node with internet:
# bash launch/setup.sh cuda13. JAX finds the other processes through SLURM's variables; nothing is to be configured.
# Ten minutes before the end of its time the job gets SIGTERM, saves, and is queued again (exit status 143).
# DRY_RUN=1 prints what would be done.
set -euo pipefail
cd "$(dirname "$0")/.."
run() { if [ "${DRY_RUN:-0}" = 1 ]; then echo "would run: $*"; else "$@"; fi; }
if [ $# = 0 ]; then echo "error: give the arguments of expressnet_jax.main; see the top of $0" >&2; exit 2; fi
logs=${LOGS:-runs/logs}
run mkdir -p "$logs"
options=(
  --job-name=expressnet --nodes="${NODES:-1}" --ntasks-per-node=1 --cpus-per-task="${CPUS:-64}" --time="${TIME:-24:00:00}"
  --gpus-per-node="${GPUS:-8}" --requeue --open-mode=append --signal=B:TERM@600 --output="$logs/%x-%j.log"
  ${PARTITION:+--partition="$PARTITION"} ${ACCOUNT:+--account="$ACCOUNT"}
)
devices=$(seq -s, 0 $((${GPUS:-8} - 1)))
words=$(printf ' %q' "$@")
# srun in the background: the shell has to hear SIGTERM, and hands it on to the processes.
job="export JAX_LOCAL_DEVICE_IDS=$devices
srun --kill-on-bad-exit=1 .venv/bin/python -m expressnet_jax.main$words & child=\$!
trap 'scancel --signal=TERM \$SLURM_JOB_ID.0' TERM
wait \$child; status=\$?
if [ \$status -gt 128 ]; then wait \$child; status=\$?; fi
if [ \$status = 143 ]; then scontrol requeue \$SLURM_JOB_ID; fi
exit \$status"
run sbatch "${options[@]}" --wrap="$job"
