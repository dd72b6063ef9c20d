#!/usr/bin/env bash
# Trains on a Cloud TPU slice through queued resources: asks for it, waits, installs, runs on every worker, shows the log,
# and after a preemption does it again, resuming from the last checkpoint. Needs gcloud, logged in.
# Usage: bash launch/tpu.sh run --config configs/affectnet.py --config.data.dir=/data/prepared
#        bash launch/tpu.sh status | ssh | delete
# NAME: of the slice (default expressnet). ZONE (default us-central2-b). PROJECT (default: gcloud's own).
# TYPE: accelerator type (default v4-8). VERSION: runtime version (default tpu-ubuntu2204-base).
# SPOT: 1 takes preemptible capacity at a fraction of the price (default), 0 on-demand. KEEP: 1 leaves the slice when the
# run has ended; by default it is deleted, because it costs by the hour.
# BUCKET: of Cloud Storage, without gs://; every worker mounts it at /data (gcsfuse). Data, checkpoints and compiled
# programs live there: the workers share no other disk.
# WORKDIR: below /data (default runs/$NAME). REPOSITORY: what is installed (default: this clone's origin), at REVISION.
# DRY_RUN=1 prints what would be done.
set -euo pipefail
cd "$(dirname "$0")/.."
name=${NAME:-expressnet}
place=(--zone="${ZONE:-us-central2-b}" ${PROJECT:+--project="$PROJECT"})
run() { if [ "${DRY_RUN:-0}" = 1 ]; then echo "would run: $*"; else "$@"; fi; }
queued() { run gcloud compute tpus queued-resources "$@" "${place[@]}"; }
everywhere() { run gcloud compute tpus tpu-vm ssh "$name" --worker=all --command="$1" "${place[@]}"; }

state() {  # of the request: ACTIVE, WAITING_FOR_RESOURCES, SUSPENDED (preempted), FAILED, or nothing where there is none
  if [ "${DRY_RUN:-0}" = 1 ]; then echo "${DRY_STATE:-}"; return; fi
  gcloud compute tpus queued-resources describe "$name" "${place[@]}" --format="value(state.state)" 2> /dev/null || true
}

create() {
  local terms=()
  if [ "${SPOT:-1}" = 1 ]; then terms=(--spot); fi
  queued create "$name" --node-id="$name" --accelerator-type="${TYPE:-v4-8}" \
    --runtime-version="${VERSION:-tpu-ubuntu2204-base}" "${terms[@]}"
}

wait_for_it() {
  [ "${DRY_RUN:-0}" = 1 ] && return
  until [ "$(state)" = ACTIVE ]; do
    case "$(state)" in
      FAILED | SUSPENDED | "") echo "error: $name was not given (state: $(state)); try another ZONE or TYPE" >&2; exit 2 ;;
    esac
    sleep 30
  done
}

install() {
  local repository revision bucket=${BUCKET:?name the bucket that holds data and checkpoints}
  repository=${REPOSITORY:-$(git remote get-url origin 2> /dev/null || echo "set-REPOSITORY")}
  revision=${REVISION:-$(git rev-parse HEAD 2> /dev/null || echo main)}
  everywhere "set -e; sudo mkdir -p /data; sudo chown \$USER /data; mountpoint -q /data || gcsfuse --implicit-dirs $bucket /data
[ -d expressnet ] || git clone -q $repository expressnet; cd expressnet; git fetch -q; git checkout -q $revision
bash launch/setup.sh tpu"
}

train() {
  local words
  words=$(printf ' %q' "$@")
  everywhere "cd expressnet && JAX_COMPILATION_CACHE_DIR=/data/compiled .venv/bin/python -m expressnet_jax.main$words \
--workdir /data/${WORKDIR:-runs/$name} --distributed=on"
}

delete() { queued delete "$name" --force --quiet; }

case "${1:-}" in
  run)
    shift
    while true; do
      case "$(state)" in
        ACTIVE) ;;
        SUSPENDED | FAILED) delete; create ;;
        "") create ;;
      esac
      wait_for_it
      install
      if train "$@"; then break; fi
      if [ "$(state)" = ACTIVE ]; then echo "error: the run ended with an error, not with the slice; see above" >&2; exit 1; fi
      echo "preempted; asking for another slice" >&2
    done
    if [ "${KEEP:-0}" != 1 ]; then delete; fi
    ;;
  status) queued describe "$name" ;;
  ssh) run gcloud compute tpus tpu-vm ssh "$name" --worker=0 "${place[@]}" ;;
  delete) delete ;;
  *) echo "error: give run, status, ssh or delete; see the top of $0" >&2; exit 2 ;;
esac
