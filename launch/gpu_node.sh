#!/usr/bin/env bash
# Trains on the GPUs of one host.
#   launch/gpu_node.sh --config=configs/hmdb51.py --workdir=runs/hmdb51
# One process drives all GPUs. With PROCESSES=N there are N processes with one GPU each.
set -euo pipefail
cd "$(dirname "$0")/.."

PYTHON=${PYTHON:-.venv/bin/python}
PROCESSES=${PROCESSES:-1}
PORT=${PORT:-12355}
if [ "$PROCESSES" -eq 1 ]; then
  exec "$PYTHON" train.py "$@"
fi

pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true' EXIT
for ((id = 0; id < PROCESSES; id++)); do
  CUDA_VISIBLE_DEVICES=$id "$PYTHON" train.py --coordinator="127.0.0.1:$PORT" \
    --num_processes="$PROCESSES" --process_id="$id" "$@" &
  pids+=($!)
done
# The first process that ends ends the run: with a failure if it failed.
for _ in "${pids[@]}"; do
  wait -n
done
