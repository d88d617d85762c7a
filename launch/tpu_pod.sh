#!/usr/bin/env bash
# Trains on every host of a Cloud TPU VM slice. Run it on your own computer:
#   TPU=my-slice ZONE=us-central2-b WORKDIR=/mnt/shared/runs/hmdb51 launch/tpu_pod.sh \
#     --config=configs/hmdb51.py --config.data.root=/mnt/data/hmdb51
# Each host needs this repository in ~/mdmf_jax with its environment in ~/mdmf_jax/.venv
# (with jax[tpu] installed), and the videos and the CLIP under the same paths. The work folder
# must be one that all hosts see (a mounted file store; gs:// names are not understood).
set -euo pipefail

: "${TPU:?name of the TPU VM}" "${ZONE:?zone of the TPU VM}" "${WORKDIR:?folder that all hosts see}"

arguments=$(printf ' %q' "$@")
gcloud compute tpus tpu-vm ssh "$TPU" --zone="$ZONE" --worker=all --command="
  cd ~/mdmf_jax && .venv/bin/python train.py --coordinator=auto --workdir=$(printf '%q' "$WORKDIR")$arguments"
