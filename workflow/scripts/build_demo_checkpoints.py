"""Build the checkpoints of the demo's mirror."""

import torch

from workflow.demo.mirror import build_demo_checkpoints
from workflow.lib.rule_script import rule_script

if __name__ == "__main__":
    with rule_script(snakemake):
        torch.set_num_threads(snakemake.threads)
        build_demo_checkpoints(**snakemake.output, **snakemake.params)
