"""IQL: trains a policy on datasets alone; or clones them, or goes on from another policy.

    python training/iql.py --name my-run --dataset drone/hover/expert-v0 drone/hover/medium-v0
    python training/iql.py --name tuned --dataset drone/hover/mine-v0 --init hover \
        --learner.beta 0 --learner.actor-rate 3e-4

Datasets come from training/dataset.py. `--learner.beta 0` clones all of their actions alike, and
`--init` begins with the weights of a policy, so both together fine-tune it on recorded flights.
`--resume` goes on with an interrupted run.
"""

from snn_training.algorithms.iql import Args, main
from snn_training.common.command import run_command

if __name__ == "__main__":
    run_command(main, Args)
