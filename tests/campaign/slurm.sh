#!/usr/bin/env bash
# A campaign as an array of Slurm, merged by a job that waits for it:
#   array=$(sbatch --parsable --array=0-63 tests/campaign/slurm.sh)
#   sbatch --dependency=afterany:$array --wrap "swarm merge campaign-$array/*.json --log tests/campaign/log.tsv"
# The seed follows from the number of the array, unless SEED says otherwise: neighbours have seeds that lie far apart. SWARM is the program.
#SBATCH --job-name=eddyline-campaign
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=1
#SBATCH --mem=1G
#SBATCH --time=04:00:00
#SBATCH --output=campaign-%A/%a.log
set -euo pipefail
swarm=${SWARM:-swarm}
folder=campaign-$SLURM_ARRAY_JOB_ID
mkdir -p "$folder"
drawn=$(printf %s "${SLURM_CLUSTER_NAME:-} $SLURM_ARRAY_JOB_ID" | sha256sum)
# SLURM_ARRAY_TASK_ID counts from 0.
srun "$swarm" --scenarios "${SCENARIOS:-300000}" --seed "${SEED:-0x${drawn:0:10}}" \
    --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT" --json \
    > "$folder/$SLURM_ARRAY_TASK_ID.json"
