#!/usr/bin/env bash
# Trains on Google Kubernetes Engine as a JobSet, a pod a host, queued by Kueue; a pod that dies restarts all of them from
# the last checkpoint. Needs kubectl with a context, the JobSet and Kueue controllers, and an image of launch/Dockerfile.
# Usage: IMAGE=... bash launch/gke.sh --config configs/affectnet.py --config.data.dir=/data/prepared --workdir /data/runs/a
# IMAGE: of launch/Dockerfile, pushed to a registry. NAME (default expressnet). HOSTS: pods (default 2).
# RESOURCE: what a pod takes (default nvidia.com/gpu; google.com/tpu on a TPU node pool). COUNT: how many of it (default 8).
# SELECTOR: label of the node pool, as key: value (default cloud.google.com/gke-accelerator: nvidia-h100-80gb).
# QUEUE: Kueue's local queue (default user-queue). CLAIM: a volume claim that all pods can write (default expressnet-data),
# mounted at /data: data, checkpoints and compiled programs live there. RESTARTS: at most (default 100).
# With xpk, which makes such a JobSet itself: xpk workload create --cluster C --workload NAME --docker-image IMAGE
#   --tpu-type v5litepod-16 --command "python -m expressnet_jax.main --distributed=on ..."
# DRY_RUN=1 prints the JobSet.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ $# = 0 ]; then echo "error: give the arguments of expressnet_jax.main; see the top of $0" >&2; exit 2; fi
name=${NAME:-expressnet}
hosts=${HOSTS:-2}
words=("${@//\\/\\\\}")  # in YAML's double quotes
arguments=$(printf ', "%s"' "${words[@]//\"/\\\"}")
jobset() {
  cat << END
apiVersion: jobset.x-k8s.io/v1alpha2
kind: JobSet
metadata:
  name: $name
  labels:
    kueue.x-k8s.io/queue-name: ${QUEUE:-user-queue}
spec:
  failurePolicy:
    maxRestarts: ${RESTARTS:-100}
  replicatedJobs:
    - name: worker
      replicas: 1
      template:
        spec:
          parallelism: $hosts
          completions: $hosts
          completionMode: Indexed
          backoffLimit: 0
          template:
            spec:
              restartPolicy: Never
              terminationGracePeriodSeconds: 120
              nodeSelector:
                ${SELECTOR:-cloud.google.com/gke-accelerator: nvidia-h100-80gb}
              containers:
                - name: expressnet
                  image: ${IMAGE:?an image of launch/Dockerfile}
                  command: ["python", "-m", "expressnet_jax.main"$arguments]
                  ports:
                    - containerPort: 8476
                  env:
                    - name: JAX_COORDINATOR_ADDRESS
                      value: "$name-worker-0-0.$name:8476"
                    - name: JAX_NUM_PROCESSES
                      value: "$hosts"
                    - name: JAX_PROCESS_ID
                      valueFrom:
                        fieldRef:
                          fieldPath: metadata.annotations['batch.kubernetes.io/job-completion-index']
                    - name: JAX_COMPILATION_CACHE_DIR
                      value: /data/compiled
                  resources:
                    limits:
                      ${RESOURCE:-nvidia.com/gpu}: "${COUNT:-8}"
                  volumeMounts:
                    - name: data
                      mountPath: /data
                    - name: shm
                      mountPath: /dev/shm
              volumes:
                - name: data
                  persistentVolumeClaim:
                    claimName: ${CLAIM:-expressnet-data}
                - name: shm
                  emptyDir:
                    medium: Memory
END
}
if [ "${DRY_RUN:-0}" = 1 ]; then jobset; else jobset | kubectl apply -f -; fi
