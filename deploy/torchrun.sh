#!/usr/bin/env bash
# One run on all devices of one machine, or of several: the same line on each of them.
#
#   deploy/torchrun.sh build recipes/gpt3-350m.yaml --out out/350m
#   NODES=2 HEAD=10.0.0.1 deploy/torchrun.sh train recipes/gpt3-2.7b.yaml --tokens … --tokenizer … --out /shared/2.7b
#
# Machines share the folder --out (a network file system); the first process writes what all of them share.
# How they share the work is the recipe's, for example --set train.parallel.shard=8; by default each process
# has its own copy of the weights. A run that has died goes on by the same line; RESTARTS lets torchrun
# type it, which helps against lost machines and not against mistakes.
#
# SIGUSR1 (a scheduler's warning) and SIGTERM: save after the step and stop.
set -euo pipefail

: "${NODES:=1}"             # machines
: "${HEAD:=localhost}"      # the one whose name the others know
: "${PORT:=29500}"          # free there
: "${PROCESSES:=gpu}"       # on each machine: as many as it has GPUs, or a number
: "${RUN:=tsuzuri}"         # a name that two runs on the same port do not share
: "${RESTARTS:=0}"          # how often torchrun starts all processes anew when one has died
: "${PYTHON:=python3}"

(
  trap '' USR1 # torchrun itself would die of it
  exec "$PYTHON" -m torch.distributed.run --nnodes "$NODES" --nproc-per-node "$PROCESSES" \
    --rdzv-backend c10d --rdzv-endpoint "$HEAD:$PORT" --rdzv-id "$RUN" --max-restarts "$RESTARTS" \
    -m tsuzuri "$@"
) &
agent=$!
signal=
trap 'signal=USR1; pkill -USR1 --parent "$agent" || true' USR1
trap 'signal=TERM; kill -TERM "$agent"' TERM INT

status=0
wait "$agent" || status=$?
while [ -n "$signal" ]; do # it was that signal which ended the waiting
  signal= status=0
  wait "$agent" || status=$?
done
[ "$status" -ge 0 ] || status=1 # bash 5.2 loses one that comes with a signal: of a run that is to go on
exit "$status"
